//! Amazon ECR's own API: logins, repositories, images. Only this room names the AWS SDK.
//!
//! polyarch talks to ECR registries through `registry`, as to all other registries. This room adds the functions that
//! the registry protocol lacks: logins without `docker login`, whether a repository exists, and which of its tags may
//! move. Nothing is loaded and no request is sent before the first call.

mod access;
#[cfg(feature = "ecr")]
mod control;
#[cfg(not(feature = "ecr"))]
#[path = "without.rs"]
mod control;
mod facts;
mod login;
mod registry;
mod value;

pub use access::Ecr;
pub use login::EcrLogins;

// The other rooms and the program use these names. They are not on the pages of the library.
#[doc(hidden)]
pub use facts::aws_facts;
#[doc(hidden)]
pub use registry::EcrRegistry;
#[doc(hidden)]
pub use value::{Created, EcrError, EcrErrorKind, Identity, ImageDetail, NotDeleted, RepositoryFacts};
