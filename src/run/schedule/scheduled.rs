//! The schedule: every job of the plan, with the engines that may do it.

use crate::oci::Tag;
use crate::plan::{ArchTags, Build, ImageNumber, Import, Job};
use crate::run::event::{Execution, JobId};

/// Every job of the plan in the plan's order. A build has its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Schedule {
    /// The jobs, image by image.
    pub(in crate::run) jobs: Vec<ScheduledJob>,
}

/// A job, with the engine or the process that does it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a plan has only one job for each platform")]
pub(in crate::run) enum ScheduledJob {
    /// An engine builds the image.
    Build(ScheduledBuild),
    /// This process imports an image that exists in a registry.
    Import(ScheduledImport),
}

/// A build and its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct ScheduledBuild {
    /// The image and the platform of the job.
    pub(in crate::run) id: JobId,
    /// The image of the job.
    pub(in crate::run) image: ImageNumber,
    /// The job, as the plan specifies it.
    pub(in crate::run) job: Job<Build>,
    /// The engine's number in the list of engines, from 0. Until the build begins, this is the engine that polyarch
    /// prefers.
    pub(in crate::run) engine: usize,
    /// Whether the engine's processor runs the platform.
    pub(in crate::run) execution: Execution,
    /// All engines that may do the job. The best one comes first, and native engines come before the others.
    pub(in crate::run) places: Vec<Place>,
}

/// An engine that may do a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct Place {
    /// The engine's number in the list of engines, from 0.
    pub(in crate::run) engine: usize,
    /// The number of the first engine that comes from the same entry of the plan. The pods of an entry have it in common.
    pub(in crate::run) entry: usize,
    /// Whether the engine's processor runs the platform.
    pub(in crate::run) execution: Execution,
}

/// A third-party image that polyarch imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct ScheduledImport {
    /// The image and the platform of the job.
    pub(in crate::run) id: JobId,
    /// The image of the job.
    pub(in crate::run) image: ImageNumber,
    /// The job, as the plan specifies it.
    pub(in crate::run) job: Job<Import>,
}

/// The number of a job in [`Schedule::jobs`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::run) struct JobNumber(pub(in crate::run) usize);

impl std::ops::Index<JobNumber> for Schedule {
    type Output = ScheduledJob;

    fn index(&self, JobNumber(number): JobNumber) -> &ScheduledJob {
        &self.jobs[number]
    }
}

impl Schedule {
    /// The jobs with their numbers.
    pub(in crate::run) fn numbered(&self) -> impl Iterator<Item = (JobNumber, &ScheduledJob)> {
        self.jobs.iter().enumerate().map(|(number, job)| (JobNumber(number), job))
    }

    /// The jobs that engines do.
    pub(in crate::run) fn builds(&self) -> impl Iterator<Item = &ScheduledBuild> {
        self.jobs.iter().filter_map(|job| match job {
            ScheduledJob::Build(build) => Some(build),
            ScheduledJob::Import(_) => None,
        })
    }

    /// The jobs that engines do, with their numbers.
    pub(in crate::run) fn numbered_builds(&self) -> impl Iterator<Item = (JobNumber, &ScheduledBuild)> {
        self.numbered().filter_map(|(number, job)| match job {
            ScheduledJob::Build(build) => Some((number, build)),
            ScheduledJob::Import(_) => None,
        })
    }

    /// The jobs that engines do, once for each of the equal engines that may get them.
    pub(in crate::run) fn builds_at_equal_places(&self) -> impl Iterator<Item = ScheduledBuild> {
        self.builds().flat_map(|build| build.at_all_places().filter(|one| one.execution == build.execution))
    }

    /// Moves a build to `place`, and returns it.
    pub(in crate::run) fn place(&mut self, number: JobNumber, place: Place) -> Option<&ScheduledBuild> {
        let ScheduledJob::Build(build) = &mut self.jobs[number.0] else { return None };
        (build.engine, build.execution) = (place.engine, place.execution);
        Some(build)
    }
}

impl ScheduledBuild {
    /// The same build on each engine that may do it. The best one comes first.
    pub(in crate::run) fn at_all_places(&self) -> impl Iterator<Item = Self> {
        self.places.iter().map(|Place { engine, execution, .. }| Self {
            engine: *engine,
            execution: *execution,
            ..self.clone()
        })
    }
}

impl ScheduledJob {
    /// The image and the platform of the job.
    #[must_use]
    pub(in crate::run) fn id(&self) -> &JobId {
        match self {
            Self::Build(build) => &build.id,
            Self::Import(import) => &import.id,
        }
    }

    /// The image of the job.
    #[must_use]
    pub(in crate::run) fn image(&self) -> ImageNumber {
        match self {
            Self::Build(build) => build.image,
            Self::Import(import) => import.image,
        }
    }

    /// The arch tag of the job, and whether polyarch pushes it.
    #[must_use]
    pub(in crate::run) fn arch_tag(&self) -> (&Tag, ArchTags) {
        match self {
            Self::Build(build) => (&build.job.arch_tag, build.job.arch_tags),
            Self::Import(import) => (&import.job.arch_tag, import.job.arch_tags),
        }
    }
}
