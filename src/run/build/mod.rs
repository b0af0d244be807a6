//! Builds and imports the images of a plan, from the first check to the finished image.

mod adopt;
pub(super) mod bases;
pub(super) mod check;
mod common;
pub(super) mod end;
mod image;
pub(super) mod job;
pub(super) mod load;
pub(super) mod names;
pub(super) mod order;
pub(super) mod pipeline;
pub(super) mod prepare;
pub(super) mod schedule;
pub(super) mod session_group;
