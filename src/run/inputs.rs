//! What builds read of this machine, looked at before anything is built: contexts, Dockerfiles, targets.

use std::collections::BTreeSet;

use super::failure::chain;
use super::nearby::hint;
use crate::context::{ContextError, IgnoreFile, Root, is_dockers_frontend, stages_of};
use crate::engine::given_dockerfile;
use crate::plan::{BuildSpec, ContextName, InputPlaces, NamedContext, Place, Plan, Problem, SourceText, did_you_mean};

/// The ignore file of a directory.
const IGNORE_FILE: &str = ".dockerignore";

/// What of a build is wrong.
pub(super) enum Input<'a> {
    Named(&'a ContextName),
    Context,
    Dockerfile,
}

/// Everything that can be seen to be wrong with what the builds of `plan` read, each with its place in `source`. Nobody
/// is asked: what an engine fetches is its own affair.
#[must_use]
pub fn look(plan: &Plan, source: &SourceText) -> Vec<Problem> {
    let mut problems = BTreeSet::new();
    for image in &plan.images {
        for job in &image.jobs {
            let places = plan.places.get(&(image.name.clone(), job.platform.clone()));
            let (Some(build), Some(places)) = (job.build(), places) else { continue };
            let fault = |(input, error): (Input<'_>, ContextError)| {
                place(&input, places).problem(source, &chain(&error), Some(hint(&build.spec, &input, &error)))
            };
            problems.extend(check(&build.spec).err().map(fault));
            problems.extend(missing_target(&build.spec, places, source));
        }
    }
    problems.into_iter().collect()
}

fn place<'a>(input: &Input<'_>, places: &'a InputPlaces) -> &'a Place {
    let said = match input {
        Input::Named(name) => places.contexts.get(name),
        Input::Context => places.context.as_ref(),
        Input::Dockerfile => places.dockerfile.as_ref().or(places.context.as_ref()),
    };
    said.unwrap_or(&places.image)
}

/// Opens what a build reads of this machine.
pub(super) fn check(build: &BuildSpec) -> Result<(), (Input<'_>, ContextError)> {
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
    // The engine does not read the ignore file of the context where the Dockerfile has one of its own.
    if let Some(context) = context.filter(|_| own == IgnoreFile::Absent) {
        context.check_ignore_file(IGNORE_FILE).map_err(|error| (Input::Context, error))?;
    }
    Ok(())
}

/// A target that is no stage of the Dockerfile, in whichever case, nor the number of one (BuildKit,
/// `instructions.HasStage`). Another frontend may read the file in its own way.
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
        [] => "its stages have no names: leave `target` out, or name one with FROM … AS NAME".to_owned(),
        names => format!("its stages are {}", names.join(", ")),
    });
    Some(places.target.as_ref().unwrap_or(&places.image).problem(source, &message, Some(hint)))
}
