//! What waits for what: a job whose image builds on others of the plan waits for their jobs of its platform.

use std::collections::{BTreeMap, HashMap};

use super::assign::{Schedule, ScheduledBuild, ScheduledJob};
use super::event::{Failure, JobId, Phase};
use super::failure::failure;
use super::job::JobEnd;
use super::preflight::Engines;
use super::publish::Target;
use crate::engine::BaseImage;
use crate::plan::{ImageName, NamedContext, PullPolicy};

/// Which jobs build on which, by their places in the schedule. The plan has no circles.
pub(super) struct Order {
    /// What each job builds on.
    bases: Vec<BTreeMap<ImageName, usize>>,
    /// Who builds on each job.
    dependants: Vec<Vec<usize>>,
    /// The images of the jobs that ended well.
    there: Vec<Option<BaseImage>>,
}

impl Order {
    pub(super) fn of(schedule: &Schedule) -> Self {
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
    pub(super) fn bases(&self, place: usize) -> impl Iterator<Item = usize> {
        self.bases[place].values().copied()
    }

    /// The places of the jobs that build on `place`.
    pub(super) fn dependants(&self, place: usize) -> &[usize] {
        &self.dependants[place]
    }

    /// The image of `place` is there.
    pub(super) fn is_there(&mut self, place: usize, image: BaseImage) {
        self.there[place] = Some(image);
    }

    /// The images that `place` builds on, once all of them are there.
    pub(super) fn ready(&self, place: usize) -> Option<BTreeMap<ImageName, BaseImage>> {
        let base = |(image, place): (&ImageName, &usize)| Some((image.clone(), self.there[*place].clone()?));
        self.bases[place].iter().map(base).collect()
    }
}

/// Where the image of a job is that ended, or else why there is none.
pub(super) fn image_of(end: &JobEnd, job: &ScheduledJob, target: &Target) -> Result<BaseImage, String> {
    match end {
        JobEnd::Confirmed { found, .. } | JobEnd::Adopted { found } => {
            Ok(BaseImage::Pushed(target.place.digest(found.child.manifest().digest().clone())))
        }
        // The base is found under the run's own name: another run may give the arch tag to its own image.
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
        ScheduledJob::Adopt(_) => None,
    };
    build.into_iter().flat_map(|build| build.job.work.spec.contexts.values()).filter_map(|context| match context {
        NamedContext::Image(image) => Some(image),
        NamedContext::Reference(_) | NamedContext::Directory(_) | NamedContext::Remote(_) => None,
    })
}

/// What cannot be built on where nothing is pushed: an image is then on its own engine alone, and under a name that no
/// registry knows.
pub(super) fn refusals(schedule: &Schedule, engines: &Engines) -> Vec<Failure> {
    let order = Order::of(schedule);
    // What is adopted is in its registry, whatever is pushed.
    let built = |base: usize| match &schedule.jobs[base] {
        ScheduledJob::Build(build) => Some(build),
        ScheduledJob::Adopt(_) => None,
    };
    let refused = |(place, job): (usize, &ScheduledJob)| {
        let ScheduledJob::Build(job) = job else { return None };
        let name = |job: &ScheduledBuild| &engines.list()[job.engine].spec.name;
        let apart = order.bases(place).filter_map(built).find(|base| base.engine != job.engine);
        let (message, hint) = if let Some(base) = apart {
            let message = format!(
                "{} builds on {}, which only engine {} would have: it is built on engine {}, and nothing is pushed",
                job.id,
                base.id,
                name(base),
                name(job)
            );
            (message, "give both the same `engine:`, or build without --no-push")
        } else if order.bases(place).any(|base| built(base).is_some()) && job.job.work.spec.pull == PullPolicy::Always {
            let message = format!("{} cannot be built with `pull`: what it builds on is not pushed", job.id);
            (message, "build without --pull, or without --no-push")
        } else {
            return None;
        };
        Some(failure(Phase::Preflight, &message, Some(hint.into())))
    };
    schedule.jobs.iter().enumerate().filter_map(refused).collect()
}
