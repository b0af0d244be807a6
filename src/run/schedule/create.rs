//! Finds an engine for each job before anything starts.

use std::collections::BTreeMap;

use super::assign::{NoEngine, Sharing, assign};
use super::candidate::Refused;
use super::engines::{Engines, Reached};
use super::goal::Goal;
use super::names;
use super::order;
use super::scheduled::{Schedule, ScheduledBuild};
use crate::engine::{Needs, WayToStore};
use crate::plan::Plan;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};

/// Gives every build of `plan` an engine that can do everything that the job asks for.
///
/// # Errors
/// Fails for jobs that no engine may build. If there are none, fails for jobs whose engine would ignore a setting or
/// could not name the image. The failures of engines that polyarch could not reach come first. The exit code is 3.
pub(in crate::run) fn schedule(plan: &Plan, engines: &Engines, goal: Goal) -> Result<Schedule, Vec<Failure>> {
    let unreached = engines.unreached().iter().map(|unreached| unreached.failure.clone());
    on_reached(plan, engines, goal).map_err(|failures| unreached.chain(failures).collect())
}

fn on_reached(plan: &Plan, engines: &Engines, goal: Goal) -> Result<Schedule, Vec<Failure>> {
    let sharing = if goal.pushes() { Sharing::Free } else { Sharing::Fixed };
    let assigned = assign(plan, &engines.candidates(), sharing);
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

fn unassigned(error: &NoEngine) -> Failure {
    let platform = &error.job.platform;
    let hint = match &error.why {
        Some((Refused::LeftOut, engine)) => {
            format!("add {platform} to `platforms_only:` of engine {engine}, whose processor runs it")
        }
        Some((Refused::NoEmulation, engine)) => {
            format!("add an engine whose processor runs {platform}, or remove `emulate: false` of engine {engine}")
        }
        Some((Refused::NoEmulationOfImage, _)) => {
            format!("add an engine whose processor runs {platform}, or remove `emulate: false` of {}", error.job.image)
        }
        Some((Refused::Foreign, _)) | None => {
            "add an engine for the platform, or list the platform under `platforms:` of an engine that can emulate it"
                .to_owned()
        }
    };
    failure(Phase::Preflight, &error.to_string(), Some(hint))
}
