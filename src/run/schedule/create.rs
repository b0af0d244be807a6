//! Finds an engine for each job before anything starts.

use std::collections::BTreeMap;

use super::assign::{NoEngine, Schedule, ScheduledBuild, assign};
use super::engines::{Engines, Reached};
use super::goal::Goal;
use super::names;
use super::order;
use crate::engine::{Needs, WayToStore};
use crate::plan::Plan;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};

/// Gives every build of `plan` an engine that can do everything that the job asks for.
///
/// # Errors
/// Fails for jobs that no engine may build. If there are none, fails for jobs whose engine would ignore a setting or
/// could not name the image. The exit code is 3.
pub(in crate::run) fn schedule(plan: &Plan, engines: &Engines, goal: Goal) -> Result<Schedule, Vec<Failure>> {
    let assigned = assign(plan, &engines.candidates());
    let schedule = assigned.map_err(|errors| errors.iter().map(unassigned).collect::<Vec<_>>())?;
    let lacking = |job: &ScheduledBuild| lacking(job, &engines.list()[job.engine], engines.builder());
    let mut lacking: Vec<_> = schedule.builds().flat_map(lacking).collect();
    if goal == Goal::Load {
        lacking.extend(names::without_images(&schedule, engines));
        lacking.extend(names::refusals(&schedule, engines));
    }
    if !goal.pushes() {
        lacking.extend(order::refusals(&schedule, engines));
    }
    if lacking.is_empty() { Ok(schedule) } else { Err(lacking) }
}

/// The failures for settings of `job` that its engine does not support. Settings with the same remedy share a failure.
/// A hint names `builder`, a builder of buildx, if this machine has one.
fn lacking(job: &ScheduledBuild, Reached { spec, engine, .. }: &Reached, builder: Option<&str>) -> Vec<Failure> {
    let store = |way: WayToStore| match builder {
        Some(builder) => {
            format!("build on your builder of buildx: `engines: {{ {}: {{ builder: {builder} }} }}`", spec.name)
        }
        None => way.to_string(),
    };
    let mut keys: BTreeMap<Needs, Vec<String>> = BTreeMap::new();
    for (key, needs) in engine.facts().lacks(&job.job.work.spec, job.job.arch_tags) {
        keys.entry(needs).or_default().push(format!("`{key}`"));
    }
    let lacks = |(needs, keys): (Needs, Vec<String>)| {
        let (why, hint) = match needs {
            Needs::Version(newer) => ("its BuildKit is too old", format!("use {newer}")),
            Needs::Contexts(newer) => {
                ("with this BuildKit, each context must be an image with a valid stage name", format!("use {newer}"))
            }
            Needs::ContainerdStore(way) => ("its image store cannot hold such an image", store(way)),
            Needs::BuildKitAlone => (
                "only a BuildKit without a Docker Engine knows caches of `type: s3`, `azblob` and `gha`",
                "build on a builder of buildx: `engines: { ci: { builder: current } }`".to_owned(),
            ),
            Needs::CacheExporter(way) => (
                "it can export a cache only inside the image",
                format!("set `to: {{ type: inline }}`, or {}", store(way)),
            ),
        };
        let (name, version, keys) = (&spec.name, &engine.facts().version, keys.join(", "));
        let message = format!("engine {name} ({version}) cannot build {} with {keys}: {why}", job.id);
        failure(Phase::Preflight, &message, Some(format!("{hint}, or remove the key")))
    };
    keys.into_iter().map(lacks).collect()
}

pub(in crate::run) fn unassigned(error: &NoEngine) -> Failure {
    let hint =
        "add an engine for the platform, or list the platform under `platforms:` of an engine that can emulate it";
    failure(Phase::Preflight, &error.to_string(), Some(hint.into()))
}
