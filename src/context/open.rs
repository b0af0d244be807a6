//! Reading the files of a walk.

use std::fs::File;
use std::io::{ErrorKind, Read as _};

use rustix::fs::{FileType, fstat};

use super::entry::{Entry, Stamp};
use super::error::{ContextError, escape};
use super::follow::follow;
use super::root::Root;
use super::walk::open_error;

/// The largest Dockerfile, in bytes.
pub const MAX_DOCKERFILE_BYTES: u64 = 1024 * 1024;

/// A file of the build context, open for reading; see [`Root::open_file`].
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: String,
    stamp: Stamp,
    left: u64,
}

impl Root {
    /// Opens a file that the walk yielded, if it is still the same and unchanged.
    ///
    /// # Errors
    ///
    /// [`ContextError::Changed`] if something else is there now, a symbolic link took the place of one of its
    /// parents, or its size or time is another; [`ContextError::Read`] if it cannot be opened.
    pub fn open_file(&self, entry: &Entry) -> Result<OpenFile, ContextError> {
        let path = entry.path.clone();
        let file = self.open_for_reading(&path).map_err(|error| open_error(&path, error))?;
        let opened = OpenFile { file, path, stamp: entry.stamp, left: entry.stamp.size };
        if opened.stamp.kind != FileType::RegularFile {
            return Err(ContextError::changed(&opened.path));
        }
        opened.check()?;
        Ok(opened)
    }

    /// Checks that a Dockerfile beneath the root is a regular file of at most [`MAX_DOCKERFILE_BYTES`], which
    /// symbolic links beneath the root may lead to.
    ///
    /// # Errors
    ///
    /// It is missing, something else, or too large.
    pub fn check_dockerfile(&self, name: &str) -> Result<(), ContextError> {
        let shown = || escape(name.as_bytes());
        for path in follow(self, &[name.to_owned()])?.unwrap_or_default() {
            let Ok((stat, target)) = self.look_at(&path) else { continue };
            let stamp = Stamp::of(&stat);
            return match stamp.kind {
                _ if target.is_some() => continue,
                FileType::RegularFile if stamp.size <= MAX_DOCKERFILE_BYTES => Ok(()),
                FileType::RegularFile => Err(ContextError::DockerfileSize { path: shown(), size: stamp.size }),
                _ => Err(ContextError::DockerfileKind { path: shown() }),
            };
        }
        Err(ContextError::NoDockerfile { path: shown() })
    }
}

impl OpenFile {
    /// Reads on into `buffer`, which must not be empty. Returns the number of bytes, never more in all than the
    /// walk saw; 0 only when all of them were read and the file has not changed since.
    ///
    /// What was read is good only once 0 was returned: after an error the receiver must not be told that the
    /// file is complete.
    ///
    /// # Errors
    ///
    /// [`ContextError::Changed`] if the file grew, shrank or was written to; [`ContextError::Read`] if reading fails.
    pub fn read_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, ContextError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.left == 0 {
            self.check()?;
            return Ok(0);
        }
        loop {
            match self.file.read(&mut buffer[..most]) {
                Ok(0) => return Err(ContextError::changed(&self.path)),
                Ok(read) => {
                    self.left -= read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ContextError::read(self.path.as_bytes(), error)),
            }
        }
    }

    /// Whether the open file is the one that was walked, and as it was then.
    fn check(&self) -> Result<(), ContextError> {
        let stat = fstat(&self.file).map_err(|error| ContextError::read(self.path.as_bytes(), error))?;
        if Stamp::of(&stat) == self.stamp { Ok(()) } else { Err(ContextError::changed(&self.path)) }
    }
}
