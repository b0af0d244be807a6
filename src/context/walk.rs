//! The walk: the entries of a build context, filtered, in the order that `BuildKit`'s receiver requires.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::vec;

use rustix::fs::{AtFlags, Dir, FileType, fstat, readlinkat, statat};
use rustix::io::Errno;

use super::entry::{Entry, Kind, Stamp, go_mode};
use super::error::{ContextError, escape};
use super::filter::{DirMatches, Filter, Judgement, Selection};
use super::root::Root;

/// Iterates over the entries of a build context; see [`Root::walk`]. It ends after the first error.
#[derive(Debug)]
pub struct Walk<'a> {
    root: &'a Root,
    filter: Filter,
    /// The directories from the root to the place of the walk.
    levels: Vec<Level>,
    /// Entries to be yielded before the walk goes on.
    ready: VecDeque<Entry>,
    /// The first path of each file that has several.
    links: HashMap<(u64, u64), String>,
}

#[derive(Debug)]
struct Level {
    /// The directory, if it is not wanted for itself and nothing beneath it has been yielded.
    withheld: Option<Entry>,
    children: vec::IntoIter<Child>,
}

#[derive(Debug)]
struct Child {
    entry: Entry,
    judgement: Judgement,
    has_other_names: bool,
}

impl Root {
    /// Walks what `selection` wants: parents before children, siblings by the bytes of their names (fsutil's
    /// `ComparePath`, which its receiver checks).
    ///
    /// Entries are read as the iterator advances. It holds the names of the directories from the root to its
    /// place, and the paths of files with several links; at most two directories are open at a time. A parent
    /// that is not wanted itself is yielded before the first wanted entry beneath it.
    ///
    /// # Errors
    ///
    /// A malformed pattern, or symbolic links on the way of a followed path that cannot be read. The iterator
    /// yields an error that names the path for what is wanted but cannot be read, is a socket, FIFO or device,
    /// has a name that is not UTF-8, or is replaced during the walk.
    pub fn walk(&self, selection: &Selection) -> Result<Walk<'_>, ContextError> {
        let filter = Filter::new(self, selection)?;
        let directory = self.open_directory(".").map_err(|error| ContextError::read(b".", error))?;
        let children = list(directory.as_fd(), "", &filter, None)?.into_iter();
        let levels = vec![Level { withheld: None, children }];
        Ok(Walk { root: self, filter, levels, ready: VecDeque::new(), links: HashMap::new() })
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, ContextError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            let Some(child) = self.levels.last_mut()?.children.next() else {
                self.levels.pop();
                continue;
            };
            if let Err(error) = self.visit(child) {
                self.levels.clear();
                self.ready.clear();
                return Some(Err(error));
            }
        }
    }
}

impl Walk<'_> {
    fn visit(&mut self, child: Child) -> Result<(), ContextError> {
        let Child { mut entry, judgement, has_other_names } = child;
        let (wanted, matches) = match judgement {
            Judgement::Keep(matches) => (true, matches),
            Judgement::Enter(matches) => (false, matches),
            Judgement::Skip => return Ok(()),
        };
        let children = match entry.kind {
            Kind::Directory => match self.enter(&entry, &matches) {
                Ok(children) => Some(children.into_iter()),
                Err(error) if !wanted && is_denied(&error) => return Ok(()),
                Err(error) => return Err(error),
            },
            _ => None,
        };
        if has_other_names {
            self.link(&mut entry);
        }
        let withheld = if wanted {
            self.ready.extend(self.levels.iter_mut().filter_map(|level| level.withheld.take()));
            self.ready.push_back(entry);
            None
        } else {
            Some(entry)
        };
        self.levels.extend(children.map(|children| Level { withheld, children }));
        Ok(())
    }

    /// Lists a directory, if it is still the one that its parent's listing saw.
    fn enter(&self, entry: &Entry, matches: &DirMatches) -> Result<Vec<Child>, ContextError> {
        let path = entry.path.as_str();
        let directory = self.root.open_directory(path).map_err(|error| open_error(path, error))?;
        let stat = fstat(&directory).map_err(|error| ContextError::read(path.as_bytes(), error))?;
        if !Stamp::of(&stat).is_same_file(&entry.stamp) {
            return Err(ContextError::changed(path));
        }
        list(directory.as_fd(), path, &self.filter, Some(matches))
    }

    /// Makes the second and later names of a file links to the first that was yielded.
    fn link(&mut self, entry: &mut Entry) {
        let Kind::File { size } = entry.kind else { return };
        let key = (entry.stamp.dev, entry.stamp.ino);
        match self.links.get(&key) {
            Some(first) => entry.kind = Kind::HardLink { target: first.clone(), size },
            None => {
                self.links.insert(key, entry.path.clone());
            }
        }
    }
}

