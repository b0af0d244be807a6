//! The errors of build contexts.

use std::io;

use super::dockerfile::StageError;
use super::ignore::PatternError;

/// An error of the build context. Paths are escaped. A path is relative to the root, or it is the root itself.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The root cannot be opened.
    #[error("cannot open the directory {path}")]
    Root {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The root is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The file.
        path: String,
    },
    /// The root is `/` or lies in a proc file system.
    #[error("polyarch refuses {path} as a build context")]
    RefusedRoot {
        /// The directory.
        path: String,
    },
    /// A file, directory or link cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name or the target of a link is not UTF-8. fsutil's `Stat` has protobuf strings.
    #[error("the name or the link target of {path} is not UTF-8")]
    NotUtf8 {
        /// The entry.
        path: String,
    },
    /// An entry changed since the walk saw it.
    #[error("{path} changed while polyarch read the build context")]
    Changed {
        /// The entry.
        path: String,
    },
    /// Symbolic links lead to more places than polyarch follows.
    #[error("{path} leads through too many symbolic links")]
    TooManyLinks {
        /// The path that was requested.
        path: String,
    },
    /// The Dockerfile does not exist.
    #[error("the Dockerfile {path} does not exist")]
    NoDockerfile {
        /// The Dockerfile.
        path: String,
    },
    /// The Dockerfile is a directory or a special file.
    #[error("{path} is not a regular file")]
    DockerfileKind {
        /// The Dockerfile.
        path: String,
    },
    /// The Dockerfile has more than [`MAX_DOCKERFILE_BYTES`](super::MAX_DOCKERFILE_BYTES).
    #[error("{path} has {size} bytes, more than a Dockerfile may have")]
    DockerfileSize {
        /// The Dockerfile.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// polyarch cannot use an ignore file that exists.
    #[error("{path} {why}")]
    IgnoreFile {
        /// The ignore file.
        path: String,
        /// Why.
        why: IgnoreFileFault,
    },
    /// Stages cannot be added to the Dockerfile.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A list of patterns is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Why polyarch cannot use an ignore file.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreFileFault {
    /// The ignore file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The ignore file is a directory or a special file.
    #[error("is not a regular file")]
    Kind,
    /// The ignore file is a symbolic link that leads out of its directory.
    #[error("is a link that leads out of its directory")]
    Outside,
    /// The ignore file is a symbolic link to nothing.
    #[error("is a link to a file that does not exist")]
    Dangling,
    /// The ignore file has bytes that are not UTF-8, for example because it is UTF-16.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The ignore file has more than [`MAX_IGNORE_FILE_BYTES`](super::MAX_IGNORE_FILE_BYTES).
    #[error("has {0} bytes, more than an ignore file may have")]
    Size(u64),
}

impl IgnoreFileFault {
    fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => {
                "make the file readable, or remove it; without an ignore file polyarch sends the \
                whole build context"
            }
            Self::Kind => {
                "replace the path with a regular file, or rename it; without an ignore file polyarch sends the \
                    whole build context"
            }
            Self::Outside | Self::Dangling => {
                "replace the link with a copy of the file; the engine does not \
                follow links out of the directory"
            }
            Self::NotUtf8 => "save the file as UTF-8; otherwise its patterns match nothing",
            Self::Size(_) => "write patterns instead of paths",
        }
    }
}

impl ContextError {
    /// The next step, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Root { .. } => "check `context` and `dockerfile` in the plan",
            Self::NotADirectory { .. } => "name the directory that holds the files",
            Self::RefusedRoot { .. } => "name a directory that contains only the files of the build",
            Self::Read { .. } => "make the path readable, or list it in .dockerignore",
            Self::NotUtf8 { .. } => "rename the path, or list it in .dockerignore",
            Self::Changed { .. } => "build again when no program writes to the build context",
            Self::TooManyLinks { .. } => "look for symbolic links that lead back to themselves",
            Self::NoDockerfile { .. } => {
                "check `dockerfile` in the plan: the path is relative to the context, and a link must not lead \
                    out of its directory"
            }
            Self::DockerfileKind { .. } | Self::DockerfileSize { .. } => "name a Dockerfile in `dockerfile`",
            Self::IgnoreFile { why, .. } => why.hint(),
            Self::Stage(error) => error.hint(),
            Self::Pattern(error) => error.hint(),
        }
    }

    pub(super) fn read(path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Read { path: escape(path), source: source.into() }
    }

    pub(super) fn changed(path: &str) -> Self {
        Self::Changed { path: escape(path.as_bytes()) }
    }
}

/// A path that is safe to show. Control characters and bytes that are not UTF-8 are escaped.
pub(super) fn escape(path: &[u8]) -> String {
    let mut shown = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '"' => shown.push(c),
                other => shown.extend(other.escape_debug()),
            }
        }
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_shown_without_control_bytes() {
        assert_eq!(escape("grün's".as_bytes()), "grün's");
        assert_eq!(escape(b"a\n\x1b[2J\xff\xe2\x80\xae"), "a\\n\\u{1b}[2J\\xff\\u{202e}");
    }
}
