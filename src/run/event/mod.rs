//! The events of a run, its failures, and the log lines of its builds without secrets.

pub(super) mod events;
pub(super) mod failure;
mod log;
mod misnamed;
pub(crate) mod redact;
pub(crate) mod relay;
pub(super) mod shutdown;

pub(super) use events::*;
