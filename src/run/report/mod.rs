//! What a run did: a fold of its events, and the JSON that `--report` writes.
//!
//! The texts in it come from events, and so are sanitised. Nothing in it grows with the length of a log or of a run:
//! a job keeps the last lines of its log until it is confirmed.

mod image;
mod platform;
mod whole;

pub use image::*;
pub use platform::*;
pub use whole::*;
