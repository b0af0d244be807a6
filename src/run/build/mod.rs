//! Builds and imports the images of a plan, from the first check to the finished image.

mod arch_tag;
pub(super) mod check;
mod common;
pub(super) mod end;
pub(super) mod engine_tags;
mod image;
mod import;
pub(super) mod job;
mod job_state;
pub(super) mod names;
pub(super) mod pipeline;
pub(super) mod prepare;
mod sessions;
mod slots;
