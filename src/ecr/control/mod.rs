//! Calls of ECR's API, each with its answer in our values.

mod fault;
mod gallery;
mod private;
mod regional;

pub(super) use regional::{Control, Endpoint};
