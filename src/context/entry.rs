//! What the walk yields: the fields of fsutil's `Stat`.

use rustix::fs::{FileType, Stat};

/// One entry of the build context, as fsutil's `Stat` wants it (tonistiigi/fsutil, `types/stat.proto`).
///
/// Owner and group are always 0, as docker sends them. Extended attributes are left out: they do not survive a
/// checkout, and the same tree shall give the same image everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path beneath the root, with `/`, clean and relative.
    pub path: String,
    /// What the entry is.
    pub kind: Kind,
    /// Go's `os.FileMode`: type bits, setuid, setgid, sticky, permissions.
    pub mode: u32,
    /// The time of the last change, in nanoseconds since 1970; negative before.
    pub mtime_ns: i64,
    /// What identifies the file that was seen.
    pub(super) stamp: Stamp,
}

/// The kinds of entry that a build context holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link; it is never followed.
    Symlink {
        /// What it says, as it says it.
        target: String,
    },
    /// Another name of a regular file that the walk has already yielded.
    HardLink {
        /// The first path of that file.
        target: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A FIFO or a device: the mode says which.
    Node {
        /// The device's number, 0 of a FIFO: its first part.
        major: u32,
        /// Its second part.
        minor: u32,
    },
    /// A socket, which no image can hold: builds go on without it, as those of buildx do.
    Socket,
}

impl Entry {
    /// `Stat.size` in bytes: of a file its content, of a symbolic link its target, of a directory 0.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::Directory | Kind::Node { .. } | Kind::Socket => 0,
            Kind::File { size } | Kind::HardLink { size, .. } => *size,
            Kind::Symlink { target } => target.len() as u64,
        }
    }

    /// `Stat.linkname`: the target of either kind of link, else empty.
    pub fn linkname(&self) -> &str {
        match &self.kind {
            Kind::Directory | Kind::File { .. } | Kind::Node { .. } | Kind::Socket => "",
            Kind::Symlink { target } | Kind::HardLink { target, .. } => target,
        }
    }

    /// Whether the receiver may ask for content (fsutil's `fileCanRequestData`: no type bit is set).
    pub fn has_content(&self) -> bool {
        matches!(self.kind, Kind::File { .. } | Kind::HardLink { .. })
    }
}

/// What tells whether a file is still the one, and still as, that was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) kind: FileType,
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let nanoseconds = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        let clamped = nanoseconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime_ns: i64::try_from(clamped).unwrap_or_default(),
            kind: FileType::from_raw_mode(stat.st_mode),
        }
    }

    /// Whether both are the same file, whatever its content.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.kind) == (other.dev, other.ino, other.kind)
    }
}

/// Go's `os.FileMode` of a Unix mode (Go, package `io/fs`).
pub(super) fn go_mode(mode: u32) -> u32 {
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const FIFO: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const CHARACTER_DEVICE: u32 = DEVICE | 1 << 21;
    const SETUID: u32 = 1 << 23;
    const SETGID: u32 = 1 << 22;
    const STICKY: u32 = 1 << 20;
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => DIRECTORY,
        FileType::Symlink => SYMLINK,
        FileType::Fifo => FIFO,
        FileType::Socket => SOCKET,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => CHARACTER_DEVICE,
        _ => 0,
    };
    let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = special.into_iter().filter(|(bit, _)| mode & bit != 0).fold(0, |bits, (_, bit)| bits | bit);
    kind | special | (mode & 0o777)
}
