//! Which engine builds what: jobs × engines → schedule. Pure.

use crate::engine::EngineFacts;
use crate::oci::Platform;
use crate::plan::{EngineName, EngineSpec, Image, Job, Plan};

use super::event::{Execution, JobId};

/// Every job of the plan with the engine that builds it, in the plan's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The jobs, image by image.
    pub jobs: Vec<ScheduledJob>,
}

/// A job and its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledJob {
    /// Whose job it is.
    pub id: JobId,
    /// The image's place in [`Plan::images`].
    pub image: usize,
    /// The job, as the plan has it.
    pub job: Job,
    /// The engine's place among the engines that were given.
    pub engine: usize,
    /// Whether the engine's processor runs the platform.
    pub execution: Execution,
}

/// No engine may build a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine builds {job}: {engines}")]
pub struct NoEngine {
    /// The job.
    pub job: JobId,
    /// The engines and what each builds, in words.
    pub engines: String,
}

/// An engine as the assignment sees it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a EngineName,
    /// What it said of itself.
    pub facts: &'a EngineFacts,
    /// What it may build.
    pub may: May<'a>,
    /// How many builds it runs at once.
    pub slots: u16,
}

/// What an engine may build.
#[derive(Debug, Clone, Copy)]
pub enum May<'a> {
    /// Everything: it is the one engine that is there, and the plan names none.
    Everything,
    /// What its own processor runs: the plan names it, without platforms.
    Native,
    /// Exactly these: the plan says so.
    Listed(&'a [Platform]),
}

impl<'a> May<'a> {
    /// What the plan lets `spec` build.
    #[must_use]
    pub fn of(spec: &'a EngineSpec) -> Self {
        spec.platforms.as_deref().map_or(Self::Native, Self::Listed)
    }
}

impl Candidate<'_> {
    fn execution(&self, platform: &Platform) -> Execution {
        if self.facts.platform.runs(platform) { Execution::Native } else { Execution::Emulated }
    }

    fn builds(&self, platform: &Platform) -> bool {
        match self.may {
            May::Everything => true,
            May::Native => self.facts.platform.runs(platform),
            May::Listed(platforms) => platforms.contains(platform),
        }
    }

    fn describe(&self) -> String {
        let listed = match self.may {
            May::Listed(platforms) => platforms,
            May::Everything | May::Native => std::slice::from_ref(&self.facts.platform),
        };
        let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
        format!("{} builds {}", self.name, listed.join(", "))
    }
}

/// Gives every job an engine: the one that it names, else a native one, else one that lists its platform; among
/// equals the one with the fewest jobs for its slots, then the first of the plan.
///
/// # Errors
/// Every job that no engine may build.
pub fn assign(plan: &Plan, engines: &[Candidate<'_>]) -> Result<Schedule, Vec<NoEngine>> {
    let mut load = vec![0_u32; engines.len()];
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for (index, image) in plan.images.iter().enumerate() {
        for job in &image.jobs {
            let id = job_id(image, job);
            match choose(job, engines, &load) {
                Some(engine) => {
                    load[engine] += 1;
                    let execution = engines[engine].execution(&job.platform);
                    jobs.push(ScheduledJob { id, image: index, job: job.clone(), engine, execution });
                }
                None => errors.push(NoEngine { job: id, engines: describe(job, engines) }),
            }
        }
    }
    if errors.is_empty() { Ok(Schedule { jobs }) } else { Err(errors) }
}

fn choose(job: &Job, engines: &[Candidate<'_>], load: &[u32]) -> Option<usize> {
    let named = |candidate: &Candidate<'_>| job.engine.as_ref().is_none_or(|name| name == candidate.name);
    let able = engines.iter().enumerate().filter(|(_, e)| named(e) && e.builds(&job.platform));
    let rank = |(index, engine): &(usize, &Candidate<'_>)| {
        let foreign = engine.execution(&job.platform) == Execution::Emulated;
        // Full rounds of its slots: an engine with free slots is as good as an idle one.
        (foreign, load[*index] / u32::from(engine.slots.max(1)), load[*index], *index)
    };
    able.min_by_key(rank).map(|(index, _)| index)
}

fn describe(job: &Job, engines: &[Candidate<'_>]) -> String {
    let lines: Vec<_> = engines.iter().map(Candidate::describe).collect();
    let all = lines.join("; ");
    job.engine.as_ref().map_or_else(|| all.clone(), |name| format!("the plan asks for engine {name}; {all}"))
}

pub(super) fn job_id(image: &Image, job: &Job) -> JobId {
    JobId { image: image.name.to_string(), platform: job.platform.clone() }
}
