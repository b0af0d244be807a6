//! Amazon ECR's own API: logins, repositories, images. Only this room names the AWS SDK.
//!
//! polyarch talks to ECR registries through `registry`, as to all other registries. This room adds the functions that
//! the registry protocol lacks: logins without `docker login`, whether a repository exists, and which of its tags may
//! move. Nothing is loaded and no request is sent before the first call.

mod access;
#[cfg(feature = "ecr")]
mod chain;
#[cfg(feature = "ecr")]
mod control;
#[cfg(not(feature = "ecr"))]
#[path = "without.rs"]
mod control;
mod error;
mod facts;
#[cfg(feature = "ecr")]
mod http;
mod identity;
mod image;
mod login;
mod registry;
#[cfg(feature = "ecr")]
mod sdk;
#[cfg(not(feature = "ecr"))]
#[path = "without_sdk.rs"]
mod sdk;
mod token;

pub use access::Ecr;
pub use error::{EcrError, EcrErrorKind};
pub use facts::aws_facts;
pub use identity::Identity;
pub use image::{ImageDetail, NotDeleted};
pub use login::EcrLogins;
pub use registry::{Created, EcrRegistry, RepositoryFacts};
