//! Orders the jobs: a job waits for the jobs of its platform that build its base images.

use std::collections::{BTreeMap, HashMap};

use super::end::JobEnd;
use crate::engine::BaseImage;
use crate::plan::{ImageName, NamedContext, PullPolicy};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, JobId, Phase};
use crate::run::preflight::assign::{Schedule, ScheduledBuild, ScheduledJob};
use crate::run::preflight::engines::Engines;
use crate::run::publish::target::Target;

/// The jobs that build on other jobs. A number is the place of a job in the schedule. The plan has no circles.
pub(in crate::run) struct Order {
    /// The base images of each job, with the places of their jobs.
    bases: Vec<BTreeMap<ImageName, usize>>,
    /// The jobs that build on each job.
    dependants: Vec<Vec<usize>>,
    /// The images of the jobs that succeeded.
    there: Vec<Option<BaseImage>>,
}

impl Order {
    pub(in crate::run) fn of(schedule: &Schedule) -> Self {
        let jobs = &schedule.jobs;
        let places: HashMap<&JobId, usize> = jobs.iter().enumerate().map(|(place, job)| (job.id(), place)).collect();
        let bases_of = |job: &ScheduledJob| {
            let base = |image: &ImageName| {
                let id = JobId { image: image.to_string(), platform: job.id().platform.clone() };
                places.get(&id).map(|place| (image.clone(), *place))
            };
            images(job).filter_map(base).collect()
        };
        let bases: Vec<BTreeMap<ImageName, usize>> = jobs.iter().map(bases_of).collect();
        let mut dependants = vec![Vec::new(); jobs.len()];
        for (place, bases) in bases.iter().enumerate() {
            for base in bases.values() {
                dependants[*base].push(place);
            }
        }
        Self { bases, dependants, there: vec![None; jobs.len()] }
    }

    /// The places of the jobs that `place` builds on.
    pub(in crate::run) fn bases(&self, place: usize) -> impl Iterator<Item = usize> {
        self.bases[place].values().copied()
    }

    /// The places of the jobs that build on `place`.
    pub(super) fn dependants(&self, place: usize) -> &[usize] {
        &self.dependants[place]
    }

    /// Notes that the image of the job at `place` exists.
    pub(in crate::run) fn is_there(&mut self, place: usize, image: BaseImage) {
        self.there[place] = Some(image);
    }

    /// The base images of the job at `place`, once all of them exist.
    pub(in crate::run) fn ready(&self, place: usize) -> Option<BTreeMap<ImageName, BaseImage>> {
        let base = |(image, place): (&ImageName, &usize)| Some((image.clone(), self.there[*place].clone()?));
        self.bases[place].iter().map(base).collect()
    }
}

/// The image of a job that ended, or the reason why no image exists.
pub(super) fn image_of(end: &JobEnd, job: &ScheduledJob, target: &Target) -> Result<BaseImage, String> {
    match end {
        JobEnd::Confirmed { found, .. } | JobEnd::Imported { found } => {
            Ok(BaseImage::Pushed(target.storage.digest(found.child.manifest().digest().clone())))
        }
        // Dependants use the run's own name, because another run may move the arch tag to its own image.
        JobEnd::Built { own, .. } => Ok(BaseImage::OnEngine(own.clone())),
        JobEnd::Chosen { image } => Ok(BaseImage::Pushed(image.clone())),
        JobEnd::Failed(_) => Err(format!("{} failed", job.id())),
        JobEnd::Cancelled => Err(format!("{} was not built", job.id())),
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
    let built = |base: usize| match &schedule.jobs[base] {
        ScheduledJob::Build(build) => Some(build),
        ScheduledJob::Import(_) => None,
    };
    let refused = |(place, job): (usize, &ScheduledJob)| {
        let ScheduledJob::Build(job) = job else { return None };
        let name = |job: &ScheduledBuild| &engines.list()[job.engine].spec.name;
        let apart = order.bases(place).filter_map(built).find(|base| base.engine != job.engine);
        let (message, hint) = if let Some(base) = apart {
            let message = format!(
                "engine {} cannot build {}: its base image {} will exist only on engine {}, because nothing is pushed",
                name(job),
                job.id,
                base.id,
                name(base)
            );
            (message, "give both images the same `engine:`, or build without --no-push")
        } else if order.bases(place).any(|base| built(base).is_some()) && job.job.work.spec.pull == PullPolicy::Always {
            let message = format!("{} cannot be built with `pull`: its base image is not pushed", job.id);
            (message, "build without --pull, or without --no-push")
        } else {
            return None;
        };
        Some(failure(Phase::Preflight, &message, Some(hint.into())))
    };
    schedule.jobs.iter().enumerate().filter_map(refused).collect()
}
