//! Reports a run: the report is a fold of the run's events, and `--report` writes it as JSON.
//!
//! The texts come from events, so they are sanitised. The report does not grow with the length of a log or of a run. A
//! job keeps the last lines of its log until the job is confirmed.

mod failure_of;
mod image;
mod leftover;
mod platform;
mod whole;

pub use failure_of::*;
pub use image::*;
pub use leftover::*;
pub use platform::*;
pub use whole::*;
