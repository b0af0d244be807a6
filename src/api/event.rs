//! The events of a run, in their order: for a display, or a log. `run_with` of each builder passes them on.

pub use crate::run::{
    Copied, Destination, Doing, Event, Execution, ImageEvent, JobEvent, JobId, JobSource, PlannedImage, PlannedJob,
    Repeated, Transfer, Warning,
};
