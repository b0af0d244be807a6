//! Decides which images of a repository are deleted. By default only images that polyarch built are considered.

mod cleaning;
mod delete;
mod error;
mod history;
mod keep;
mod names;
#[cfg(test)]
mod properties;
mod retention;
#[cfg(test)]
mod world;

pub use cleaning::{Cleaning, Judged, Referrer};
pub use delete::Outcome;
pub use error::CleanError;
pub use keep::{Decision, DeleteReason, Keep, KeepReason, Order, PlanImage, Scope};
