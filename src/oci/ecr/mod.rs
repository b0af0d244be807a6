//! Amazon ECR in values: which hosts are its registries, which tags may move.

mod host;
mod mutability;

pub use host::{AwsAccount, AwsRegion, EcrEndpoint, EcrHost, EcrNameError, PrivateEcr};
pub use mutability::{Mutability, TagPattern};
