//! Publishes an index: copies its images, checks it, and moves the tags.

mod annotations;
pub(super) mod atomic;
mod copies;
pub(super) mod current_tags;
pub(super) mod executables;
pub(super) mod gates;
pub(super) mod options;
pub(super) mod publication;
pub(super) mod published;
pub(super) mod remove_arch_tags;
mod shrink;
pub(super) mod steps;
pub(super) mod tagging;
pub(super) mod target;
