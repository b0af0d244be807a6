//! Durable writes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::random;

/// The storage of the embedded registry failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StoreError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// For `map_err`: the operation and its file.
    pub(in crate::embedded) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { operation, path, source }
    }

    /// Whether the disk or the user's quota is full.
    pub(in crate::embedded) fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The mode of a stored file: only its owner may read it, because the images may be private.
pub(in crate::embedded) const FILE_MODE: u32 = 0o600;
/// The mode of a directory, for the same reason.
pub(in crate::embedded) const DIRECTORY_MODE: u32 = 0o700;

/// Creates `path` and its missing parents, so that they survive a power failure.
pub(super) fn make_dir(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    make_dir(parent)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => sync_dir(parent),
        // Another thread or process created it at the same time.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(StoreError::at("create", path)(e)),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::at("sync", path))
}

/// Moves a complete file to its place.
pub(super) fn place(from: &Path, to: &Path) -> Result<(), StoreError> {
    let dir = to.parent().unwrap_or(to);
    make_dir(dir)?;
    File::open(from).and_then(|file| file.sync_all()).map_err(StoreError::at("sync", from))?;
    fs::rename(from, to).map_err(StoreError::at("rename", from))?;
    sync_dir(dir)
}

/// Writes `path` so that it always has its old content or `bytes`, never a part of them. The function first writes a
/// file in `scratch`, which is on the same file system.
pub(in crate::embedded) fn write_whole(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = scratch.join(random::name());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(StoreError::at("write", &temporary))
        .and_then(|()| place(&temporary, path));
    if written.is_err() {
        // The first error is the one to report. The next start deletes a file that stays behind.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The content of a small file of the store. `None` means that the file does not exist or is not text of the store.
pub(super) fn read_small(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(e) => Err(StoreError::at("read", path)(e)),
    }
}

/// Deletes a file, so that it stays deleted after a power failure. Returns `false` if the file does not exist.
pub(super) fn remove(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::at("remove", path)(e)),
    }
}

/// The names in a directory, sorted. A directory that does not exist has none.
pub(super) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::at("list", path)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::at("list", path))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
