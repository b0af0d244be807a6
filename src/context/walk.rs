//! Walks the entries of a build context, filtered, in the order that `BuildKit`'s receiver requires.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::vec;

use rustix::fs::{AtFlags, Dir, FileType, fstat, major, minor, readlinkat, statat};
use rustix::io::Errno;

use super::entry::{ContextEntry, EntryKind, Stamp, go_mode};
use super::error::{ContextError, escape};
use super::filter::{DirMatches, Filter, Judgement, Selection};
use super::root::Root;

/// Iterates over the entries of a build context; see [`Root::walk`]. The iterator ends after the first error.
#[derive(Debug)]
pub struct Walk<'a> {
    root: &'a Root,
    filter: Filter,
    /// The directories from the root to the current position.
    levels: Vec<Level>,
    /// Entries to yield before the walk continues.
    ready: VecDeque<ContextEntry>,
    /// The first path of each file that has several names.
    links: HashMap<(u64, u64), String>,
}

#[derive(Debug)]
struct Level {
    /// A directory that is not selected itself. The walk yields it before the first selected entry beneath it.
    withheld: Option<ContextEntry>,
    children: vec::IntoIter<Child>,
}

#[derive(Debug)]
struct Child {
    entry: ContextEntry,
    judgement: Judgement,
    has_other_names: bool,
}

impl Root {
    /// Walks the entries of `selection`: parents before children, siblings by the bytes of their names. fsutil's
    /// receiver checks this order (`ComparePath`).
    ///
    /// The iterator reads entries as it advances. Its memory holds the names in the directories from the root to its
    /// position, and the paths of files with several links. At most two directories are open at a time. The walk
    /// yields a parent that is not selected before the first selected entry beneath it.
    ///
    /// # Errors
    ///
    /// A malformed pattern, or an unreadable symbolic link on the way of a followed path. The other errors name the
    /// path. A selected entry cannot be read, its name is not UTF-8, or it is replaced during the walk. This call
    /// returns the errors of names in the root, and the iterator returns all others.
    pub fn walk(&self, selection: &Selection) -> Result<Walk<'_>, ContextError> {
        let filter = Filter::new(self, selection)?;
        let directory = self.open_directory(".").map_err(|error| ContextError::read(b".", error))?;
        let mut children = list(directory.as_fd(), "", &filter, None)?;
        if let Some(file) = &self.memory {
            put(&mut children, file.entry(), &filter);
        }
        let levels = vec![Level { withheld: None, children: children.into_iter() }];
        Ok(Walk { root: self, filter, levels, ready: VecDeque::new(), links: HashMap::new() })
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<ContextEntry, ContextError>;

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
            EntryKind::Directory => match self.enter(&entry, &matches) {
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

    /// Lists a directory, if it is still the one that the listing of its parent contained.
    fn enter(&self, entry: &ContextEntry, matches: &DirMatches) -> Result<Vec<Child>, ContextError> {
        let path = entry.path.as_str();
        let directory = self.root.open_directory(path).map_err(|error| open_error(path, error))?;
        let stat = fstat(&directory).map_err(|error| ContextError::read(path.as_bytes(), error))?;
        if !Stamp::of(&stat).is_same_file(&entry.stamp) {
            return Err(ContextError::changed(path));
        }
        list(directory.as_fd(), path, &self.filter, Some(matches))
    }

    /// Turns the second and later names of a file into links to its first name.
    fn link(&mut self, entry: &mut ContextEntry) {
        let EntryKind::File { size } = entry.kind else { return };
        let key = (entry.stamp.dev, entry.stamp.ino);
        match self.links.get(&key) {
            Some(first) => entry.kind = EntryKind::HardLink { target: first.clone(), size },
            None => {
                self.links.insert(key, entry.path.clone());
            }
        }
    }
}

/// The sorted children of a directory that are selected or must be entered.
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

/// Adds a selected file to the children of the root, and replaces a child with the same name.
fn put(children: &mut Vec<Child>, entry: ContextEntry, filter: &Filter) {
    children.retain(|child| child.entry.path != entry.path);
    let judgement = filter.judge(&entry.path, false, None);
    if matches!(judgement, Judgement::Keep(_)) {
        let place = children.partition_point(|child| child.entry.path < entry.path);
        children.insert(place, Child { entry, judgement, has_other_names: false });
    }
}

/// One child. `None`: it is not selected, or it was deleted since the listing.
fn look_at(
    directory: BorrowedFd<'_>,
    name: &CString,
    bytes: &[u8],
    is_directory: Option<bool>,
    filter: &Filter,
    matches: Option<&DirMatches>,
) -> Result<Option<Child>, ContextError> {
    let lossy = String::from_utf8_lossy(bytes);
    // Judge the entry before reading its metadata, so that an entry that is not selected may be unreadable.
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
    let kind = match stamp.kind {
        FileType::Directory => EntryKind::Directory,
        FileType::RegularFile => EntryKind::File { size: stamp.size },
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new()).map_err(|error| open_error(&path, error))?;
            EntryKind::Symlink { target: target.into_string().map_err(|_| not_utf8())? }
        }
        FileType::Socket => EntryKind::Socket,
        _ => EntryKind::Node { major: major(stat.st_rdev), minor: minor(stat.st_rdev) },
    };
    let has_other_names = stat.st_nlink > 1;
    let entry = ContextEntry { path, kind, mode: go_mode(stat.st_mode), mtime_ns: stamp.mtime_ns, stamp };
    Ok(Some(Child { entry, judgement, has_other_names }))
}

