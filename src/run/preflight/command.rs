//! All checks before a run starts, with one function for each command. Nothing has started if a check fails.

use std::collections::{BTreeMap, BTreeSet};

use super::agents::Agents;
use super::bases;
use super::cautions;
use super::inputs;
use super::repositories::{self, Missing};
use super::request::BuildRun;
use super::routes;
use super::secrets::Secrets;
use super::sources::{self, Chosen};
use super::warnings;
use super::withheld;
use crate::plan::Plan;
use crate::run::event::{Event, Failure};
use crate::run::publish::remove_arch_tags;
use crate::run::publish::target::Target;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::{JobNumber, Schedule};
use crate::run::storage::registry::Registry;

/// The results of the checks of a build.
pub(in crate::run) struct Ready {
    pub(in crate::run) secrets: Secrets,
    pub(in crate::run) agents: Agents,
    /// The images to import.
    pub(in crate::run) chosen: BTreeMap<JobNumber, Chosen>,
    /// The warnings and the created repositories, to report after the start.
    pub(in crate::run) events: Vec<Event>,
}

/// Checks that the contexts, the secrets, the ssh agents, the base images and the images to import exist. Also checks
/// that tags may move, and that each engine that builds reaches the registry.
///
/// polyarch creates missing repositories last, so that it leaves nothing behind if another check fails.
pub(in crate::run) async fn build(
    run: &BuildRun,
    schedule: &Schedule,
    targets: &[Target],
) -> Result<Ready, Vec<Failure>> {
    let (mut ready, missing) = check(run, schedule, targets).await?;
    ready.events.extend(missing.create().await?);
    Ok(ready)
}

/// Makes the checks of [`build`], and creates nothing.
pub(in crate::run) async fn check<'a>(
    run: &'a BuildRun,
    schedule: &'a Schedule,
    targets: &'a [Target],
) -> Result<(Ready, Missing<'a>), Vec<Failure>> {
    let mut faults = inputs::context_faults(schedule);
    let secrets = Secrets::read(schedule, &run.environment).unwrap_or_else(|missing| {
        faults.extend(missing);
        Secrets::default()
    });
    let agents = Agents::find(schedule, &run.environment).await.unwrap_or_else(|missing| {
        faults.extend(missing);
        Agents::default()
    });
    if faults.is_empty() {
        faults = inputs::stage_faults(schedule, &run.engines);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (chosen, lacking, routes) = tokio::join!(
        reach(run, schedule, targets),
        bases::refusals(run, schedule),
        Box::pin(routes::check(run, schedule, targets)),
    );
    faults = lacking.into_iter().chain(routes.failures).collect();
    if !faults.is_empty() {
        return Err(faults.into_iter().chain(chosen.err().into_iter().flatten()).collect());
    }
    let chosen = chosen?;
    let missing = if run.goal.pushes() {
        repositories::check(&run.plan, targets, &run.registries.first).await?
    } else {
        Missing::default()
    };
    let warnings = warnings::warnings(schedule, &run.engines);
    let cautions = cautions::cautions(schedule, &run.engines, &run.plan.silence);
    let unjoined = warnings::without_arch_tags(&run.plan, run.goal);
    let warnings =
        warnings.into_iter().chain(unjoined).chain(secrets.warnings()).chain(cautions).chain(routes.warnings);
    let events = warnings.map(Event::Warning).collect();
    Ok((Ready { secrets, agents, chosen, events }, missing))
}

/// Checks that the images to import exist, that tags may move, and that the engines reach the registry.
async fn reach(
    run: &BuildRun,
    schedule: &Schedule,
    targets: &[Target],
) -> Result<BTreeMap<JobNumber, Chosen>, Vec<Failure>> {
    let first = &run.registries.first;
    let chosen = sources::choose(schedule, &run.sources, (first, targets)).await?;
    let engines: BTreeSet<_> = schedule.builds_at_equal_places().map(|job| job.engine).collect();
    let engines: Vec<_> = engines.into_iter().map(|number| run.engines.list()[number].engine.clone()).collect();
    let mut faults = Vec::new();
    if run.goal == Goal::Publish {
        faults = remove_arch_tags::refusals(&run.plan, targets, first).await;
    }
    faults.extend(withheld::refusals(run, schedule, targets).await);
    if !faults.is_empty() {
        return Err(faults);
    }
    if run.goal.pushes() && !engines.is_empty() {
        first.prove_reachable(&engines).await?;
    }
    Ok(chosen)
}

/// Checks that the registries allow the later writes of a join. Creates missing repositories if the plan allows it, and
/// returns the events to report after the start.
pub(in crate::run) async fn join(
    plan: &Plan,
    targets: &[Target],
    first: &Registry,
) -> Result<Vec<Event>, Vec<Failure>> {
    let refusals = remove_arch_tags::refusals(plan, targets, first).await;
    if !refusals.is_empty() {
        return Err(refusals);
    }
    repositories::check(plan, targets, first).await?.create().await
}
