//! Checks the local inputs of builds before a build starts: contexts, Dockerfiles, targets.

use std::collections::BTreeSet;

use super::nearby::hint;
use crate::context::{ContextError, IgnoreFile, Root, can_have_stages, is_dockers_frontend, stages_of};
use crate::engine::{EngineFacts, directories, given_dockerfile};
use crate::plan::{
    BuildSpec, Dockerfile, InputPlaces, NamedContext, Plan, Position, Problem, SourceText, did_you_mean,
};
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::preflight::nearby::Input;
use crate::run::schedule::engines::Engines;
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

/// The ignore file of a directory.
const IGNORE_FILE: &str = ".dockerignore";

/// All faults in the local inputs of the builds of `plan`, each with its place in `source`. polyarch sends no request
/// and does not check the inputs that an engine fetches.
#[must_use]
pub fn look(plan: &Plan, source: &SourceText) -> Vec<Problem> {
    let mut problems = BTreeSet::new();
    for image in &plan.images {
        for job in &image.jobs {
            let places = plan.places.get(&(image.name.clone(), job.platform.clone()));
            let (Some(build), Some(places)) = (job.build(), places) else { continue };
            let fault = |(input, error): (Input<'_>, ContextError)| {
                position_of(&input, places).problem(source, &chain(&error), Some(hint(&build.spec, &input, &error)))
            };
            problems.extend(check(&build.spec).err().map(fault));
            problems.extend(missing_target(&build.spec, places, source));
        }
    }
    problems.into_iter().collect()
}

fn position_of<'a>(input: &Input<'_>, places: &'a InputPlaces) -> &'a Position {
    let position = match input {
        Input::Named(name) => places.contexts.get(name),
        Input::Context => places.context.as_ref(),
        Input::Dockerfile => places.dockerfile.as_ref().or(places.context.as_ref()),
    };
    position.unwrap_or(&places.image)
}

/// Opens the local inputs of a build.
fn check(build: &BuildSpec) -> Result<(), (Input<'_>, ContextError)> {
    for (name, context) in &build.contexts {
        if let NamedContext::Directory(directory) = context {
            let checked = Root::open(directory).and_then(|root| root.check_ignore_file(IGNORE_FILE));
            checked.map_err(|error| (Input::Named(name), error))?;
        }
    }
    let context = build.context.directory().map(Root::open).transpose().map_err(|error| (Input::Context, error))?;
    let mut own = IgnoreFile::Absent;
    if let Some(dockerfile) = given_dockerfile(&build.dockerfile) {
        let checked = dockerfile.open().and_then(|_| dockerfile.check_ignore_file());
        own = checked.map_err(|error| (Input::Dockerfile, error))?;
    }
    // If the Dockerfile has its own ignore file, the engine does not read the ignore file of the context.
    if let Some(context) = context.filter(|_| own == IgnoreFile::Absent) {
        context.check_ignore_file(IGNORE_FILE).map_err(|error| (Input::Context, error))?;
    }
    Ok(())
}

/// The faults of contexts and Dockerfiles that polyarch can see before it builds.
pub(in crate::run) fn context_faults(schedule: &Schedule) -> Vec<Failure> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for ScheduledBuild { id, job, .. } in schedule.builds() {
        if !seen.insert((&id.image, &job.work.spec.context, &job.work.spec.dockerfile, directories(&job.work.spec))) {
            continue;
        }
        if job.work.spec.dockerfile == Dockerfile::StandardInput {
            let message = format!("{}: its Dockerfile is on the standard input, which polyarch did not read", id.image);
            faults.push(failure(Phase::Plan, &message, Some("pass the Dockerfile with `dockerfile_inline`".into())));
        } else if let Err((input, error)) = check(&job.work.spec) {
            let hint = hint(&job.work.spec, &input, &error);
            faults.push(failure(Phase::Plan, &format!("{}: {}", id.image, chain(&error)), Some(hint)));
        }
    }
    faults
}

/// Dockerfiles that do not fit an engine without named contexts. polyarch adds stages that stand for the contexts, and
/// these Dockerfiles cannot have such stages.
pub(super) fn stage_faults(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let fault = |job: ScheduledBuild| {
        let (reached, build) = (&engines.list()[job.engine], &job.job.work.spec);
        let error = stages_fit(build, reached.facts()).err()?;
        let (name, version) = (&reached.spec.name, &reached.facts().version);
        let message = format!("engine {name} ({version}) cannot build {} with `contexts`: {}", job.id, chain(&error));
        Some(failure(Phase::Preflight, &message, Some(error.hint().into())))
    };
    schedule.builds_at_equal_places().filter_map(fault).collect()
}

fn stages_fit(build: &BuildSpec, facts: &EngineFacts) -> Result<(), ContextError> {
    let names = facts.stage_names(build);
    let Some(dockerfile) = given_dockerfile(&build.dockerfile).filter(|_| !names.is_empty()) else { return Ok(()) };
    Ok(can_have_stages(&dockerfile.read()?, &names, build.target.as_deref())?)
}

/// A fault if the target is neither the name nor the number of a stage of the Dockerfile. Upper and lower case are
/// equal (BuildKit, `instructions.HasStage`). A foreign frontend may read the file in its own way, so its targets are
/// not checked.
fn missing_target(build: &BuildSpec, places: &InputPlaces, source: &SourceText) -> Option<Problem> {
    let target = build.target.as_deref()?;
    let dockerfile = given_dockerfile(&build.dockerfile)?;
    let frontend = build.args.get("BUILDKIT_SYNTAX").cloned().or(dockerfile.frontend().ok()?);
    let text = dockerfile.read().ok()?;
    if frontend.is_some_and(|frontend| !is_dockers_frontend(&frontend)) {
        return None;
    }
    let stages = stages_of(&text);
    let names: Vec<&str> = stages.iter().flatten().map(String::as_str).collect();
    let is_stage = names.iter().any(|name| name.eq_ignore_ascii_case(target))
        || target.parse::<usize>().is_ok_and(|number| number < stages.len());
    if is_stage {
        return None;
    }
    let message = format!("{} has no stage `{target}`", dockerfile.name());
    let hint = did_you_mean(target, names.iter().copied()).unwrap_or_else(|| match &names[..] {
        [] => "leave `target` out, or name a stage with FROM … AS NAME: its stages have no names".to_owned(),
        names => format!("choose one of its stages: {}", names.join(", ")),
    });
    Some(places.target.as_ref().unwrap_or(&places.image).problem(source, &message, Some(hint)))
}
