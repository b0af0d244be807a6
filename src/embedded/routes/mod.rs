//! The HTTP interface of the embedded registry: OCI distribution-spec 1.1, "Endpoints".

mod blobs;
mod endpoint;
mod listing;
mod manifests;
mod query;
mod range;
mod refusal;
mod reply;
mod router;
mod state;
mod uploads;

pub use router::STORE_HEADER;
pub(super) use router::router;
pub(super) use state::Registry;
