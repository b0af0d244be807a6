//! A file in memory that a root serves in addition to the files on the disk.

use std::sync::Arc;

use rustix::fs::FileType;

use super::entry::{ContextEntry, EntryKind, Stamp, go_mode};
use crate::oci::Digest;

/// A file in memory.
#[derive(Debug, Clone)]
pub(super) struct MemoryFile {
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

impl MemoryFile {
    /// The entry that a walk yields for the file.
    pub(super) fn entry(&self) -> ContextEntry {
        let (size, mtime_ns) = (self.bytes.len() as u64, self.time());
        let stamp = Stamp { dev: 0, ino: 0, size, mtime_ns, kind: FileType::RegularFile };
        ContextEntry {
            path: self.name.clone(),
            kind: EntryKind::File { size },
            mode: go_mode(0o100_644),
            mtime_ns,
            stamp,
        }
    }

    /// A time that depends on the content. A receiver recognises changed files by size and time, and a file with a new
    /// digest in it often keeps its size.
    fn time(&self) -> i64 {
        let digest = Digest::of(&self.bytes);
        let seconds = digest.hex().get(..8).and_then(|hex| i64::from_str_radix(hex, 16).ok());
        seconds.unwrap_or_default() * 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{following, open, strings, tree, walked};
    use super::super::{ContextError, Root, Selection};
    use super::*;

    fn read(root: &Root, entry: &ContextEntry) -> Result<Vec<u8>, ContextError> {
        let (mut file, mut all, mut buffer) = (root.open_file(entry)?, Vec::new(), [0; 3]);
        loop {
            match file.read_chunk(&mut buffer)? {
                0 => return Ok(all),
                read => all.extend(&buffer[..read]),
            }
        }
    }

    #[test]
    fn file_in_memory_replaces_the_file_on_disk() {
        for on_disk in [&["file b disk", "dir c", "file a"][..], &["link b c", "dir c", "file a"], &["dir c", "file a"]]
        {
            let tree = tree(on_disk);
            let root = open(&tree).with_file("b".into(), b"memory".to_vec());
            assert_eq!(walked(&root, &Selection::default()), ["file a", "file b", "dir c"], "{on_disk:?}");
            let entry = root.walk(&following(&["b"])).unwrap().next().unwrap().unwrap();
            assert_eq!((entry.size(), entry.mode), (6, 0o644));
            assert_eq!(read(&root, &entry).unwrap(), b"memory", "{on_disk:?}");
        }
    }

    #[test]
    fn file_in_memory_is_served_only_if_selected() {
        let tree = tree(&["file a", "dir d", "file d/b"]);
        let root = open(&tree).with_file("b".into(), Vec::new());
        assert_eq!(walked(&root, &following(&["a", "d/b"])), ["file a", "dir d", "file d/b"]);
        assert_eq!(walked(&root.only(strings(&["b"])), &Selection::default()), ["file b"]);
    }

    #[test]
    fn file_in_memory_with_other_bytes_has_another_time() {
        let time = |bytes: &[u8]| MemoryFile { name: "f".into(), bytes: bytes.into() }.entry().mtime_ns;
        assert_eq!(time(b"one"), time(b"one"));
        assert_ne!(time(b"one"), time(b"two"));
    }
}
