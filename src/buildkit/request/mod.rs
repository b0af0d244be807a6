//! The request for a build, and its options for the Dockerfile frontend, the exporter and the caches.

mod build;
mod cache;
mod contexts;
mod exporter;
mod frontend;
mod shared_context;
mod worker;

pub use build::{BuildRequest, EngineNames, Output};
pub use cache::CacheTarget;
pub(super) use cache::{Caches, Manifests, exported_to};
pub use contexts::{BaseImage, directories, given_dockerfile};
pub(super) use exporter::exporter_attrs;
pub(super) use frontend::frontend_attrs;
pub use shared_context::SharedContext;
pub(crate) use worker::{Exporter, Worker};
