//! `--check`: runs BuildKit's lint on the Dockerfiles of the plan. polyarch builds nothing and asks no registry of
//! the plan.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::prepare::{Beginning, JobMaker};
use crate::engine::{Lint, LintFinding};
use crate::plan::{Context, NamedContext};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};
use crate::run::preflight::agents::Agents;
use crate::run::preflight::dockerfile::name;
use crate::run::preflight::inputs;
use crate::run::preflight::request::BuildRun;
use crate::run::preflight::secrets::Secrets;
use crate::run::publish::target::targets;
use crate::run::schedule::create;
use crate::run::schedule::engines::{self, Engines};
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild, ScheduledJob};
use crate::text::Text;

/// The number of checks that run at once. A check costs an engine little: it reads the Dockerfile and asks registries
/// for base images.
const AT_ONCE: usize = 8;

/// BuildKit's rule for variables that have no value.
const UNDEFINED: &str = "UndefinedVar";

/// A checked Dockerfile, for all jobs that build from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    /// The name of the Dockerfile: its path if it has one.
    pub name: Text,
    /// The text of the Dockerfile, as the engine read it.
    pub text: String,
    /// The faults of the Dockerfile, each once.
    pub findings: Vec<LintFinding>,
}

/// Checks the Dockerfile of every job. The platform, the target and the build arguments decide which faults the
/// engine finds. A fault that several jobs share is reported once.
///
/// # Errors
/// Engines without support for checks, a file that cannot be read, or the first check that fails.
pub async fn check(run: &BuildRun) -> Result<Vec<CheckedFile>, Vec<Failure>> {
    let schedule = create::schedule(&run.plan, &run.engines, run.goal)?;
    let mut faults = refusals(&schedule, &run.engines);
    faults.extend(inputs::context_faults(&schedule));
    if !faults.is_empty() {
        return Err(faults);
    }
    let targets = targets(&run.plan, &run.registries).map_err(|failure| vec![failure])?;
    // A check runs no build step. It needs secrets and agents only if the engine fetches a context.
    let fetched =
        Schedule { jobs: schedule.builds().filter(|job| is_fetched(job)).cloned().map(ScheduledJob::Build).collect() };
    let secrets = Secrets::read(&fetched, &run.environment)?;
    let agents = Agents::find(&fetched, &run.environment).await?;
    // A check emits no progress events, so the receiver is dropped.
    let (events, _) = mpsc::channel(1);
    let mut maker = JobMaker::new(run, &schedule, (secrets, agents), events);
    let mut jobs = Vec::new();
    for (number, scheduled) in schedule.numbered_builds() {
        let (target, cancel) = (&targets[scheduled.image.0], CancellationToken::new());
        let beginning = Beginning { target, bases: BTreeMap::new(), slot: None, cancel };
        jobs.extend(maker.build(number, scheduled, beginning).map(|job| (scheduled, job)));
    }
    let checks = jobs.iter().map(async |(scheduled, job)| Ok((*scheduled, job.check().await?)));
    let checked: Result<Vec<_>, Failure> = stream::iter(checks).buffered(AT_ONCE).try_collect().await;
    Ok(merged(checked.map_err(|failure| vec![failure])?))
}

/// Engines whose BuildKit does not support checks, each with its first job.
fn refusals(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let refusal = |(number, reached): (usize, &engines::Reached)| {
        let job = schedule.builds().find(|job| job.engine == number && !reached.facts().checks())?;
        let (name, version) = (&reached.spec.name, &reached.facts().version);
        let message =
            format!("engine {name} ({version}) cannot check {} with `--check`: its BuildKit is too old", job.id);
        let hint = format!("run the check on {}", reached.facts().newer_for_checks());
        Some(failure(Phase::Preflight, &message, Some(hint)))
    };
    engines.list().iter().enumerate().filter_map(refusal).collect()
}

fn is_fetched(job: &ScheduledBuild) -> bool {
    let build = &job.job.work.spec;
    let named = build.contexts.values().any(|context| matches!(context, NamedContext::Remote(_)));
    named || matches!(build.context, Context::Remote(_))
}

/// Merges the results of jobs that build from the same Dockerfile, in the plan's order.
fn merged(checked: Vec<(&ScheduledBuild, Lint)>) -> Vec<CheckedFile> {
    let mut files: Vec<CheckedFile> = Vec::new();
    for (job, Lint { text, findings }) in checked {
        let (name, findings) = (name(job), findings.into_iter().filter(|finding| is_known(finding, job)));
        match files.iter_mut().find(|file| file.name == name && file.text == text) {
            Some(file) => file.findings.extend(findings),
            None => files.push(CheckedFile { name, text, findings: findings.collect() }),
        }
    }
    for file in &mut files {
        file.findings.sort();
        file.findings.dedup();
    }
    files
}

/// Whether the finding is certain. If a job builds on another image of the plan, BuildKit cannot know yet which
/// variables that image sets.
fn is_known(finding: &LintFinding, job: &ScheduledBuild) -> bool {
    let builds_on_image = job.job.work.spec.contexts.values().any(|context| matches!(context, NamedContext::Image(_)));
    !(builds_on_image && finding.rule.as_deref() == Some(UNDEFINED))
}
