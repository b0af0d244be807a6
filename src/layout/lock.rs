//! The lock for replacing `index.json`. BuildKit uses the same lock file for its layouts (`client/ociindex`:
//! `index.json.lock`, flock). Only one process holds the lock at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tokio::time::{Duration, Instant, sleep};

use super::error::LayoutError;

/// The longest wait for another process. Replacing an index takes milliseconds.
const LONGEST: Duration = Duration::from_secs(10);
/// The time between two attempts.
const AGAIN: Duration = Duration::from_millis(10);

/// The lock. Dropping it releases the lock.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Closing the file releases the lock.
    _file: File,
}

/// Calls `replace` again while another process holds the lock, for at most 10 s.
///
/// # Errors
/// The errors of `replace`.
pub async fn when_free<F>(mut replace: impl FnMut() -> F) -> Result<(), LayoutError>
where
    F: Future<Output = Result<(), LayoutError>>,
{
    let end = Instant::now() + LONGEST;
    loop {
        match replace().await {
            Err(LayoutError::Locked(_)) if Instant::now() < end => sleep(AGAIN).await,
            replaced => return replaced,
        }
    }
}

impl Lock {
    /// Takes the lock, unless another process holds it.
    pub(super) fn take(directory: &Path) -> Result<Self, LayoutError> {
        let path = directory.join("index.json.lock");
        let mut options = OpenOptions::new();
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        options.write(true).create(true).truncate(false).custom_flags(no_link);
        loop {
            let file = options.open(&path).map_err(|error| LayoutError::at(&path, error))?;
            match file.try_lock() {
                // The previous holder may have removed the file. Then another file has the name now.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(LayoutError::Locked(path)),
                Err(TryLockError::Error(error)) => return Err(LayoutError::at(&path, error)),
            }
        }
    }
}

/// Whether `path` is the name of `file`.
fn is_at(file: &File, path: &Path) -> bool {
    let named = fs::symlink_metadata(path);
    let same = file.metadata().and_then(|own| Ok((own, named?)));
    same.is_ok_and(|(own, named)| (own.dev(), own.ino()) == (named.dev(), named.ino()))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Remove the file while the lock is held. A waiting process notices that the file has no name, and creates a
        // new one.
        let _ = fs::remove_file(&self.path);
    }
}
