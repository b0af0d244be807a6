//! The events of a run, its failures, and the log lines of its builds without secrets.

pub(super) mod cause;
pub(super) mod events;
pub(super) mod failure;
pub(super) mod image_reporter;
pub(crate) mod job_events;
mod kinds;
mod log;
mod misnamed;
pub(super) mod phase;
pub(super) mod shutdown;

pub(super) use events::*;
pub(super) use phase::Phase;
