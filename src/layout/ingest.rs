//! Content on its way into a layout.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};

use super::error::LayoutError;
use crate::oci::{Digest, Hasher};

/// A blob that comes in. Dropped before its end, it was never there.
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
    /// Which blob.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size, as it was named.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of it that came.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Forgets what came of it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn restart(&mut self) -> Result<(), LayoutError> {
        let Temporary { file, path, .. } = &mut self.temporary;
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| LayoutError::at(path, error))?;
        (self.written, self.hasher) = (0, Hasher::new());
        Ok(())
    }

    /// Takes more of it.
    ///
    /// # Errors
    /// More than was named, or the file system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.size - self.written < bytes.len() as u64 {
            return Err(LayoutError::TooLong(self.digest.clone()));
        }
        self.temporary.write(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Puts it in its place, if it is what was named.
    ///
    /// # Errors
    /// It is not, or the file system refuses.
    pub fn commit(self) -> Result<(), LayoutError> {
        let Self { temporary, directory, path, digest, size, written, hasher } = self;
        let actual = hasher.finish();
        if actual != digest || size != written {
            return Err(LayoutError::Content { digest, size, written, actual });
        }
        temporary.keep_as(&directory, digest.hex(), &path)
    }
}

/// Digits of a temporary file's name.
const NAME_DIGITS: usize = 32;

/// A file that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: OwnedFd,
    name: String,
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// A new file in `directory`, which is at `path`.
    pub(super) fn new(directory: OwnedFd, path: &Path) -> Result<Self, LayoutError> {
        // Two processes must not meet; it is no secret.
        let half = || RandomState::new().build_hasher().finish();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let name = format!("{:016x}{:016x}", half(), half());
            let path = path.join(&name);
            let file = openat(&directory, &name, flags, Mode::from_bits_truncate(0o666));
            let file = File::from(file.map_err(|error| LayoutError::at(&path, error))?);
            // The file is locked until it is closed, however this process ends. On a file system without locks nothing
            // is swept.
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

    /// On the disk before it has its name: what is found under it is whole.
    pub(super) fn keep_as(self, directory: impl AsFd, name: &str, path: &Path) -> Result<(), LayoutError> {
        self.file.sync_data().map_err(|error| LayoutError::at(&self.path, error))?;
        renameat(&self.directory, &self.name, directory, name).map_err(|error| LayoutError::at(path, error))
    }
}

/// Removes from `directory` the files that killed processes left there: nobody has those locked.
pub(super) fn sweep(directory: &OwnedFd) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let ours = name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        // The lock is held until the file is removed. A process that created it meanwhile finds it locked, or gone.
        let left = ours.then(|| left(directory, name)).flatten();
        if left.is_some() {
            // The next sweep looks for the file again.
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }
}

/// A file that no process has locked, with a lock of ours.
fn left(directory: &OwnedFd, name: &str) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty()).ok()?);
    (file.metadata().is_ok_and(|metadata| metadata.is_file()) && file.try_lock().is_ok()).then_some(file)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is none.
        let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}
