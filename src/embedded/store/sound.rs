//! Content whose bytes are known to match its digest.
//!
//! After the store has hashed a file, it sets the file's modification time to a number made of the digest. Any later
//! change of the file changes this time, too. The store then hashes the bytes again before it serves them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::disk::StoreError;
use crate::oci::{Digest, Hasher};

/// The bytes that the store hashes at a time.
const READ_BYTES: usize = 256 << 10;

/// Marks a file whose bytes have the hash `digest`.
pub(super) fn mark(path: &Path, digest: &Digest) -> Result<(), StoreError> {
    let marked = File::open(path).and_then(|file| file.set_modified(mark_of(digest)));
    marked.map_err(StoreError::at("mark", path))
}

/// A time that every file system can store: 31 bits of seconds.
fn mark_of(digest: &Digest) -> SystemTime {
    let seconds = u32::from_str_radix(&digest.hex()[..8], 16).unwrap_or_default() >> 1;
    UNIX_EPOCH + Duration::from_secs(seconds.into())
}

/// The size in bytes of the content of `digest` at `path`. `None` means that the file is missing or has other bytes.
pub(super) fn size(path: &Path, digest: &Digest) -> Result<Option<u64>, StoreError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::at("read", path)(error)),
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.modified().is_ok_and(|changed| changed == mark_of(digest)) {
        return Ok(Some(metadata.len()));
    }
    if hashed(path).map_err(StoreError::at("read", path))? != *digest {
        told(digest);
        return Ok(None);
    }
    if let Err(error) = mark(path, digest) {
        // The file is hashed again the next time.
        tracing::debug!("{}", &error as &dyn std::error::Error);
    }
    Ok(Some(metadata.len()))
}

fn hashed(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Hasher::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&bytes[..read]),
        }
    }
}

/// Warns that the bytes of the content do not match its digest.
pub(super) fn told(digest: &Digest) {
    tracing::warn!("the embedded registry stores wrong bytes for {digest}: push this content again");
}
