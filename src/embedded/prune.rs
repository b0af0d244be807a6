//! Making a registry smaller that nobody serves.

use std::path::Path;

use super::EmbeddedError;
use super::serve::{Lock, address_in, lock};
use super::store::{Pruned, Store, Unreferenced};

/// A registry that this process holds to look for what no tag leads to. Nobody else serves the registry until this is
/// dropped.
#[derive(Debug)]
pub struct Pruning {
    found: Unreferenced,
    _lock: Lock,
}

impl Pruning {
    /// Takes the registry in `dir`, and finds what no tag leads to. Blocks on the disk.
    ///
    /// # Errors
    /// The directory cannot be used, or another process serves the registry.
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
    /// The directory cannot be written. Some of those parts are gone by then, and nothing that a tag leads to.
    pub fn delete(self) -> Result<Pruned, EmbeddedError> {
        Ok(self.found.delete()?)
    }
}

/// Bytes that the registry in `dir` stores; 0 where the directory cannot be read.
#[must_use]
pub fn stored_bytes(dir: &Path) -> u64 {
    Store::stored_bytes(dir)
}
