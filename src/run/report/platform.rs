//! Reports one platform of an image.

use std::collections::VecDeque;

use serde::Serialize;

use super::LeftoverKind;
use super::LeftoverName;
use crate::oci::{Digest, DigestRef, Platform};
use crate::run::Copied;
use crate::run::Destination;
use crate::run::Failure;
use crate::run::JobEvent;
use crate::run::JobSource;
use crate::run::PlannedJob;
use crate::text::Text;

/// How many lines of a failed job's log the report keeps.
pub(in crate::run) const LOG_TAIL_LINES: usize = 50;
/// How many bytes of a failed job's log the report keeps.
pub(in crate::run) const LOG_TAIL_BYTES: usize = 64 << 10;

/// One platform of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlatformReport {
    /// The platform.
    pub platform: Platform,
    /// The engine that builds the image, or the source to copy it from.
    #[serde(flatten)]
    pub by: JobSource,
    /// The destination of the image in the registry.
    #[serde(flatten)]
    pub destination: Destination,
    /// How far the platform came.
    pub status: Status,
    /// The duration of the build in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_seconds: Option<f64>,
    /// The duration of the push or of the copy in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_seconds: Option<f64>,
    /// The engine's ID of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Digest>,
    /// The image by digest, as the registry returned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<DigestRef>,
    /// The size of the config and the layers in the registry, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The number of steps whose results were in the cache.
    pub cached_steps: usize,
    /// The number of all steps.
    pub steps: usize,
    /// The number of bytes that the engine requested from the context.
    pub context_bytes: u64,
    /// The number of layers that the registry did not have.
    pub layers_pushed: usize,
    /// The copied and the existing content of an imported image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// The number of repeated requests.
    pub retries: u32,
    /// The engines that were lost while they built or pushed the image. `engine` is the engine that did it in the end.
    #[doc(hidden)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<MovedReport>,
    /// Why the platform failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The failure as a list, like the failures of images and of the run. [`Report::finish`](super::Report::finish)
    /// fills this list.
    pub failures: Vec<Failure>,
    /// Why the build never began, if a base image is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_built: Option<Text>,
    /// The step of the build that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<Text>,
    /// The end of the log, if the platform failed.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub log_tail: VecDeque<Text>,
    /// How far the platform came before it failed or was stopped.
    #[serde(skip)]
    reached: Status,
    /// How far the platform came on lost engines.
    #[serde(skip)]
    reached_before: Status,
}

/// A lost engine that a platform moved away from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MovedReport {
    /// The name of the engine.
    pub from: Text,
    /// Why the job failed there.
    pub reason: Text,
}

/// How far a platform came, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// The engine has no free slot, or a base image does not exist yet.
    Waiting,
    /// The build began.
    Building,
    /// The image is on the engine.
    Built,
    /// The image to import exists in its source.
    Chosen,
    /// The push or the copy began.
    Pushing,
    /// The engine reported that it pushed the image, or polyarch copied the image.
    Pushed,
    /// The registry returned the image that was built or copied.
    Confirmed,
    /// The platform was stopped because of another platform or by the user.
    Cancelled,
    /// The platform failed.
    Failed,
}

impl PlatformReport {
    pub(super) fn new(job: &PlannedJob) -> Self {
        Self {
            platform: job.job.platform.clone(),
            by: job.by.clone(),
            destination: job.destination.clone(),
            status: Status::Waiting,
            build_seconds: None,
            push_seconds: None,
            image_id: None,
            reference: None,
            bytes: None,
            cached_steps: 0,
            steps: 0,
            context_bytes: 0,
            layers_pushed: 0,
            copied: None,
            retries: 0,
            moved: Vec::new(),
            failure: None,
            failures: Vec::new(),
            not_built: None,
            failed_step: None,
            log_tail: VecDeque::new(),
            reached: Status::Waiting,
            reached_before: Status::Waiting,
        }
    }

