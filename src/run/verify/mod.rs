//! Reads back the content of registries and layouts, as a client would.

mod agreement;
mod blobs;
mod command;
pub(super) mod complete;
mod index;
pub(super) mod published;

pub use agreement::disagreements;
pub use blobs::{Checked, CheckedBlob};
pub use command::verify;
pub use index::{Expected, VerifiedEntry, VerifiedIndex, VerifyError, VerifyFault};
