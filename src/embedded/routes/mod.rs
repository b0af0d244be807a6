//! The HTTP interface of the embedded registry: OCI distribution-spec 1.1, "Endpoints".

mod blobs;
mod endpoint;
mod listing;
mod manifests;
mod range;
mod refusal;
mod registry;
mod uploads;

pub(super) use registry::{Registry, router};
