//! Calls of ECR's API. Each returns its answer in polyarch's types.

mod fault;
mod gallery;
mod private;
mod regional;

pub(super) use regional::{Control, Endpoint};
