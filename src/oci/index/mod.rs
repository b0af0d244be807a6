//! The new index: its children, their attestations and annotations, and its bytes.

pub(super) mod annotation;
pub(super) mod attestation;
pub(super) mod child;
pub(super) mod child_error;
pub(super) mod draft;
pub(super) mod entry_override;
pub(super) mod format;
pub(super) mod listed;
