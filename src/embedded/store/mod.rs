//! The files of the embedded registry.
//!
//! ```text
//! blobs/sha256/<hex>                        content, of every repository (as in an OCI image layout)
//! repositories/<name>/_blobs/<hex>          the repository has this blob
//! repositories/<name>/_manifests/<hex>      the repository has this manifest; holds its media type
//! repositories/<name>/_referrers/<s>/<hex>  manifest <hex> of the repository names <s> as its subject
//! repositories/<name>/_tags/<tag>           holds the digest that the tag names
//! uploads/<id>                              content that is not checked yet; removed at the next start
//! ```
//!
//! No component of a repository's name begins with `_`, so nested repositories cannot collide with these.
//! Only the owner may read the store. The modification time of a file under `blobs` shows that the store has hashed its
//! bytes (`sound`).
//!
//! The store writes every file at another place, syncs it and renames it. So a visible file is complete, even if the
//! process is killed.

mod content;
mod disk;
mod prune;
mod sound;
mod upload;

pub(super) use content::{Store, StoredManifest};
pub use disk::StoreError;
pub(super) use disk::{DIRECTORY_MODE, FILE_MODE, write_whole};
pub use prune::{Pruned, Unreferenced};
pub(super) use upload::{Progress, Session, UploadError, UploadId, Uploads};
