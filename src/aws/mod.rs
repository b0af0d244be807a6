//! Knowledge about Amazon ECR: the hosts of its registries, the mutability of tags, its commands and error messages.
//!
//! This room is pure. The room `ecr` calls AWS.

mod action;
mod host;
mod mutability;
mod place;
mod provider;
mod refusal;

pub use action::EcrAction;
pub use host::{AwsAccount, AwsRegion, EcrEndpoint, EcrHost, EcrNameError, PrivateEcr, is_ecr};
pub use mutability::{Mutability, TagPattern};
pub use place::EcrPlace;
pub use provider::Provider;
pub use refusal::{EcrAnswer, EcrRefusal, Policy};
