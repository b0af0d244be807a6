//! Calls of ECR's API with the AWS SDK. Each returns its answer in the types of `value`.

mod chain;
mod fault;
mod gallery;
mod http;
mod private;
mod regional;
mod sdk;

pub(super) use regional::Control;
pub(super) use sdk::Sdk;