/// The error for a listed entry that cannot be opened: it was deleted or replaced, or it is unreadable.
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use rustix::fs::{CWD, Mode, OFlags, mkdirat, mkfifoat, openat};
    use tempfile::TempDir;

    use super::super::testing::{add, exclude, include, line, open, strings, tree, walked};
    use super::*;

    fn all() -> Selection {
        Selection::default()
    }

    fn first_error(tree: &TempDir, selection: &Selection) -> ContextError {
        let root = open(tree);
        let mut walk = match root.walk(selection) {
            Ok(walk) => walk,
            Err(error) => return error,
        };
        let error = walk.find_map(Result::err).expect("the walk should fail");
        assert!(walk.next().is_none(), "the walk goes on after an error");
        error
    }

    /// Runs a function as a user other than root, on its own thread.
    fn unprivileged(run: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if rustix::process::geteuid().is_root() {
                    let nobody = rustix::process::Uid::from_raw(65534);
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                }
                run();
            });
        });
    }

    /// fsutil's `ComparePath`: the slash sorts before every other byte.
    fn in_order(a: &str, b: &str) -> bool {
        let key = |path: &str| path.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect::<Vec<_>>();
        key(a) < key(b)
    }

    #[test]
    fn walk_sends_parents_first_in_buildkit_order() {
        let tree =
            tree(&["dir a", "file a/b", "dir a/c", "file a/c/d", "file a.b", "file a-b", "file A", "file ä", "dir é"]);
        let root = open(&tree);
        assert_eq!(
            walked(&root, &all()),
            ["file A", "dir a", "file a/b", "dir a/c", "file a/c/d", "file a-b", "file a.b", "file ä", "dir é",]
        );
        let paths: Vec<String> = root.walk(&all()).unwrap().map(|entry| entry.unwrap().path).collect();
        assert!(paths.windows(2).all(|pair| in_order(&pair[0], &pair[1])), "{paths:?}");
    }

    #[test]
    fn walk_entry_has_the_fields_that_go_expects() {
        let tree = tree(&["dir d", "file f 12345", "link l f"]);
        for (name, mode) in [("d", 0o3775), ("f", 0o4711)] {
            fs::set_permissions(tree.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        fs::File::open(tree.path().join("f")).unwrap().set_modified(time).unwrap();
        let root = open(&tree);
        let entries: Vec<ContextEntry> = root.walk(&all()).unwrap().map(Result::unwrap).collect();
        let fields: Vec<_> = entries.iter().map(|entry| (entry.mode, entry.size(), entry.linkname())).collect();
        let (directory, setgid, sticky, setuid, link) = (1 << 31, 1 << 22, 1 << 20, 1 << 23, 1 << 27);
        assert_eq!(
            fields,
            [(directory | setgid | sticky | 0o775, 0, ""), (setuid | 0o711, 5, ""), (link | 0o777, 1, "f"),]
        );
        assert_eq!(entries[1].mtime_ns, 1_700_000_000_123_456_789);
        assert_eq!(entries.iter().filter(|entry| entry.has_content()).count(), 1);
    }

    #[test]
    fn walk_entry_time_before_1970_is_negative() {
        let tree = tree(&["file f"]);
        let time = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
        fs::File::open(tree.path().join("f")).unwrap().set_modified(time).unwrap();
        let root = open(&tree);
        assert_eq!(root.walk(&all()).unwrap().next().unwrap().unwrap().mtime_ns, -1_500_000_000);
    }

    #[test]
    fn hard_links_point_to_the_first_sent_name() {
        let tree = tree(&["file a xyz", "dir sub"]);
        for name in ["b", "c", "sub/d"] {
            fs::hard_link(tree.path().join("a"), tree.path().join(name)).unwrap();
        }
        let root = open(&tree);
        assert_eq!(walked(&root, &all()), ["file a", "hard b a", "hard c a", "dir sub", "hard sub/d a"]);
        assert_eq!(walked(&root, &exclude(&["a", "b"])), ["file c", "dir sub", "hard sub/d c"]);
        let linked = root.walk(&all()).unwrap().nth(1).unwrap().unwrap();
        assert_eq!((linked.size(), linked.linkname()), (3, "a"));
    }

    #[test]
    fn symlinks_are_sent_unchanged_and_never_followed() {
        let tree = tree(&[
            "link dangling nowhere",
            "link loop loop",
            "link up ../../..",
            "link absolute /etc",
            "dir d",
            "link d/self .",
        ]);
        assert_eq!(
            walked(&open(&tree), &all()),
            [
                "link absolute /etc",
                "dir d",
                "link d/self .",
                "link dangling nowhere",
                "link loop loop",
                "link up ../../..",
            ]
        );
    }

    #[test]
    fn walk_reports_fifos_as_nodes_and_marks_sockets() {
        let tree = tree(&["dir run", "file z"]);
        let _listener = UnixListener::bind(tree.path().join("run/sock")).unwrap();
        mkfifoat(CWD, tree.path().join("run/pipe"), Mode::RUSR).unwrap();
        assert_eq!(walked(&open(&tree), &all()), ["dir run", "node run/pipe 0:0", "socket run/sock", "file z"]);
        let pipe =
            open(&tree).walk(&all()).unwrap().map(Result::unwrap).find(|entry| entry.path == "run/pipe").unwrap();
        // Go's `fs.ModeNamedPipe`.
        assert_eq!(pipe.mode >> 9, (1 << 25) >> 9);
        assert_eq!(walked(&open(&tree), &exclude(&["run/pipe", "**/sock"])), ["dir run", "file z"]);
        assert_eq!(walked(&open(&tree), &exclude(&["**", "!z"])), ["file z"]);
        assert_eq!(walked(&open(&tree), &include(&["z"])), ["file z"]);
    }

    #[test]
    fn names_that_are_not_utf8_are_refused_unless_ignored() {
        let tree = tree(&["file a"]);
        fs::write(tree.path().join(std::ffi::OsStr::from_bytes(b"b\xff\n")), "").unwrap();
        let error = first_error(&tree, &all());
        assert_eq!(error.to_string(), "the name or the link target of b\\xff\\n is not UTF-8");
        assert_eq!(walked(&open(&tree), &exclude(&["b*"])), ["file a"]);
        symlink(std::ffi::OsStr::from_bytes(b"\xff"), tree.path().join("a-link")).unwrap();
        assert!(first_error(&tree, &all()).to_string().contains("a-link"));
    }

    /// The cases of fsutil's `TestWalkerPermissionDenied`.
    #[test]
    fn unreadable_directory_is_an_error_unless_ignored() {
        let tree = tree(&["dir foo", "dir foo/bar"]);
        fs::set_permissions(tree.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(tree.path().join("foo/bar"), Permissions::from_mode(0o000)).unwrap();
        unprivileged(|| {
            for refused in [all(), exclude(&["**/bar", "!foo/bar"])] {
                let error = first_error(&tree, &refused);
                assert_eq!(error.to_string(), "cannot read foo/bar");
                assert!(is_denied(&error));
            }
            for fine in [exclude(&["**/bar"]), exclude(&["**/bar", "!foo/bar/baz"]), include(&["foo", "!**/bar"])] {
                assert_eq!(walked(&open(&tree), &fine), ["dir foo"], "{fine:?}");
            }
        });
    }

    #[test]
    fn unreadable_file_is_an_error_when_it_is_opened() {
        let tree = tree(&["file secret"]);
        fs::set_permissions(tree.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(tree.path().join("secret"), Permissions::from_mode(0o000)).unwrap();
        unprivileged(|| {
            let root = open(&tree);
            let entry = root.walk(&all()).unwrap().next().unwrap().unwrap();
            let error = root.open_file(&entry).unwrap_err();
            assert_eq!(error.to_string(), "cannot read secret");
        });
    }

    #[test]
    fn too_long_path_is_an_error_unless_ignored() {
        let tree = tree(&["dir deep", "file z"]);
        let name = "n".repeat(255);
        let mut directory = openat(CWD, tree.path().join("deep"), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..17 {
            mkdirat(&directory, name.as_str(), Mode::RWXU).unwrap();
            directory = openat(&directory, name.as_str(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let error = first_error(&tree, &all());
        assert!(error.to_string().starts_with("cannot read deep/nnn"), "{error}");
        assert_eq!(walked(&open(&tree), &exclude(&["deep"])), ["file z"]);
    }

    #[test]
    fn directory_swapped_for_a_link_during_the_walk_leaks_nothing() {
        let outside = tree(&["file canary"]);
        let tree = tree(&["dir a", "file a/x", "dir b", "file b/y"]);
        let root = open(&tree);
        let mut walk = root.walk(&all()).unwrap();
        assert_eq!(line(&walk.next().unwrap().unwrap()), "dir a");
        fs::rename(tree.path().join("b"), tree.path().join("moved")).unwrap();
        symlink(outside.path(), tree.path().join("b")).unwrap();
        let rest: Vec<String> =
            walk.map(|entry| entry.map_or_else(|error| error.to_string(), |entry| line(&entry))).collect();
        assert_eq!(rest, ["file a/x", "b changed while polyarch read the build context"]);
    }

    #[test]
    fn directory_replaced_during_the_walk_is_an_error() {
        let tree = tree(&["dir a", "dir b", "file b/y"]);
        let root = open(&tree);
        let mut walk = root.walk(&all()).unwrap();
        walk.next().unwrap().unwrap();
        fs::rename(tree.path().join("b"), tree.path().join("moved")).unwrap();
        add(&tree, &["dir b", "file b/other"]);
        assert_eq!(walk.next().unwrap().unwrap_err().to_string(), "b changed while polyarch read the build context");
    }

    #[test]
    fn invalid_patterns_are_refused_before_the_walk() {
        let tree = tree(&[]);
        for selection in [include(&["["]), exclude(&["["]), Selection { follow: strings(&["["]), ..all() }] {
            assert!(matches!(open(&tree).walk(&selection), Err(ContextError::Pattern(_))));
        }
    }

    #[test]
    fn walk_of_100000_files_is_fast_and_needs_little_memory() {
        let tree = TempDir::new().unwrap();
        for directory in 0..100 {
            let directory = tree.path().join(format!("d{directory:03}"));
            fs::create_dir(&directory).unwrap();
            let first = directory.join("f000");
            fs::write(&first, "").unwrap();
            // Creating names is cheaper than creating files.
            (1..1000).for_each(|file| fs::hard_link(&first, directory.join(format!("f{file:03}"))).unwrap());
        }
        let root = open(&tree);
        let selection = exclude(&["**/*.tmp", "**/node_modules", "!keep/**"]);
        let started = Instant::now();
        let mut walk = root.walk(&selection).unwrap();
        let (mut count, mut held) = (0, 0);
        while let Some(entry) = walk.next() {
            entry.unwrap();
            count += 1;
            held = held.max(walk.levels.iter().map(|level| level.children.len()).sum::<usize>() + walk.ready.len());
        }
        let took = started.elapsed();
        println!("walked {count} entries in {took:?}, at most {held} held");
        assert_eq!(count, 100_100);
        assert_eq!(walk.links.len(), 100);
        assert!(held <= 1100, "{held} entries held");
        assert!(took.as_secs() < 5, "{took:?}");
    }
}
