//! Reads the files of a walk.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read as _};
use std::sync::Arc;

use rustix::fs::{FileType, fstat};

use super::entry::{ContextEntry, Stamp};
use super::error::{ContextError, escape};
use super::follow::follow;
use super::root::Root;
use super::walk::open_error;

/// The largest Dockerfile, in bytes.
pub const MAX_DOCKERFILE_BYTES: u64 = 1024 * 1024;

/// An open file of the build context; see [`Root::open_file`].
#[derive(Debug)]
pub struct OpenFile {
    content: Content,
    path: String,
    stamp: Stamp,
    left: u64,
}

#[derive(Debug)]
enum Content {
    OnDisk(File),
    InMemory(Cursor<Arc<[u8]>>),
}

impl Root {
    /// Opens a file that the walk yielded, if it has not changed since.
    ///
    /// # Errors
    ///
    /// The file was replaced or modified, or a parent became a symbolic link: [`ContextError::Changed`]. The file
    /// cannot be opened: [`ContextError::Read`].
    pub fn open_file(&self, entry: &ContextEntry) -> Result<OpenFile, ContextError> {
        let path = entry.path.clone();
        if let Some(file) = self.in_memory(&path) {
            let content = Content::InMemory(Cursor::new(file.bytes.clone()));
            return Ok(OpenFile { content, path, stamp: entry.stamp, left: entry.stamp.size });
        }
        let file = self.open_for_reading(&path).map_err(|error| open_error(&path, error))?;
        let opened = OpenFile { content: Content::OnDisk(file), path, stamp: entry.stamp, left: entry.stamp.size };
        if opened.stamp.kind != FileType::RegularFile {
            return Err(ContextError::changed(&opened.path));
        }
        opened.check()?;
        Ok(opened)
    }

    /// Checks that a Dockerfile beneath the root is a regular file of at most [`MAX_DOCKERFILE_BYTES`]. Symbolic links
    /// beneath the root may lead to it.
    ///
    /// # Errors
    ///
    /// The file does not exist, is not a regular file, or is too large.
    pub fn check_dockerfile(&self, name: &str) -> Result<(), ContextError> {
        self.find_dockerfile(name).map(drop)
    }

    /// Reads a Dockerfile beneath the root.
    ///
    /// # Errors
    ///
    /// The errors of [`Root::check_dockerfile`], or the file cannot be read.
    pub fn read_dockerfile(&self, name: &str) -> Result<Vec<u8>, ContextError> {
        let path = self.find_dockerfile(name)?;
        let file = self.open_for_reading(&path).map_err(|error| open_error(&path, error))?;
        let mut text = Vec::new();
        let read = file.take(MAX_DOCKERFILE_BYTES).read_to_end(&mut text);
        read.map(|_| text).map_err(|error| ContextError::read(path.as_bytes(), error))
    }

    /// The path of a Dockerfile after following symbolic links.
    fn find_dockerfile(&self, name: &str) -> Result<String, ContextError> {
        let shown = || escape(self.path().join(name).as_os_str().as_encoded_bytes());
        for path in follow(self, &[name.to_owned()])?.unwrap_or_default() {
            let Ok((stat, target)) = self.look_at(&path) else { continue };
            let stamp = Stamp::of(&stat);
            return match stamp.kind {
                _ if target.is_some() => continue,
                FileType::RegularFile if stamp.size <= MAX_DOCKERFILE_BYTES => Ok(path),
                FileType::RegularFile => Err(ContextError::DockerfileSize { path: shown(), size: stamp.size }),
                _ => Err(ContextError::DockerfileKind { path: shown() }),
            };
        }
        Err(ContextError::NoDockerfile { path: shown() })
    }
}

