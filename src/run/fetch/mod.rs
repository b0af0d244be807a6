//! Reads images from a storage, and proves that they are the expected images.

pub(super) mod attestations;
pub(super) mod blobs;
pub(super) mod complete;
pub(super) mod confirm;
pub(super) mod error;
pub(super) mod executables;
pub(super) mod flat;
pub(super) mod found;
pub(super) mod listing;
pub(super) mod revisions;
pub(super) mod wait;
pub(super) mod walk;
pub(super) mod whole;
