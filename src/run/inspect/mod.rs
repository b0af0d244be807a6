//! Shows the content of a reference, and the differences between two references.

pub(super) mod command;
pub(super) mod compare;
pub(super) mod contrast;
pub(super) mod difference;
pub(super) mod digest;
pub(super) mod doctor;
pub(super) mod probe;
