//! polyarch builds multi-architecture container images from one plan.

pub mod auth;
pub mod context;
pub mod embedded;
pub mod engine;
pub mod facts;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod run;
