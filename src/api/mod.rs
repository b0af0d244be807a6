//! Builders for programs that use polyarch as a library.
//!
//! The constructor of a builder takes the input of the run. Each setting with a default has a method. `run` does the work.
//! The functions of [`crate::run`] do the same with everything in their arguments.

mod access;
mod build;
mod copy;
mod join;
mod read;
mod record;

pub use access::Access;
pub use build::Build;
pub use copy::Copy;
pub use join::Join;
pub use read::{Inspect, Verify};
