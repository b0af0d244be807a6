//! The facts that an engine reports about itself, and the decisions that follow from them.

mod engine_facts;
mod escapes;
mod lacks;
mod stages;

pub use engine_facts::{ApiVersion, EngineFacts, ImageStore};
pub use lacks::{Needs, NewerProgram, WayToStore};
