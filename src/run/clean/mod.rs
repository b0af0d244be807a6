//! What goes of a repository, and what stays: of what polyarch built, and nothing else.

mod cleaning;
mod delete;
mod error;
mod judge;
mod keep;

pub use cleaning::{Cleaning, Judged, Referrer};
pub use delete::Outcome;
pub use error::CleanError;
pub use keep::{Goes, Keep, OfPlan, Stays, Verdict};
