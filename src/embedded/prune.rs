//! Deletes unused content of a registry that no process serves.

use std::path::Path;

use super::EmbeddedError;
use super::serve::{Lock, address_in, lock};
use super::store::{Pruned, Store, Unreferenced};

/// A registry that this process holds to find content that no tag leads to. No other process can serve the registry
/// until this value is dropped.
#[derive(Debug)]
pub struct Pruning {
    found: Unreferenced,
    _lock: Lock,
}

impl Pruning {
    /// Locks the registry in `dir`, and finds the content that no tag leads to. Blocks on the disk.
    ///
    /// # Errors
    /// polyarch cannot use the directory, or another process serves the registry.
    pub fn open(dir: &Path) -> Result<Self, EmbeddedError> {
        let Some(lock) = lock(&dir.join("lock"))? else {
            return Err(EmbeddedError::Served { root: dir.to_owned(), address: address_in(dir) });
        };
        let found = Store::open(dir)?.unreferenced()?;
        Ok(Self { found, _lock: lock })
    }

    /// The parts of the registry that can be deleted.
    #[must_use]
    pub fn found(&self) -> &Unreferenced {
        &self.found
    }

    /// Deletes those parts.
    ///
    /// # Errors
    /// polyarch cannot write the directory. Some of those parts may be deleted by then, but nothing that a tag leads
    /// to.
    pub fn delete(self) -> Result<Pruned, EmbeddedError> {
        Ok(self.found.delete()?)
    }
}

/// The bytes that the registry in `dir` stores, or 0 if polyarch cannot read the directory.
#[must_use]
pub fn stored_bytes(dir: &Path) -> u64 {
    Store::stored_bytes(dir)
}
