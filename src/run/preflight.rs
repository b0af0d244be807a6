//! Before anything is started: every engine reached, the registry there and willing.

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

/// The engines of a run, reached.
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
    /// Reaches all engines at once. `others` are the engines that there are beside each, whether they are reached or not.
    ///
    /// # Errors
    /// Every engine that cannot be used.
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

    /// No engine at all, for a plan that builds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { list: Vec::new() }
    }

    /// What `--platform native` means: the platforms of `plan` that their processors run, or else those processors'.
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

    /// The engines, and what each says of itself.
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

/// Gives every build of `plan` an engine that can do all that the job asks for.
///
/// # Errors
/// Jobs that no engine may build, or else those that ask for what their engine would pass over, or could not
/// name: exit code 3.
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

/// What `job` asks for and its engine cannot do: a failure for each thing that would help.
fn lacking(job: &ScheduledBuild, Reached { spec, engine, .. }: &Reached) -> Vec<Failure> {
    let mut keys: BTreeMap<Needs, Vec<String>> = BTreeMap::new();
    for (key, needs) in engine.facts().lacks(&job.job.work.spec, job.job.arch_tags) {
        keys.entry(needs).or_default().push(format!("`{key}`"));
    }
    let told = |(needs, keys): (Needs, Vec<String>)| {
        let (why, hint) = match needs {
            Needs::Version(version) => ("its BuildKit is too old", format!("use Engine {version} or newer for it")),
            Needs::Contexts(version) => (
                "its BuildKit knows no contexts, and a stage of the Dockerfile can stand only for an image, under a \
                 stage's name",
                format!("use Engine {version} or newer for it"),
            ),
            Needs::ContainerdStore(way) => ("its image store cannot hold it", way.to_string()),
            Needs::CacheExporter(way) => {
                ("it exports a cache in the image only", format!("say to: {{ type: inline }}, or {way}"))
            }
        };
        let (name, version, keys) = (&spec.name, &engine.facts().version, keys.join(", "));
        let message = format!("engine {name} ({version}) cannot build {} with {keys}: {why}", job.id);
        failure(Phase::Preflight, &message, Some(format!("{hint}, or leave the key out")))
    };
    keys.into_iter().map(told).collect()
}

fn unassigned(error: &NoEngine) -> Failure {
    let hint = "add an engine that does, or let one emulate it: list the platform under its `platforms:`";
    failure(Phase::Preflight, &error.to_string(), Some(hint.into()))
}
