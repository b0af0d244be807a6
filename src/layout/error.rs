//! The errors of reading and writing a layout.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::oci::{Digest, ManifestError};

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file system returns an error.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        error: io::Error,
    },
    /// A link, or another file that is not a regular file of the layout.
    #[error("{} is not a file of the layout; polyarch does not follow links", .0.display())]
    Special(PathBuf),
    /// `index.json` does not exist.
    #[error("{} is not an image layout: it has no index.json", .0.display())]
    NoLayout(PathBuf),
    /// `index.json` or `oci-layout` is not valid.
    #[error("{}: {why}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The tag does not exist.
    #[error("the layout has {has}")]
    NoTag {
        /// The images of the layout, as text.
        has: String,
    },
    /// The reference has neither tag nor digest, and the layout does not have exactly one image.
    #[error("the layout has several images ({has}); name one of them as oci:DIR:TAG")]
    Several {
        /// The images of the layout, as text.
        has: String,
    },
    /// Two entries with the same name and different content.
    #[error("its index.json has two images with this tag")]
    Twice,
    /// The bytes differ from the descriptor.
    #[error("{digest} has the wrong content: {written} of {size} bytes, with the digest {actual}")]
    Content {
        /// The expected digest.
        digest: Digest,
        /// The expected size.
        size: u64,
        /// The number of bytes.
        written: u64,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// There are more bytes than the descriptor specifies.
    #[error("{0} has more bytes than its descriptor specifies")]
    TooLong(Digest),
    /// A blob has another size than the descriptor specifies.
    #[error("{digest} should have {size} bytes, and has {actual}")]
    Size {
        /// The expected digest.
        digest: Digest,
        /// The expected size.
        size: u64,
        /// The size of the file.
        actual: u64,
    },
    /// A blob cannot be read.
    #[error("{digest} cannot be read: {error}")]
    Unread {
        /// The blob.
        digest: Digest,
        /// The error of the file system.
        error: io::Error,
    },
    /// The content is larger than polyarch reads.
    #[error("{digest} has more than the {limit} bytes that polyarch reads")]
    TooLarge {
        /// The content.
        digest: Digest,
        /// The limit in bytes.
        limit: usize,
    },
    /// The content does not exist.
    #[error("{0} is not in the directory")]
    Missing(Digest),
    /// The bytes are not a manifest, or polyarch refuses the manifest.
    #[error("it has a manifest that polyarch cannot use")]
    Manifest(#[source] ManifestError),
    /// The thread that worked on the layout has ended.
    #[error("the thread that read or wrote the layout ended")]
    Ended,
    /// Another process writes the layout and does not finish.
    #[error("another program is writing this layout and holds the lock {}", .0.display())]
    Locked(PathBuf),
}

impl LayoutError {
    pub(super) fn at(path: &Path, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let code = error.raw_os_error();
        // `O_NOFOLLOW` found a link in place of a file or a directory.
        if code == Some(Errno::LOOP.raw_os_error()) || code == Some(Errno::NOTDIR.raw_os_error()) {
            return Self::Special(path.to_owned());
        }
        Self::File { path: path.to_owned(), error }
    }

    /// Whether the name does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoLayout(_) | Self::NoTag { .. } | Self::Missing(_))
    }

    /// Whether polyarch must not trust the content.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Special(_)
                | Self::Index { .. }
                | Self::Twice
                | Self::Content { .. }
                | Self::TooLong(_)
                | Self::Size { .. }
                | Self::TooLarge { .. }
                | Self::Manifest(_)
        )
    }

    /// The next step in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Special(_) => "copy the layout and resolve its links: `cp -RL`".to_owned(),
            Self::Content { .. } | Self::Size { .. } => "write the layout again, because it is damaged".to_owned(),
            Self::Locked(path) => {
                format!("wait for the other program, or remove {} if no program uses this layout", path.display())
            }
            _ => return None,
        })
    }
}

/// Turns a missing file into `None`.
pub(super) fn present<T>(read: Result<T, LayoutError>) -> Result<Option<T>, LayoutError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(LayoutError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
