//! Why a layout cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::oci::{Digest, ManifestError};

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file system refuses.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// A link, or another thing that is no file of the layout.
    #[error("{} is no file of the layout: links are not followed", .0.display())]
    Special(PathBuf),
    /// There is no `index.json`.
    #[error("{} is no image layout: it has no index.json", .0.display())]
    NoLayout(PathBuf),
    /// `index.json` or `oci-layout` is none.
    #[error("{}: {why}", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing has this tag.
    #[error("the layout has {has}")]
    NoTag {
        /// What is there, in words.
        has: String,
    },
    /// Neither tag nor digest was named, and there is not one image.
    #[error("the layout has {has}: which of them is meant is not said")]
    Several {
        /// What is there, in words.
        has: String,
    },
    /// Two entries with one name, of different content.
    #[error("its index.json has two images of this tag")]
    Twice,
    /// Other bytes than were named.
    #[error("{digest} was to have {size} bytes and has {written}, which are {actual}")]
    Content {
        /// What was named.
        digest: Digest,
        /// Its size.
        size: u64,
        /// How many bytes came.
        written: u64,
        /// What they are.
        actual: Digest,
    },
    /// More bytes than were named.
    #[error("{0} has more bytes than were named")]
    TooLong(Digest),
    /// A blob of another size than was named.
    #[error("{digest} was to have {size} bytes and has {actual}")]
    Size {
        /// What was named.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The file's size.
        actual: u64,
    },
    /// A blob cannot be read.
    #[error("{digest} cannot be read: {error}")]
    Unread {
        /// Which one.
        digest: Digest,
        /// What the file system says.
        error: io::Error,
    },
    /// More than is read of such content.
    #[error("{digest} has more than the {limit} bytes that are read of this")]
    TooLarge {
        /// What it is.
        digest: Digest,
        /// The limit in bytes.
        limit: usize,
    },
    /// What is named is not there.
    #[error("{0} is not in the directory")]
    Missing(Digest),
    /// The bytes are no manifest, or one that is refused.
    #[error("it has a manifest that cannot be used")]
    Manifest(#[source] ManifestError),
    /// The thread that worked on it is gone.
    #[error("the thread that read or wrote the layout ended")]
    Ended,
    /// Another process writes it, and does not end.
    #[error("{} is held by another program that writes this layout", .0.display())]
    Locked(PathBuf),
}

impl LayoutError {
    pub(super) fn at(path: &Path, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let code = error.raw_os_error();
        // A link, where a file or a directory is opened that must not be one.
        if code == Some(Errno::LOOP.raw_os_error()) || code == Some(Errno::NOTDIR.raw_os_error()) {
            return Self::Special(path.to_owned());
        }
        Self::File { path: path.to_owned(), error }
    }

    /// Whether there is nothing under the name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoLayout(_) | Self::NoTag { .. } | Self::Missing(_))
    }

    /// Whether going on would trust what must not be trusted.
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

    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Special(_) => "copy the layout with its links resolved: `cp -RL`".to_owned(),
            Self::Content { .. } | Self::Size { .. } => "the layout is damaged: have it written again".to_owned(),
            Self::Locked(path) => format!("if no program does, remove {}", path.display()),
            _ => return None,
        })
    }
}

/// What is not there is no error.
pub(super) fn present<T>(read: Result<T, LayoutError>) -> Result<Option<T>, LayoutError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(LayoutError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
