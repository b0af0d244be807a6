//! Connects to every engine and finds an engine for each job before anything starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;

use super::assign::{Candidate, May, NoEngine, Others, Schedule, ScheduledBuild, assign};
use super::event::{Failure, Phase};
use super::failure::{failure, of_engine};
use super::job::Goal;
use super::load;
use super::order;
use crate::engine::{Engine, EngineFacts, Needs};
use crate::oci::Platform;
use crate::plan::{EngineSpec, Plan};

/// The engines of a run, connected.
#[derive(Debug, Clone)]
pub struct Engines {
    list: Vec<Reached>,
}

#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) spec: EngineSpec,
    pub(super) engine: Arc<Engine>,
    others: Others,
}

impl Engines {
    /// Connects to all engines at once. `others` specifies whether other engines exist beside each of them.
    ///
    /// # Errors
    /// Fails for every engine that polyarch cannot use.
    pub async fn connect(specs: &[EngineSpec], others: Others) -> Result<Self, Vec<Failure>> {
        let reaching = specs.iter().map(async |spec| Engine::connect(spec.name.clone(), spec.host.clone()).await);
        let mut list = Vec::new();
        let mut failures = Vec::new();
        for (spec, reached) in specs.iter().zip(join_all(reaching).await) {
            match reached {
                Ok(engine) => list.push(Reached { spec: spec.clone(), engine: Arc::new(engine), others }),
                Err(error) => failures.push(of_engine(Phase::Preflight, &error)),
            }
        }
        if failures.is_empty() { Ok(Self { list }) } else { Err(failures) }
    }

    /// No engines, for a plan that builds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { list: Vec::new() }
    }

    /// The platforms that `--platform native` selects: the platforms of `plan` that the engines' processors run. If
    /// there are none, the platforms of these processors.
    #[must_use]
    pub fn native(&self, plan: &Plan) -> Vec<Platform> {
        let runs = |platform: &Platform| self.list.iter().any(|reached| reached.facts().is_native(platform));
        let planned = plan.images.iter().flat_map(|image| &image.jobs).map(|job| &job.platform);
        let mut platforms: Vec<_> = planned.filter(|platform| runs(platform)).cloned().collect();
        if platforms.is_empty() {
            platforms = self.list.iter().map(|reached| reached.facts().platform.clone()).collect();
        }
        platforms.sort();
        platforms.dedup();
        platforms
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        self.list.iter().map(Reached::candidate).collect()
    }

    /// The engines, and the facts that each reports about itself.
    pub fn reached(&self) -> impl Iterator<Item = (&EngineSpec, &EngineFacts)> {
        self.list.iter().map(|reached| (&reached.spec, reached.facts()))
    }

    pub(super) fn list(&self) -> &[Reached] {
        &self.list
    }
}

impl Reached {
    pub(super) fn facts(&self) -> &EngineFacts {
        self.engine.facts()
    }

    fn candidate(&self) -> Candidate<'_> {
        let may = May::of(&self.spec, self.others);
        Candidate { name: &self.spec.name, facts: self.facts(), may, slots: self.spec.slots.get() }
    }
}

/// Gives every build of `plan` an engine that can do everything that the job asks for.
///
/// # Errors
/// Fails for jobs that no engine may build. If there are none, fails for jobs whose engine would ignore a setting or
/// could not name the image. The exit code is 3.
pub(super) fn schedule(plan: &Plan, engines: &Engines, goal: Goal) -> Result<Schedule, Vec<Failure>> {
    let assigned = assign(plan, &engines.candidates());
    let schedule = assigned.map_err(|errors| errors.iter().map(unassigned).collect::<Vec<_>>())?;
    let mut lacking: Vec<_> = schedule.builds().flat_map(|job| lacking(job, &engines.list()[job.engine])).collect();
    if goal == Goal::Load {
        lacking.extend(load::refusals(&schedule, engines));
    }
    if !goal.pushes() {
        lacking.extend(order::refusals(&schedule, engines));
    }
    if lacking.is_empty() { Ok(schedule) } else { Err(lacking) }
}

/// The failures for settings of `job` that its engine does not support. Settings with the same remedy share a failure.
fn lacking(job: &ScheduledBuild, Reached { spec, engine, .. }: &Reached) -> Vec<Failure> {
    let mut keys: BTreeMap<Needs, Vec<String>> = BTreeMap::new();
    for (key, needs) in engine.facts().lacks(&job.job.work.spec, job.job.arch_tags) {
        keys.entry(needs).or_default().push(format!("`{key}`"));
    }
    let told = |(needs, keys): (Needs, Vec<String>)| {
        let (why, hint) = match needs {
            Needs::Version(version) => ("its BuildKit is too old", format!("use Engine {version} or newer")),
            Needs::Contexts(version) => (
                "with this BuildKit, each context must be an image with a valid stage name",
                format!("use Engine {version} or newer"),
            ),
            Needs::ContainerdStore(way) => ("its image store cannot hold such an image", way.to_string()),
            Needs::CacheExporter(way) => {
                ("it can export a cache only inside the image", format!("set `to: {{ type: inline }}`, or {way}"))
            }
        };
        let (name, version, keys) = (&spec.name, &engine.facts().version, keys.join(", "));
        let message = format!("engine {name} ({version}) cannot build {} with {keys}: {why}", job.id);
        failure(Phase::Preflight, &message, Some(format!("{hint}, or remove the key")))
    };
    keys.into_iter().map(told).collect()
}

fn unassigned(error: &NoEngine) -> Failure {
    let hint =
        "add an engine for the platform, or list the platform under `platforms:` of an engine that can emulate it";
    failure(Phase::Preflight, &error.to_string(), Some(hint.into()))
}
