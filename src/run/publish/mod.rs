//! Publishes an index: copies its images, checks it, and moves the tags.

mod annotations;
mod copies;
pub(super) mod executables;
pub(super) mod gates;
pub(super) mod options;
pub(super) mod publication;
pub(super) mod published;
mod shrink;
pub(super) mod standing;
pub(super) mod steps;
pub(super) mod tagging;
pub(super) mod target;
pub(super) mod together;
pub(super) mod untag;
