//! The values of ECR's API: addresses, answers and errors.

mod endpoint;
mod error;
mod identity;
mod image;
mod repository;
mod token;

pub(super) use endpoint::Endpoint;
pub use error::{EcrError, EcrErrorKind};
pub use identity::Identity;
pub use image::{ImageDetail, NotDeleted};
pub use repository::{Created, RepositoryFacts};
pub(super) use token::{AuthorizationData, Token};
