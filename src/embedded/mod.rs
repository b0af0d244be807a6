//! The embedded registry: OCI distribution on loopback, so that a plan works before a registry is named.
//!
//! It speaks distribution-spec 1.1 (pull, push, content discovery; of management only that tags are deleted)
//! for image manifests and indexes of both families. Content streams between socket and disk, so memory does
//! not grow with the size of a layer.

mod error;
mod prune;
mod routes;
mod serve;
mod stall;
mod store;

pub use error::EmbeddedError;
pub use prune::{Pruning, stored_bytes};
pub use serve::{Embedded, Opened, STORE_HEADER};
pub use store::{Pruned, StoreError, Unreferenced};