    pub(super) fn event(&mut self, what: &JobEvent) {
        match what {
            JobEvent::BuildStarted { engine, execution } => {
                self.by = JobSource::Engine { engine: engine.clone(), execution: *execution };
                self.reach(Status::Building);
            }
            JobEvent::Moved { from, reason } => {
                self.moved.push(MovedReport { from: from.clone(), reason: reason.clone() });
                self.reached_before = self.reached_before.max(self.reached);
                (self.build_seconds, self.push_seconds, self.failed_step) = (None, None, None);
                self.reach(Status::Waiting);
            }
            JobEvent::StepEnded { step, error: Some(error), .. } if self.failed_step.is_none() => {
                // If one step fails, BuildKit also ends steps of other stages.
                self.failed_step = (!error.contains("context canceled")).then(|| step.clone());
            }
            JobEvent::StepStarted { .. }
            | JobEvent::StepEnded { .. }
            | JobEvent::Progress { .. }
            | JobEvent::StillRunning { .. } => {}
            JobEvent::Log { line } => self.log(line),
            JobEvent::Built { id, seconds, cached_steps, steps, context_bytes } => {
                self.reach(Status::Built);
                (self.image_id, self.build_seconds) = (Some(id.clone()), Some(*seconds));
                (self.cached_steps, self.steps, self.context_bytes) = (*cached_steps, *steps, *context_bytes);
            }
            JobEvent::Chosen { image, bytes } => {
                self.reach(Status::Chosen);
                (self.reference, self.bytes) = (Some(image.clone()), Some(*bytes));
            }
            JobEvent::PushStarted { .. } | JobEvent::CopyStarted { .. } => self.reach(Status::Pushing),
            JobEvent::Copied { seconds, copied } => {
                self.reach(Status::Pushed);
                (self.push_seconds, self.copied) = (Some(*seconds), Some(copied.clone()));
            }
            JobEvent::Pushed { seconds, layers_pushed } => {
                self.reach(Status::Pushed);
                (self.push_seconds, self.layers_pushed) = (Some(*seconds), *layers_pushed);
            }
            JobEvent::Confirmed { image, bytes } => {
                self.reach(Status::Confirmed);
                (self.reference, self.bytes) = (Some(image.clone()), Some(*bytes));
                self.log_tail = VecDeque::new();
            }
            JobEvent::Retried { .. } => self.retries += 1,
            JobEvent::Failed(failure) => {
                self.status = Status::Failed;
                self.failure = Some(failure.clone());
            }
            JobEvent::NotBuilt { reason } => {
                self.status = Status::Cancelled;
                self.not_built = Some(reason.clone());
            }
            JobEvent::Cancelled => self.status = Status::Cancelled,
        }
    }

    /// Ends the report of the platform. Only a failed platform shows its log.
    pub(super) fn finish(&mut self) {
        self.failures = self.failure.iter().cloned().collect();
        if self.status != Status::Failed {
            self.log_tail = VecDeque::new();
        }
    }

    fn reach(&mut self, status: Status) {
        (self.status, self.reached) = (status, status);
    }

    /// Keeps the last lines of the log, limited in number and in bytes.
    fn log(&mut self, line: &str) {
        let bytes = |tail: &VecDeque<Text>| tail.iter().map(|line| line.len()).sum::<usize>();
        self.log_tail.push_back(line.into());
        while self.log_tail.len() > LOG_TAIL_LINES || bytes(&self.log_tail) > LOG_TAIL_BYTES {
            self.log_tail.pop_front();
        }
    }

    /// The leftover of this platform in the registry after an unfinished run.
    pub(super) fn leftover(&self) -> Option<(LeftoverName, LeftoverKind)> {
        match (&self.destination, self.reached.max(self.reached_before)) {
            (Destination::ArchTag(tag), Status::Pushed | Status::Confirmed) => {
                Some((LeftoverName::Tag(tag.clone().into()), LeftoverKind::ArchTag))
            }
            (Destination::ArchTag(tag), Status::Pushing) => {
                Some((LeftoverName::Tag(tag.clone().into()), LeftoverKind::PerhapsArchTag))
            }
            (Destination::Repository(repository), Status::Built | Status::Pushed | Status::Confirmed) => {
                let copied = || Some(self.reference.as_ref()?.digest.clone());
                let digest = self.image_id.clone().or_else(copied)?;
                Some((LeftoverName::Reference(repository.digest(digest)), LeftoverKind::Untagged))
            }
            _ => None,
        }
    }
}