impl OpenFile {
    /// Reads more bytes into `buffer`, which must not be empty. Returns the number of bytes, in total at most the size
    /// that the walk saw. Returns 0 only if all bytes were read and the file has not changed.
    ///
    /// The bytes are valid only after the function returned 0. After an error, the caller must not report the file as
    /// complete to the receiver.
    ///
    /// # Errors
    ///
    /// [`ContextError::Changed`] if the file grew, shrank or was written to; [`ContextError::Read`] if reading fails.
    pub fn read_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, ContextError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.left == 0 {
            self.check()?;
            return Ok(0);
        }
        loop {
            let read = match &mut self.content {
                Content::OnDisk(file) => file.read(&mut buffer[..most]),
                Content::InMemory(bytes) => bytes.read(&mut buffer[..most]),
            };
            match read {
                Ok(0) => return Err(ContextError::changed(&self.path)),
                Ok(read) => {
                    self.left -= read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ContextError::read(self.path.as_bytes(), error)),
            }
        }
    }

    /// Checks that the open file is the one that was walked, and that it has not changed.
    fn check(&self) -> Result<(), ContextError> {
        let Content::OnDisk(file) = &self.content else { return Ok(()) };
        let stat = fstat(file).map_err(|error| ContextError::read(self.path.as_bytes(), error))?;
        if Stamp::of(&stat) == self.stamp { Ok(()) } else { Err(ContextError::changed(&self.path)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tempfile::TempDir;

    use super::super::Selection;
    use super::super::testing::{open, tree};
    use super::*;

    fn entry(root: &Root, path: &str) -> ContextEntry {
        root.walk(&Selection::default()).unwrap().map(Result::unwrap).find(|entry| entry.path == path).unwrap()
    }

    fn read(mut file: OpenFile) -> Result<Vec<u8>, ContextError> {
        let (mut all, mut buffer) = (Vec::new(), [0; 4]);
        loop {
            match file.read_chunk(&mut buffer)? {
                0 => return Ok(all),
                read => all.extend(&buffer[..read]),
            }
        }
    }

    fn append(tree: &TempDir, text: &str) {
        OpenOptions::new().append(true).open(tree.path().join("d/f")).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn file_content_is_read_in_chunks() {
        let tree = tree(&["file f 0123456789", "file empty"]);
        fs::hard_link(tree.path().join("f"), tree.path().join("g")).unwrap();
        let root = open(&tree);
        for (path, content) in [("f", "0123456789"), ("g", "0123456789"), ("empty", "")] {
            assert_eq!(read(root.open_file(&entry(&root, path)).unwrap()).unwrap(), content.as_bytes(), "{path}");
        }
    }

    #[test]
    fn sparse_file_reads_as_zeros_of_its_full_size() {
        let tree = tree(&["file sparse"]);
        OpenOptions::new().write(true).open(tree.path().join("sparse")).unwrap().set_len(8 << 20).unwrap();
        let root = open(&tree);
        let mut file = root.open_file(&entry(&root, "sparse")).unwrap();
        let (mut total, mut buffer) = (0, vec![1; 1 << 20]);
        loop {
            let read = file.read_chunk(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            assert!(buffer[..read].iter().all(|byte| *byte == 0));
            total += read;
        }
        assert_eq!(total, 8 << 20);
    }

    type Change<'a> = &'a dyn Fn(&TempDir);

    /// The change of `d/f` between the walk and the opening.
    #[test]
    fn file_that_changed_since_the_walk_is_an_error() {
        let outside = tree(&["file f 0123456789"]);
        let replace: [(&str, Change<'_>); 7] = [
            ("grows", &|tree| append(tree, "more")),
            ("shrinks", &|tree| fs::write(tree.path().join("d/f"), "0").unwrap()),
            ("is replaced", &|tree| {
                fs::write(tree.path().join("new"), "abcdefghij").unwrap();
                fs::rename(tree.path().join("new"), tree.path().join("d/f")).unwrap();
            }),
            ("vanishes", &|tree| fs::remove_file(tree.path().join("d/f")).unwrap()),
            ("becomes a link", &|tree| {
                fs::remove_file(tree.path().join("d/f")).unwrap();
                symlink(outside.path().join("f"), tree.path().join("d/f")).unwrap();
            }),
            ("becomes a FIFO that nobody writes to", &|tree| {
                fs::remove_file(tree.path().join("d/f")).unwrap();
                mkfifoat(CWD, tree.path().join("d/f"), Mode::RUSR).unwrap();
            }),
            ("has a parent that becomes a link", &|tree| {
                fs::rename(tree.path().join("d"), tree.path().join("moved")).unwrap();
                symlink("moved", tree.path().join("d")).unwrap();
            }),
        ];
        for (what, change) in replace {
            let tree = tree(&["dir d", "file d/f 0123456789"]);
            let root = open(&tree);
            let walked = entry(&root, "d/f");
            change(&tree);
            let error = root.open_file(&walked).unwrap_err();
            assert_eq!(error.to_string(), "d/f changed while polyarch read the build context", "{what}");
        }
    }

    #[test]
    fn file_that_changes_while_it_is_read_gives_no_more_bytes() {
        for (what, text, truncate) in [("grows", "smuggled", false), ("shrinks", "01234", true)] {
            let tree = tree(&["dir d", "file d/f 0123456789"]);
            let root = open(&tree);
            let mut file = root.open_file(&entry(&root, "d/f")).unwrap();
            let mut buffer = [0; 8];
            assert_eq!(file.read_chunk(&mut buffer).unwrap(), 8);
            if truncate {
                fs::write(tree.path().join("d/f"), text).unwrap();
            } else {
                append(&tree, text);
                assert_eq!(file.read_chunk(&mut buffer).unwrap(), 2, "no byte of what was appended");
            }
            let error = file.read_chunk(&mut buffer).unwrap_err();
            assert_eq!(error.to_string(), "d/f changed while polyarch read the build context", "{what}");
        }
    }

    #[test]
    fn directories_and_links_are_not_opened_as_files() {
        let tree = tree(&["dir d", "link l d"]);
        let root = open(&tree);
        for path in ["d", "l"] {
            assert!(matches!(root.open_file(&entry(&root, path)), Err(ContextError::Changed { .. })), "{path}");
        }
    }

    #[test]
    fn dockerfile_must_be_a_regular_file_of_bounded_size() {
        let tree = tree(&[
            "file Dockerfile",
            "dir dir",
            "link link dir/real",
            "file dir/real",
            "link dangling none",
            "link out /etc/passwd",
        ]);
        let large = OpenOptions::new().create(true).truncate(true).write(true).open(tree.path().join("large")).unwrap();
        large.set_len(MAX_DOCKERFILE_BYTES + 1).unwrap();
        let root = open(&tree);
        for good in ["Dockerfile", "link", "dir/real"] {
            root.check_dockerfile(good).unwrap();
        }
        assert!(matches!(root.check_dockerfile("dir"), Err(ContextError::DockerfileKind { .. })));
        assert!(matches!(root.check_dockerfile("large"), Err(ContextError::DockerfileSize { .. })));
        for missing in ["none", "dangling", "out", "."] {
            let error = root.check_dockerfile(missing).unwrap_err();
            assert!(matches!(error, ContextError::NoDockerfile { .. }), "{missing}: {error}");
            assert!(error.to_string().contains(root.path().to_str().unwrap()), "{error}");
        }
    }
}
