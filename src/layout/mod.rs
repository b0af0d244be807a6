//! Directories of this machine that are OCI image layouts (OCI image-spec, "Image Layout"): those of skopeo, oras, crane
//! and buildx as they write them, and ours as they read them. Images of `oci:DIR`, and caches in directories.
//!
//! What is written is under its own digest, or not at all; `index.json` is replaced last, under a lock. What is read was
//! written by others: every size is bounded, and no link is followed out of the directory. All of it blocks on the disk, and is done with [`on_disk`].

mod directory;
mod disk;
mod error;
mod index;
mod ingest;
mod lock;

pub use directory::Layout;
pub use disk::on_disk;
pub use error::LayoutError;
pub use ingest::Ingest;
pub use lock::when_free;
