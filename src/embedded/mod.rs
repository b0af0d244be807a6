//! The embedded registry: OCI distribution on loopback, so that a plan works before it names a registry.
//!
//! The registry implements distribution-spec 1.1: pull, push and content discovery. The only management is to delete
//! tags. It accepts image manifests and indexes of both families. Content streams between socket and disk, so a large
//! layer does not need more memory.

mod error;
mod prune;
mod routes;
mod serve;
mod stall;
mod store;

pub use error::EmbeddedError;
pub use prune::{Pruning, stored_bytes};
pub use routes::STORE_HEADER;
pub use serve::{Embedded, Opened};
pub use store::{Pruned, StoreError, Unreferenced};
