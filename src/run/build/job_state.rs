//! The state of a job of the schedule.

use tokio::task::AbortHandle;

use super::import::ImportRun;
use super::slots::Slot;
use crate::run::event::Failure;

/// A job that lost its engine.
pub(super) struct LostJob {
    /// Why the job failed there.
    pub(super) failure: Failure,
    /// The slot of the lost engine. No other job gets it before polyarch knows whether the engine is lost.
    pub(super) slot: Option<Slot>,
}

/// A job that has not begun.
pub(super) enum Pending {
    /// A build gets its input when its engine is known.
    Build,
    /// An import has its input.
    Import(Box<ImportRun>),
}

/// The state of a job of the schedule.
pub(super) enum JobState {
    /// The job waits for its base images.
    Waiting(Pending),
    /// The job waits for a slot of an engine.
    Queued,
    /// The task of the job runs.
    Running(AbortHandle),
    Ended,
}

impl JobState {
    /// The input of the job, if it waits for its base images. It leaves this state.
    pub(super) fn take_waiting(&mut self) -> Option<Pending> {
        match std::mem::replace(self, Self::Ended) {
            Self::Waiting(job) => Some(job),
            other => {
                *self = other;
                None
            }
        }
    }
}
