//! Orchestration: owns tasks, time and order; tells the outside in [`Event`]s.

mod event;
mod report;
pub mod sanitize;

pub use event::*;
pub use report::*;
