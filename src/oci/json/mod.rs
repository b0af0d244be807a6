//! Third-party JSON documents, read as their other readers read them.

pub(crate) mod document;
pub(super) mod fields;
pub(crate) mod loose;
pub(crate) mod null;
