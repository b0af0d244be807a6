//! Reads back the content of registries and layouts, as a client would.

mod agreement;
mod command;
mod index;
mod pull;

pub use agreement::disagreements;
pub use command::verify;
pub use index::{Expected, VerifiedEntry, VerifiedIndex, VerifyError, VerifyFault};
pub use pull::*;
