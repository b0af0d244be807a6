//! Information that polyarch reads from a Dockerfile before the build.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::dockerfile::{Instruction, instructions};
use super::{ContextError, IgnoreFile, MAX_DOCKERFILE_BYTES, Root};

/// A Dockerfile that polyarch sends to the engine. The engine fetches the Dockerfile of a remote context itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenDockerfile {
    /// A file.
    File(PathBuf),
    /// The text of the Dockerfile, without a file.
    Text(Arc<str>),
}

impl GivenDockerfile {
    /// The default name. polyarch also uses it for a Dockerfile without a file.
    pub const NAME: &str = "Dockerfile";

    /// The name in the directory that polyarch serves to the engine.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Text(_) => Self::NAME.to_owned(),
        }
    }

    /// A root that serves only the Dockerfile and its ignore file.
    ///
    /// # Errors
    /// The Dockerfile does not exist, or it is too large.
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

    /// The bytes of the Dockerfile.
    ///
    /// # Errors
    /// polyarch cannot read the file.
    pub fn read(&self) -> Result<Vec<u8>, ContextError> {
        match self {
            Self::File(path) => Root::of_dockerfile(path)?.read_dockerfile(&self.name()),
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
        }
    }

    /// Checks the Dockerfile's own ignore file, `<Dockerfile>.dockerignore`. This file takes precedence over the
    /// ignore file of the build context.
    ///
    /// # Errors
    /// The Dockerfile does not exist. Otherwise the errors of [`Root::check_ignore_file`].
    pub fn check_ignore_file(&self) -> Result<IgnoreFile, ContextError> {
        match self {
            Self::File(path) => Root::of_dockerfile(path)?.check_ignore_file(&format!("{}.dockerignore", self.name())),
            Self::Text(_) => Ok(IgnoreFile::Absent),
        }
    }

    /// Whether the copied files depend on the platform: `COPY app-${TARGETARCH} /app`.
    ///
    /// BuildKit keeps one copy of the context for each shared key. If platforms need different files, each would evict
    /// the files of the other. Such platforms should have separate copies. The function guesses from the text of
    /// `COPY` and `ADD` (BuildKit, "Automatic platform ARGs"). A wrong guess only costs a transfer. If the file cannot
    /// be read, the build reports it.
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
    fn dockerfile_that_is_a_fifo_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("Dockerfile");
        mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(!copies_by_platform(&fifo));
        assert!(!copies_by_platform(directory.path()));
    }

    #[test]
    fn copies_that_name_the_platform_are_detected() {
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
