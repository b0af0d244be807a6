//! The entries that a walk yields, with the fields of fsutil's `Stat`.

use rustix::fs::{FileType, Stat};

/// One entry of the build context, with the fields of fsutil's `Stat` (tonistiigi/fsutil, `types/stat.proto`).
///
/// Owner and group are always 0, as in docker. Extended attributes are omitted: a checkout loses them, and the same
/// tree must give the same image everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextEntry {
    /// The path relative to the root, cleaned, with `/` as separator.
    pub path: String,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// Go's `os.FileMode`: type bits, setuid, setgid, sticky, permissions.
    pub mode: u32,
    /// The time of the last change, in nanoseconds since 1970. Earlier times are negative.
    pub mtime_ns: i64,
    /// Identifies the file that the walk saw.
    pub(super) stamp: Stamp,
}

/// The kinds of entry that a build context holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link. The walk never follows it.
    Symlink {
        /// The target, unchanged.
        target: String,
    },
    /// Another name of a regular file that the walk already yielded.
    HardLink {
        /// The first path of that file.
        target: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A FIFO or a device. The mode distinguishes them.
    Node {
        /// The major number of the device, or 0 for a FIFO.
        major: u32,
        /// The minor number of the device, or 0 for a FIFO.
        minor: u32,
    },
    /// A socket. No image can contain a socket, so builds skip it, as in buildx.
    Socket,
}

impl ContextEntry {
    /// `Stat.size`: the bytes of a file's content or of a link's target, or 0 for a directory.
    pub fn size(&self) -> u64 {
        match &self.kind {
            EntryKind::Directory | EntryKind::Node { .. } | EntryKind::Socket => 0,
            EntryKind::File { size } | EntryKind::HardLink { size, .. } => *size,
            EntryKind::Symlink { target } => target.len() as u64,
        }
    }

    /// `Stat.linkname`: the target of a symbolic link or a hard link. Other entries have an empty text.
    pub fn linkname(&self) -> &str {
        match &self.kind {
            EntryKind::Directory | EntryKind::File { .. } | EntryKind::Node { .. } | EntryKind::Socket => "",
            EntryKind::Symlink { target } | EntryKind::HardLink { target, .. } => target,
        }
    }

    /// Whether the receiver may ask for content (fsutil's `fileCanRequestData`: no type bit is set).
    pub fn has_content(&self) -> bool {
        matches!(self.kind, EntryKind::File { .. } | EntryKind::HardLink { .. })
    }
}

/// Identifies a file and its state, so that changes since the walk are visible.
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

    /// Whether both are the same file. The content may differ.
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
