//! Orders the jobs: a job waits for the jobs of its platform that build its base images.

use std::collections::{BTreeMap, HashMap};

use super::engines::Engines;
use super::scheduled::{JobNumber, Schedule, ScheduledBuild, ScheduledJob};
use crate::engine::BaseImage;
use crate::plan::{ImageName, NamedContext, PullPolicy};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, JobId, Phase};

/// The jobs that build on other jobs. The plan has no circles.
pub(in crate::run) struct Order {
    /// The jobs of the schedule, in its order.
    jobs: Vec<OrderedJob>,
}

/// A job between the jobs that it builds on and the jobs that build on it.
#[derive(Default)]
struct OrderedJob {
    /// The base images, with their jobs.
    bases: BTreeMap<ImageName, JobNumber>,
    dependants: Vec<JobNumber>,
    /// The image of the job, if the job succeeded.
    image: Option<BaseImage>,
}

impl Order {
    pub(in crate::run) fn of(schedule: &Schedule) -> Self {
        let numbers: HashMap<&JobId, JobNumber> = schedule.numbered().map(|(number, job)| (job.id(), number)).collect();
        let mut jobs: Vec<OrderedJob> = schedule.jobs.iter().map(|_| OrderedJob::default()).collect();
        for (number, job) in schedule.numbered() {
            for image in images(job) {
                let id = JobId { image: image.to_string(), platform: job.id().platform.clone() };
                if let Some(base) = numbers.get(&id) {
                    jobs[number.0].bases.insert(image.clone(), *base);
                }
            }
            for base in jobs[number.0].bases.values().copied().collect::<Vec<_>>() {
                jobs[base.0].dependants.push(number);
            }
        }
        Self { jobs }
    }

    /// The jobs that `job` builds on.
    pub(in crate::run) fn bases(&self, job: JobNumber) -> impl Iterator<Item = JobNumber> {
        self.jobs[job.0].bases.values().copied()
    }

    /// The jobs that build on `job`.
    pub(in crate::run) fn dependants(&self, job: JobNumber) -> &[JobNumber] {
        &self.jobs[job.0].dependants
    }

    /// Notes that the image of `job` exists.
    pub(in crate::run) fn exists(&mut self, job: JobNumber, image: BaseImage) {
        self.jobs[job.0].image = Some(image);
    }

    /// The base images of `job`, once all of them exist.
    pub(in crate::run) fn ready(&self, job: JobNumber) -> Option<BTreeMap<ImageName, BaseImage>> {
        let base = |(image, job): (&ImageName, &JobNumber)| Some((image.clone(), self.jobs[job.0].image.clone()?));
        self.jobs[job.0].bases.iter().map(base).collect()
    }
}

/// The images of the plan that a job builds on.
fn images(job: &ScheduledJob) -> impl Iterator<Item = &ImageName> {
    let build = match job {
        ScheduledJob::Build(build) => Some(build),
        ScheduledJob::Import(_) => None,
    };
    build.into_iter().flat_map(|build| build.job.work.spec.contexts.values()).filter_map(|context| match context {
        NamedContext::Image(image) => Some(image),
        NamedContext::Reference(_) | NamedContext::Directory(_) | NamedContext::Remote(_) => None,
    })
}

/// Refuses base images that a job cannot reach if polyarch pushes nothing. Such an image exists only on its own engine,
/// under a name that no registry knows.
pub(in crate::run) fn refusals(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let order = Order::of(schedule);
    // An imported image is in its registry, even if polyarch pushes nothing.
    let built = |base: JobNumber| match &schedule[base] {
        ScheduledJob::Build(build) => Some(build),
        ScheduledJob::Import(_) => None,
    };
    let refused = |(number, job): (JobNumber, &ScheduledJob)| {
        let ScheduledJob::Build(job) = job else { return None };
        let keeps_nothing = |job: &ScheduledBuild| engines.list()[job.engine].engine.is_buildkit_alone();
        let name = |job: &ScheduledBuild| &engines.list()[job.engine].spec.name;
        let apart = order.bases(number).filter_map(built).find(|base| base.engine != job.engine);
        let (message, hint) = if let Some(base) = apart {
            let message = format!(
                "engine {} cannot build {}: its base image {} will exist only on engine {}, because nothing is pushed",
                name(job),
                job.id,
                base.id,
                name(base)
            );
            (message, "give both images the same `engine:`, or build without --no-push")
        } else if let Some(base) = order.bases(number).filter_map(built).find(|base| keeps_nothing(base)) {
            let message = format!(
                "engine {} cannot build {}: its base image {} will exist only in the cache of BuildKit, because nothing is \
                 pushed",
                name(job),
                job.id,
                base.id
            );
            (message, "build both images on a Docker Engine, or without --no-push")
        } else if order.bases(number).any(|base| built(base).is_some()) && job.job.work.spec.pull == PullPolicy::Always
        {
            let message = format!("{} cannot be built with `pull`: its base image is not pushed", job.id);
            (message, "build without --pull, or without --no-push")
        } else {
            return None;
        };
        Some(failure(Phase::Preflight, &message, Some(hint.into())))
    };
    schedule.numbered().filter_map(refused).collect()
}
