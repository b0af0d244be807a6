//! Directories on this machine with an OCI image layout (OCI image-spec, "Image Layout"). polyarch reads the layouts
//! of skopeo, oras, crane and buildx. These tools read the layouts of polyarch. Layouts hold images (`oci:DIR`) and
//! caches.
//!
//! polyarch writes content only under its own digest. It replaces `index.json` last, and under a lock. Other programs
//! may have written the content, so every size is bounded and no link leads out of the directory. All functions block
//! on the disk; run them with [`on_disk`].

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
