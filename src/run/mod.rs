//! Orchestration: owns tasks, time and order; tells the outside in [`Event`]s.

mod access;
mod assign;
mod confirm;
mod event;
mod failure;
mod image;
mod job;
mod join;
mod listen;
mod pipeline;
mod preflight;
mod prepare;
mod publish;
mod redact;
mod references;
mod relay;
mod report;
mod request;
pub mod sanitize;
mod secrets;
mod shutdown;
mod verify;

pub use access::*;
pub use assign::*;
pub use event::*;
pub use job::Goal;
pub use join::*;
pub use listen::{Notices, Surroundings};
pub use pipeline::*;
pub use preflight::*;
pub use redact::Redactor;
pub use references::References;
pub use report::*;
pub use request::*;
pub use shutdown::*;
pub use verify::*;
