//! What can be wrong with a build context.

use std::io;

use super::ignore::PatternError;
use super::stages::StageError;

/// A fault of the build context. Paths are relative to its root (or the root itself), and escaped.
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
    /// The root is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The file.
        path: String,
    },
    /// The root is `/` or lies in a proc file system.
    #[error("{path} is refused as a build context")]
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
    /// A name or a link's target is not UTF-8; fsutil's `Stat` holds protobuf strings.
    #[error("the name or the link target of {path} is not UTF-8")]
    NotUtf8 {
        /// The entry.
        path: String,
    },
    /// An entry is no longer what the walk saw.
    #[error("{path} changed while the build context was read")]
    Changed {
        /// The entry.
        path: String,
    },
    /// Symbolic links lead to more places than are followed.
    #[error("{path} leads through too many symbolic links")]
    TooManyLinks {
        /// The path that was asked for.
        path: String,
    },
    /// There is no Dockerfile of that name.
    #[error("there is no {path}")]
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
    /// There is an ignore file, and it does not say what to leave out.
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

/// Why an ignore file does not say what to leave out.
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
    #[error("is a link that leads to no file")]
    Dangling,
    /// The ignore file has bytes that are not UTF-8, as a file in UTF-16 has.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The ignore file has more than [`MAX_IGNORE_FILE_BYTES`](super::MAX_IGNORE_FILE_BYTES).
    #[error("has {0} bytes, more than an ignore file may have")]
    Size(u64),
}

impl IgnoreFileFault {
    fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => "make it readable, or remove it: without it all files of the build context are sent",
            Self::Kind => "write a file of that name, or rename what is there: without it all files are sent",
            Self::Outside | Self::Dangling => "copy the file to where the link is: an engine follows no link out of it",
            Self::NotUtf8 => "save it as UTF-8: nothing would match its lines",
            Self::Size(_) => "write patterns instead of paths",
        }
    }
}

impl ContextError {
    /// What to do next, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Root { .. } => "check `context` and `dockerfile` in the plan",
            Self::NotADirectory { .. } => "name the directory that holds the files",
            Self::RefusedRoot { .. } => "name a directory that holds only what the build needs",
            Self::Read { .. } => "make it readable, or name it in .dockerignore",
            Self::NotUtf8 { .. } => "rename it, or name it in .dockerignore",
            Self::Changed { .. } => "build again when nothing writes to the build context",
            Self::TooManyLinks { .. } => "look for symbolic links that lead back to themselves",
            Self::NoDockerfile { .. } => {
                "check `dockerfile` in the plan: it is relative to the context, and a link must not lead out of its \
                 directory"
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

/// A path that can be shown: control characters and bytes that are not UTF-8 as escapes.
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
    fn a_path_is_shown_without_control_bytes() {
        assert_eq!(escape("grün's".as_bytes()), "grün's");
        assert_eq!(escape(b"a\n\x1b[2J\xff\xe2\x80\xae"), "a\\n\\u{1b}[2J\\xff\\u{202e}");
    }
}
