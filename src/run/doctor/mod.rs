//! `polyarch doctor`: engines and registries, step by step, and the checks of a build without the build.

mod engine;
mod examine;
mod finding;
mod registry;
mod rehearsal;

pub use examine::{Patient, checkup};
pub use finding::{Check, Observation, Section};
pub use rehearsal::rehearse;
