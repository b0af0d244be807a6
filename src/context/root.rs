//! The root of a build context, and opening beneath it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstatfs, open, openat, readlinkat, statat};
use rustix::io::Errno;

use super::error::{ContextError, escape};

/// The directory that a build context is read from. Nothing outside of it is ever opened.
///
/// A symbolic link that leads to the root is resolved once, when it is opened.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
    /// Where not `None`, only these names and what they link to are served.
    pub(super) only: Option<Vec<String>>,
}

impl Root {
    /// Opens a directory as the root of a build context.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is no directory, or is one that nobody means to send: `/` or a place in `/proc`.
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
        Ok(Self { path: resolved, directory, only: None })
    }

    /// Serves nothing but the files of these names, and what they link to: for the directory of a Dockerfile,
    /// of which the engine needs the Dockerfile and its ignore file alone.
    #[must_use]
    pub fn only(self, names: Vec<String>) -> Self {
        Self { only: Some(names), ..self }
    }

    /// The directory, with no symbolic link in its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory beneath the root; `.` is the root itself.
    pub(super) fn open_directory(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a file beneath the root for reading.
    pub(super) fn open_for_reading(&self, path: &str) -> Result<File, Errno> {
        // A FIFO that took the place of a file must not block the opening.
        self.open_beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    /// What is at `path`, with no link followed, and for a symbolic link its target.
    pub(super) fn look_at(&self, path: &str) -> Result<(Stat, Option<Vec<u8>>), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let directory = self.open_directory(parent)?;
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_link = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink();
        let target = if is_link { Some(readlinkat(&directory, name, Vec::new())?.into_bytes()) } else { None };
        Ok((stat, target))
    }

    /// Opens with no symbolic link followed in any component.
    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                // Before Linux 5.6, and under seccomp profiles that do not know it.
                Err(Errno::NOSYS | Errno::PERM) => {}
                answer => return answer,
            }
        }
        open_by_component(self.directory.as_fd(), path, flags)
    }
}

/// The same, one component at a time.
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
