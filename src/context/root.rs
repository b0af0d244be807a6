//! The root of a build context. All files are opened beneath it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstatfs, open, openat, readlinkat, statat};
use rustix::io::Errno;

use super::error::{ContextError, escape};
use super::memory::MemoryFile;

/// The directory of a build context. No file outside of it is ever opened.
///
/// If a symbolic link leads to the root, it is resolved once, when the root is opened.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
    /// If set, only these names and the targets of their links are served.
    pub(super) only: Option<Vec<String>>,
    pub(super) memory: Option<MemoryFile>,
}

impl Root {
    /// Opens a directory as the root of a build context.
    ///
    /// # Errors
    ///
    /// The directory cannot be opened, is not a directory, or would never be sent on purpose: `/` or a path in
    /// `/proc`.
    pub fn open(path: &Path) -> Result<Self, ContextError> {
        let shown = || escape(path.as_os_str().as_encoded_bytes());
        let failed = |source: io::Error| ContextError::Root { path: shown(), source };
        let resolved = path.canonicalize().map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match open(&resolved, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOTDIR) => return Err(ContextError::NotADirectory { path: shown() }),
            Err(error) => return Err(failed(error.into())),
        };
        let in_proc = fstatfs(&directory).map_err(|error| failed(error.into()))?.f_type == PROC_SUPER_MAGIC;
        if resolved == Path::new("/") || in_proc {
            return Err(ContextError::RefusedRoot { path: shown() });
        }
        Ok(Self { path: resolved, directory, only: None, memory: None })
    }

    /// Opens the directory of `dockerfile`, after checking that the file exists.
    ///
    /// # Errors
    ///
    /// The errors of [`Root::open`] and [`Root::check_dockerfile`].
    pub fn of_dockerfile(dockerfile: &Path) -> Result<Self, ContextError> {
        let directory = dockerfile.parent().filter(|parent| !parent.as_os_str().is_empty());
        let root = Self::open(directory.unwrap_or(Path::new(".")))?;
        root.check_dockerfile(&dockerfile.file_name().unwrap_or_default().to_string_lossy())?;
        Ok(root)
    }

    /// Serves only the files with these names, and the targets of their links. From the directory of a Dockerfile, the
    /// engine needs only the Dockerfile and its ignore file.
    #[must_use]
    pub fn only(self, names: Vec<String>) -> Self {
        Self { only: Some(names), ..self }
    }

    /// Serves only `bytes`, under `name`.
    ///
    /// # Errors
    ///
    /// The file system cannot be opened.
    pub(super) fn of_memory(name: String, bytes: Vec<u8>) -> Result<Self, ContextError> {
        // `/` always exists. None of its files are served, because the file in memory takes the only allowed name.
        let path = PathBuf::from("/");
        let directory = open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let directory = directory.map_err(|error| ContextError::Root { path: "/".into(), source: error.into() })?;
        Ok(Self { path, directory, only: Some(vec![name.clone()]), memory: None }.with_file(name, bytes))
    }

    /// Serves `bytes` under `name`, directly beneath the root. The file hides a file with this name on the disk.
    #[must_use]
    pub fn with_file(self, name: String, bytes: Vec<u8>) -> Self {
        Self { memory: Some(MemoryFile { name, bytes: bytes.into() }), ..self }
    }

    /// The file in memory with this path.
    pub(super) fn in_memory(&self, path: &str) -> Option<&MemoryFile> {
        self.memory.as_ref().filter(|file| file.name == path)
    }

    /// The path of the directory, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory beneath the root. `.` is the root itself.
    pub(super) fn open_directory(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a file beneath the root for reading.
    pub(super) fn open_for_reading(&self, path: &str) -> Result<File, Errno> {
        // If a FIFO replaced a file, opening it must not block.
        self.open_beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    /// The metadata of `path` without following links, and the target if `path` is a symbolic link.
    pub(super) fn look_at(&self, path: &str) -> Result<(Stat, Option<Vec<u8>>), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let directory = self.open_directory(parent)?;
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_link = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
        let target = if is_link { Some(readlinkat(&directory, name, Vec::new())?.into_bytes()) } else { None };
        Ok((stat, target))
    }

    /// Opens a path without following symbolic links in any component.
    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                // Linux before 5.6 and some seccomp profiles do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                answer => return answer,
            }
        }
        open_by_component(self.directory.as_fd(), path, flags)
    }
}

/// Like `openat2`, one component at a time.
fn open_by_component(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parent: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some((name, after)) = rest.split_once('/') {
        refuse_upward(name)?;
        let directory = parent.as_ref().map_or(root, |parent| parent.as_fd());
        parent = Some(openat(directory, name, step, Mode::empty())?);
        rest = after;
    }
    refuse_upward(rest)?;
    openat(parent.as_ref().map_or(root, |parent| parent.as_fd()), rest, flags, Mode::empty())
}

fn refuse_upward(name: &str) -> Result<(), Errno> {
    if name.is_empty() || name == ".." { Err(Errno::XDEV) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{open as opened, tree};
    use super::*;

    #[test]
    fn context_root_of_the_system_is_refused() {
        let files = tree(&["file f", "link root /", "link proc /proc/self"]);
        for path in ["/", "/../", "/proc", "/proc/self", "/proc/self/root"] {
            assert!(matches!(Root::open(Path::new(path)), Err(ContextError::RefusedRoot { .. })), "{path}");
        }
        for name in ["root", "proc"] {
            assert!(matches!(Root::open(&files.path().join(name)), Err(ContextError::RefusedRoot { .. })), "{name}");
        }
        assert!(matches!(Root::open(&files.path().join("f")), Err(ContextError::NotADirectory { .. })));
        let error = Root::open(&files.path().join("none")).unwrap_err();
        assert!(error.to_string().ends_with("/none"), "{error}");
    }

    #[test]
    fn link_to_the_context_root_is_resolved_once() {
        let files = tree(&["dir one", "file one/f", "dir two", "link link one"]);
        let root = Root::open(&files.path().join("link")).unwrap();
        assert!(root.path().ends_with("one"));
        std::fs::remove_file(files.path().join("link")).unwrap();
        std::os::unix::fs::symlink("two", files.path().join("link")).unwrap();
        assert!(root.open_for_reading("f").is_ok());
    }

    #[test]
    fn files_outside_the_root_are_not_opened_even_without_openat2() {
        let outside = tree(&["file canary"]);
        let files = tree(&["dir d", "file d/f", "link d/up ..", "link l d"]);
        std::os::unix::fs::symlink(outside.path(), files.path().join("out")).unwrap();
        let root = opened(&files);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, opens) in [
            ("d/f", true),
            (".", true),
            ("l", false),
            ("l/f", false),
            ("d/up/d/f", false),
            ("out/canary", false),
            ("../x", false),
            ("d/../d/f", false),
            ("..", false),
            ("/etc/passwd", false),
        ] {
            // `openat2` allows `..` that stays beneath the root. No caller creates such a path.
            if !path.contains("d/../d") {
                assert_eq!(root.open_for_reading(path).is_ok(), opens, "{path}");
            }
            assert_eq!(open_by_component(root.directory.as_fd(), path, flags).is_ok(), opens, "by component: {path}");
        }
    }
}
