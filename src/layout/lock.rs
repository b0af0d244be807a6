//! Who may replace `index.json`: one process at a time, by the lock file that BuildKit takes for its layouts
//! (`client/ociindex`: `index.json.lock`, flock).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tokio::time::{Duration, Instant, sleep};

use super::error::LayoutError;

/// Longest wait for another process: to replace an index takes it milliseconds.
const LONGEST: Duration = Duration::from_secs(10);
/// How often is looked.
const AGAIN: Duration = Duration::from_millis(10);

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Its lock goes with it.
    _file: File,
}

/// Does what replaces an index, again and again while another process holds the lock, for at most 10 s.
///
/// # Errors
/// Those of `replace`.
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
    /// Takes it, unless another process has it.
    pub(super) fn take(directory: &Path) -> Result<Self, LayoutError> {
        let path = directory.join("index.json.lock");
        let mut options = OpenOptions::new();
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        options.write(true).create(true).truncate(false).custom_flags(no_link);
        loop {
            let file = options.open(&path).map_err(|error| LayoutError::at(&path, error))?;
            match file.try_lock() {
                // Who held it has removed it: another file has the name now.
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
        // While it is still held: who waits for it finds that it has no name any more, and makes a new one.
        let _ = fs::remove_file(&self.path);
    }
}
