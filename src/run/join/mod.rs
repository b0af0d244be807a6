//! Joins existing images into an index, or edits an index.

pub(super) mod command;
pub(super) mod edit;
pub(super) mod missing;
pub(super) mod references;
