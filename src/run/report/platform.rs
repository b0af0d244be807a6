//! One platform of an image in a report.

use std::collections::VecDeque;

use serde::Serialize;

use super::{LeftoverKind, LeftoverName};
use crate::oci::{Digest, DigestRef, Platform};
use crate::run::{By, Copied, Destination, Failure, JobEvent, PlannedJob};
use crate::text::Text;

/// Lines of a failed job's log that are kept.
pub const LOG_TAIL_LINES: usize = 50;
/// Bytes of a failed job's log that are kept.
pub const LOG_TAIL_BYTES: usize = 64 << 10;

/// One platform of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlatformReport {
    /// The platform.
    pub platform: Platform,
    /// Who builds or copies it.
    #[serde(flatten)]
    pub by: By,
    /// Where it is pushed.
    #[serde(flatten)]
    pub destination: Destination,
    /// How far it came.
    pub status: Status,
    /// Seconds of the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_seconds: Option<f64>,
    /// Seconds of the push or of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_seconds: Option<f64>,
    /// The engine's id of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Digest>,
    /// The image by digest, as the registry returned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<DigestRef>,
    /// Config and layers in the registry, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Steps that the cache had.
    pub cached_steps: usize,
    /// All steps.
    pub steps: usize,
    /// Bytes of files that the engine asked of the context.
    pub context_bytes: u64,
    /// Layers that the registry did not have.
    pub layers_pushed: usize,
    /// What was brought, and what was there, of an image that was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// Requests that were made again.
    pub retries: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The same as a list, as images and the run have it; filled by [`Report::finish`](super::Report::finish).
    pub failures: Vec<Failure>,
    /// Why it was never begun, where that is because of what it builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_built: Option<Text>,
    /// The step of the build that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<Text>,
    /// The end of its log, if it failed.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub log_tail: VecDeque<Text>,
    /// How far it came before it failed or was stopped.
    #[serde(skip)]
    reached: Status,
}

/// How far a platform came, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No slot of its engine was free, or what it builds on was not there yet.
    Waiting,
    /// Its build began.
    Building,
    /// It is on the engine.
    Built,
    /// Its source has it.
    Chosen,
    /// Its push or its copy began.
    Pushing,
    /// The engine says that it pushed, or all was copied.
    Pushed,
    /// The registry returned what was built or copied.
    Confirmed,
    /// It was stopped because of another one, or of the user.
    Cancelled,
    /// It failed.
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
            failure: None,
            failures: Vec::new(),
            not_built: None,
            failed_step: None,
            log_tail: VecDeque::new(),
            reached: Status::Waiting,
        }
    }

    pub(super) fn event(&mut self, what: &JobEvent) {
        match what {
            JobEvent::BuildStarted => self.reach(Status::Building),
            JobEvent::StepEnded { step, error: Some(error), .. } if self.failed_step.is_none() => {
                // BuildKit ends steps of other stages when one step failed.
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

    /// Ends the report of the platform. Only a failed one shows its log.
    pub(super) fn finish(&mut self) {
        self.failures = self.failure.iter().cloned().collect();
        if self.status != Status::Failed {
            self.log_tail = VecDeque::new();
        }
    }

    fn reach(&mut self, status: Status) {
        (self.status, self.reached) = (status, status);
    }

    /// Keeps the last lines, bounded in number and in bytes.
    fn log(&mut self, line: &str) {
        let bytes = |tail: &VecDeque<Text>| tail.iter().map(|line| line.len()).sum::<usize>();
        self.log_tail.push_back(line.into());
        while self.log_tail.len() > LOG_TAIL_LINES || bytes(&self.log_tail) > LOG_TAIL_BYTES {
            self.log_tail.pop_front();
        }
    }

    /// What an unfinished run leaves of this platform in the registry.
    pub(super) fn leftover(&self) -> Option<(LeftoverName, LeftoverKind)> {
        match (&self.destination, self.reached) {
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
