//! Receives content for a layout.

use std::fs::{File, TryLockError};
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};

use super::error::LayoutError;
use crate::oci::{Digest, Hasher};
use crate::random;

/// A blob that is being received. Dropping it early deletes the received bytes.
#[derive(Debug)]
pub struct Ingest {
    pub(super) temporary: Temporary,
    /// `blobs/sha256`
    pub(super) directory: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) written: u64,
    pub(super) hasher: Hasher,
}

impl Ingest {
    /// The digest of the blob.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The size that the descriptor specifies.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The number of received bytes.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Deletes the received bytes.
    ///
    /// # Errors
    /// The file system returns an error.
    pub fn restart(&mut self) -> Result<(), LayoutError> {
        let Temporary { file, path, .. } = &mut self.temporary;
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| LayoutError::at(path, error))?;
        (self.written, self.hasher) = (0, Hasher::new());
        Ok(())
    }

    /// Adds more bytes.
    ///
    /// # Errors
    /// There are more bytes than the descriptor specifies, or the file system returns an error.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.size - self.written < bytes.len() as u64 {
            return Err(LayoutError::TooLong(self.digest.clone()));
        }
        self.temporary.write(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Moves the blob into its place, if its bytes match the descriptor.
    ///
    /// # Errors
    /// The bytes do not match, or the file system returns an error.
    pub fn commit(self) -> Result<(), LayoutError> {
        let Self { temporary, directory, path, digest, size, written, hasher } = self;
        let actual = hasher.finish();
        if actual != digest || size != written {
            return Err(LayoutError::Content { digest, size, written, actual });
        }
        temporary.keep_as(&directory, digest.hex(), &path)
    }
}

/// The number of digits in the name of a temporary file.
const NAME_DIGITS: usize = 32;

/// A file that is deleted when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: OwnedFd,
    name: String,
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// A new file in `directory`. `path` is the path of that directory.
    pub(super) fn new(directory: OwnedFd, path: &Path) -> Result<Self, LayoutError> {
        // The names of two processes must differ. The name is not a secret.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let name = random::name();
            let path = path.join(&name);
            let file = openat(&directory, &name, flags, Mode::from_bits_truncate(0o666));
            let file = File::from(file.map_err(|error| LayoutError::at(&path, error))?);
            // The file is locked until it is closed, even if this process is killed. On a file system without locks,
            // no file is swept.
            let swept = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if !swept && file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                return Ok(Self { directory, name, file, path });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        self.file.write_all(bytes).map_err(|error| LayoutError::at(&self.path, error))
    }

    /// Writes the file to the disk before it gets its name. A file with this name is always complete.
    pub(super) fn keep_as(self, directory: impl AsFd, name: &str, path: &Path) -> Result<(), LayoutError> {
        self.file.sync_data().map_err(|error| LayoutError::at(&self.path, error))?;
        renameat(&self.directory, &self.name, directory, name).map_err(|error| LayoutError::at(path, error))
    }
}

/// Removes the files that killed processes left in `directory`. No process has these files locked.
pub(super) fn sweep(directory: &OwnedFd) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let ours = name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        // This process holds the lock until it removed the file. A process that has just created the file finds it
        // locked or deleted.
        let left = ours.then(|| left(directory, name)).flatten();
        if left.is_some() {
            // If this fails, the next sweep tries again.
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }
}

/// Opens and locks a file, if no process has locked it.
fn left(directory: &OwnedFd, name: &str) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty()).ok()?);
    (file.metadata().is_ok_and(|metadata| metadata.is_file()) && file.try_lock().is_ok()).then_some(file)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename, the name no longer exists.
        let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}
