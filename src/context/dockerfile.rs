//! What a Dockerfile tells before it is built.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::instructions::{Instruction, instructions};
use super::{ContextError, IgnoreFile, MAX_DOCKERFILE_BYTES, Root};

/// The Dockerfile that a build is given, as against one that the engine fetches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenDockerfile {
    /// A file.
    File(PathBuf),
    /// Its text, which is no file.
    Text(Arc<str>),
}

impl GivenDockerfile {
    /// The default name, and the name under which polyarch sends a text that is not in a file.
    pub const NAME: &str = "Dockerfile";

    /// Its name in the directory that is served for it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Text(_) => Self::NAME.to_owned(),
        }
    }

    /// A directory of which nothing but it and its ignore file is served.
    ///
    /// # Errors
    /// There is none, or it is too large.
    pub fn open(&self) -> Result<Root, ContextError> {
        match self {
            Self::File(path) => {
                Ok(Root::of_dockerfile(path)?.only(vec![format!("{}.dockerignore", self.name()), self.name()]))
            }
            Self::Text(text) if text.len() as u64 > MAX_DOCKERFILE_BYTES => {
                Err(ContextError::DockerfileSize { path: self.name(), size: text.len() as u64 })
            }
            Self::Text(text) => Root::of_memory(self.name(), text.as_bytes().to_vec()),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, ContextError> {
        match self {
            Self::File(path) => Root::of_dockerfile(path)?.read_dockerfile(&self.name()),
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
        }
    }

    /// Checks the Dockerfile's own ignore file, `<Dockerfile>.dockerignore`, which goes before that of the build
    /// context.
    ///
    /// # Errors
    /// There is no Dockerfile; else as for [`Root::check_ignore_file`].
    pub fn check_ignore_file(&self) -> Result<IgnoreFile, ContextError> {
        match self {
            Self::File(path) => Root::of_dockerfile(path)?.check_ignore_file(&format!("{}.dockerignore", self.name())),
            Self::Text(_) => Ok(IgnoreFile::Absent),
        }
    }

    /// Whether what it copies depends on the platform: `COPY app-${TARGETARCH} /app`.
    ///
    /// Platforms that need different files of one context had better keep a copy of it each on the engine: BuildKit
    /// keeps one a shared key, and each would evict what the other needs. It is a guess by the words of `COPY` and `ADD`
    /// (BuildKit, "Automatic platform ARGs"); a wrong one costs a transfer, and nothing else. A file that cannot be read
    /// is for the build to complain of.
    pub fn copies_by_platform(&self) -> bool {
        match self {
            Self::File(path) => copies_by_platform(path),
            Self::Text(text) => names_platform(text.as_bytes()),
        }
    }
}

/// The path of the Dockerfile. If `Dockerfile` does not exist, a lower-case `dockerfile` takes its place, as in BuildKit
/// and buildx.
#[must_use]
pub fn dockerfile_at(path: &Path) -> PathBuf {
    let lower = path.with_file_name(GivenDockerfile::NAME.to_lowercase());
    let is_missing =
        path.file_name().is_some_and(|name| name == GivenDockerfile::NAME) && path.symlink_metadata().is_err();
    if is_missing && lower.is_file() { lower } else { path.to_owned() }
}

fn copies_by_platform(dockerfile: &Path) -> bool {
    let mut text = Vec::new();
    // Opening a FIFO would wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(dockerfile);
    let regular = opened.ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
    let read = regular.map(|file| file.take(MAX_DOCKERFILE_BYTES).read_to_end(&mut text));
    matches!(read, Some(Ok(_))) && names_platform(&text)
}

fn names_platform(dockerfile: &[u8]) -> bool {
    let copies = |instruction: &Instruction| matches!(instruction.keyword().as_str(), "COPY" | "ADD");
    let names = |text: &str| ["$TARGET", "${TARGET"].iter().any(|name| text.contains(name));
    instructions(dockerfile).iter().any(|instruction| copies(instruction) && names(&instruction.text))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn a_dockerfile_that_is_a_fifo_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("Dockerfile");
        mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(!copies_by_platform(&fifo));
        assert!(!copies_by_platform(directory.path()));
    }

    #[test]
    fn copies_that_name_the_platform_are_found() {
        for (text, names) in [
            ("FROM scratch\nARG TARGETARCH\nCOPY app-${TARGETARCH} /app", true),
            ("copy \\\n  --chmod=755 \\\n  app-$TARGETARCH /app", true),
            ("ADD dist/$TARGETPLATFORM/app /", true),
            ("COPY . .\nRUN make ARCH=$TARGETARCH", false),
            ("COPY a \\\n b /\nRUN echo $TARGETARCH", false),
            ("# COPY app-$TARGETARCH\nFROM scratch", false),
        ] {
            assert_eq!(names_platform(text.as_bytes()), names, "{text:?}");
        }
    }
}
