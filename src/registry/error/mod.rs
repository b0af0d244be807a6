//! Why a registry did not carry out a request.

mod answer;
mod cause;
mod hint;
mod kind;
mod registry_error;
mod target;

pub use answer::{Answer, OciError};
pub use cause::Cause;
pub use kind::{ErrorKind, Waiting};
pub(super) use registry_error::EcrRequest;
pub use registry_error::RegistryError;
pub(super) use target::MAX_REDIRECTS;
pub use target::TargetError;