/// The children of a directory that are wanted or must be entered, sorted.
fn list(
    directory: BorrowedFd<'_>,
    path: &str,
    filter: &Filter,
    matches: Option<&DirMatches>,
) -> Result<Vec<Child>, ContextError> {
    let read = |error: Errno| ContextError::read(path.as_bytes(), error);
    let mut names: Vec<(CString, FileType)> = Vec::new();
    for entry in Dir::read_from(directory).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut children = Vec::new();
    for (name, file_type) in names {
        let bytes = [path.as_bytes(), if path.is_empty() { b"" } else { b"/" }, name.as_bytes()].concat();
        let is_directory = match file_type {
            FileType::Unknown => None,
            known => Some(known == FileType::Directory),
        };
        children.extend(look_at(directory, &name, &bytes, is_directory, filter, matches)?);
    }
    Ok(children)
}

/// One child, or `None` if nothing of it is wanted or it is gone again.
fn look_at(
    directory: BorrowedFd<'_>,
    name: &CString,
    bytes: &[u8],
    is_directory: Option<bool>,
    filter: &Filter,
    matches: Option<&DirMatches>,
) -> Result<Option<Child>, ContextError> {
    let lossy = String::from_utf8_lossy(bytes);
    // Judged before it is looked at, so that what is not wanted may be unreadable.
    let judgement = filter.judge(&lossy, is_directory.unwrap_or(true), matches);
    if matches!(judgement, Judgement::Skip) {
        return Ok(None);
    }
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS) if matches!(judgement, Judgement::Enter(_)) => return Ok(None),
        Err(error) => return Err(ContextError::read(bytes, error)),
    };
    let stamp = Stamp::of(&stat);
    if matches!(judgement, Judgement::Enter(_)) && stamp.kind != FileType::Directory {
        return Ok(None);
    }
    let not_utf8 = || ContextError::NotUtf8 { path: escape(bytes) };
    let path = String::from_utf8(bytes.to_vec()).map_err(|_| not_utf8())?;
    if is_directory.is_some_and(|was| was != (stamp.kind == FileType::Directory)) {
        return Err(ContextError::changed(&path));
    }
    let special = |kind| Err(ContextError::Special { path: escape(bytes), kind });
    let kind = match stamp.kind {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File { size: stamp.size },
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new()).map_err(|error| open_error(&path, error))?;
            Kind::Symlink { target: target.into_string().map_err(|_| not_utf8())? }
        }
        FileType::Socket => return special("socket"),
        FileType::Fifo => return special("FIFO"),
        _ => return special("device"),
    };
    let has_other_names = stat.st_nlink > 1;
    let entry = Entry { path, kind, mode: go_mode(stat.st_mode), mtime_ns: stamp.mtime_ns, stamp };
    Ok(Some(Child { entry, judgement, has_other_names }))
}

/// Why something that was listed cannot be opened: it is gone or another thing, or it is unreadable.
pub(super) fn open_error(path: &str, error: Errno) -> ContextError {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::INVAL | Errno::NXIO => {
            ContextError::changed(path)
        }
        error => ContextError::read(path.as_bytes(), error),
    }
}

fn is_denied(error: &ContextError) -> bool {
    matches!(error, ContextError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}
