//! Orchestration: owns tasks, time and order; tells the outside in [`Event`]s.

mod event;

pub use event::*;
