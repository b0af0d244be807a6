//! The files of an image in one tree. The layers are read from the topmost down.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, ErrorKind, Read};

use super::tar::{Archive, Entry, Kind};
use crate::oci::ElfMachine;

/// The most bytes that are stored for the files of an image.
pub(super) const MOST_KEPT: usize = 3 << 20;
/// The bytes that one name takes in a growing hash map.
const NAME: usize = 64;
/// The longest path of Linux, in bytes. Longer names are ignored.
const MAX_NAME: usize = 4096;
/// The bytes at the start of a program in which Linux looks for `#!`.
const HEAD: u64 = 256;
/// The most links and scripts on the way to a program. Linux follows as many links.
const MAX_LINKS: usize = 40;
/// The most components of paths on the way to a program, for all its possible paths and including links.
const MAX_PARTS: usize = 1024;

/// The known files of an image. Only hashes of names are stored, because one layer may have as many names as fit into
/// a gibibyte. The hashes are random, so an attacker cannot choose names that collide.
#[derive(Debug, Default)]
pub(super) struct Files {
    hashes: RandomState,
    names: HashMap<u64, Node>,
    /// Names that upper layers deleted, with everything beneath them.
    deleted: HashSet<u64>,
    /// Directories whose content in lower layers was deleted.
    emptied: HashSet<u64>,
    /// The stored bytes.
    pub(super) kept: usize,
}

#[derive(Debug)]
enum Node {
    Directory,
    /// The target: a path relative to the directory of the link, or to the root.
    Link(Box<str>),
    Elf(ElfMachine),
    /// The interpreter of the script.
    Script(Box<str>),
    Other,
}

impl Node {
    /// The bytes of the node in addition to its place in the map.
    fn size(&self) -> usize {
        match self {
            Self::Link(target) | Self::Script(target) => target.len() + size_of::<usize>() * 2,
            Self::Directory | Self::Elf(_) | Self::Other => 0,
        }
    }
}

/// The file at the end of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// No file that was read.
    Unknown,
    /// An ELF program.
    Elf(String, ElfMachine),
    /// Another file, or a chain of links that does not end.
    Other(String),
}

/// The end of the followed paths, and the missing names on the way.
pub(super) struct Followed {
    pub(super) end: End,
    /// The names on the way that do not exist so far.
    missed: HashSet<u64>,
    /// The number of components that may still be followed.
    left: usize,
    /// The bytes of the names that were looked up.
    pub(super) bytes: usize,
}

/// The hashes of a name and of all its parent directories including the root.
struct Name {
    hash: u64,
    above: Vec<u64>,
}

impl Files {
    /// Adds the files of `layer`, a tar archive, beneath the files of the upper layers. Stops when `is_enough` returns
    /// true for the files and the name of the newest program or link.
    pub(super) fn take(&mut self, layer: impl Read, mut is_enough: impl FnMut(&Self, &str) -> bool) -> io::Result<()> {
        let mut archive = Archive::new(layer);
        // A whiteout deletes files of lower layers. Files of its own layer are kept.
        let (mut deleted, mut emptied) = (Vec::new(), Vec::new());
        while let Some(Entry { path, kind }) = archive.next()? {
            let Some(path) = clean(&path) else { continue };
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
            // OCI image-spec, "Image Layer Filesystem Changeset: Whiteouts".
            if let Some(gone) = file.strip_prefix(".wh.") {
                self.keep(NAME)?;
                match gone {
                    ".wh..opq" => emptied.push(self.hash(folder)),
                    gone => deleted.push(self.hash(&join(folder, gone))),
                }
                continue;
            }
            let name = self.name(&path);
            if self.names.contains_key(&name.hash) || self.is_hidden(&name) {
                continue;
            }
            let Some(node) = node(kind, &mut archive)? else { continue };
            self.keep(NAME + node.size())?;
            let is_directory = matches!(node, Node::Directory);
            self.names.insert(name.hash, node);
            if !is_directory && is_enough(self, &path) {
                return Ok(());
            }
        }
        self.deleted.extend(deleted);
        self.emptied.extend(emptied);
        Ok(())
    }

    /// The ELF program with this name. Links are not followed.
    pub(super) fn elf(&self, name: &str) -> Option<ElfMachine> {
        match self.names.get(&self.hash(name))? {
            Node::Elf(machine) => Some(*machine),
            _ => None,
        }
    }

    /// The end of the first path that leads to a file.
    pub(super) fn first(&self, paths: &[String]) -> Followed {
        let mut followed = Followed { end: End::Unknown, missed: HashSet::new(), left: MAX_PARTS, bytes: 0 };
        for path in paths {
            followed.end = self.follow(path, &mut followed);
            if followed.end != End::Unknown {
                break;
            }
        }
        followed
    }

    /// Whether `name` was missing on the way of `followed`. Only such a name can extend the way.
    pub(super) fn is_missed(&self, followed: &Followed, name: &str) -> bool {
        followed.missed.contains(&self.hash(name))
    }

    /// Follows `path` through links, and from scripts to their interpreters.
    fn follow(&self, path: &str, on_the_way: &mut Followed) -> End {
        let mut rest: Vec<String> = parts(path);
        let mut here = String::new();
        let mut links = MAX_LINKS;
        while on_the_way.left > 0 {
            on_the_way.left -= 1;
            let Some(part) = rest.pop() else { return End::Unknown };
            if part == ".." {
                here = here.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned());
                continue;
            }
            let next = join(&here, &part);
            if next.len() > MAX_NAME {
                return End::Unknown;
            }
            on_the_way.bytes += next.len();
            let hash = self.hash(&next);
            let target = match self.names.get(&hash) {
                found @ (None | Some(Node::Directory)) => {
                    if found.is_none() {
                        on_the_way.missed.insert(hash);
                    }
                    here = next;
                    continue;
                }
                Some(Node::Elf(_) | Node::Script(_) | Node::Other) if !rest.is_empty() => return End::Unknown,
                Some(Node::Elf(machine)) => return End::Elf(next, *machine),
                Some(Node::Other) => return End::Other(next),
                Some(Node::Script(target) | Node::Link(target)) => target,
            };
            if links == 0 {
                return End::Other(next);
            }
            links -= 1;
            if target.starts_with('/') {
                here.clear();
            }
            rest.extend(parts(target));
        }
        End::Unknown
    }

    fn is_hidden(&self, name: &Name) -> bool {
        let above = |hash: &u64| self.deleted.contains(hash) || self.emptied.contains(hash);
        self.deleted.contains(&name.hash) || name.above.iter().any(above)
    }

    fn keep(&mut self, bytes: usize) -> io::Result<()> {
        self.kept += bytes;
        if self.kept <= MOST_KEPT {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::FileTooLarge, "its layers have too many names"))
    }

    fn hash(&self, name: &str) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// Hashes a name and its parent directories in one pass.
    fn name(&self, name: &str) -> Name {
        let mut hasher = self.hashes.build_hasher();
        let mut above = vec![hasher.finish()];
        for (at, part) in name.split('/').enumerate() {
            if at > 0 {
                above.push(hasher.finish());
                hasher.write(b"/");
            }
            hasher.write(part.as_bytes());
        }
        Name { hash: hasher.finish(), above }
    }
}

/// The stored form of an entry. `None`: the entry cannot be on the way to a program.
fn node(kind: Kind, archive: &mut Archive<impl Read>) -> io::Result<Option<Node>> {
    Ok(match kind {
        Kind::Directory => Some(Node::Directory),
        // The target of a hard link is relative to the root.
        Kind::HardLink(target) => clean(&target).map(|target| Node::Link(format!("/{target}").into())),
        Kind::Link(target) => (target.len() <= MAX_NAME).then(|| Node::Link(target.into())),
        Kind::File { is_executable: true } => Some(program(&archive.head(HEAD)?)),
        Kind::File { is_executable: false } | Kind::Other => None,
    })
}

fn program(head: &[u8]) -> Node {
    if let Some(machine) = ElfMachine::read(head) {
        return Node::Elf(machine);
    }
    let line = head.strip_prefix(b"#!").and_then(|line| line.split(|byte| *byte == b'\n').next());
    let words = line.and_then(|line| std::str::from_utf8(line).ok());
    match words.and_then(|words| words.split_ascii_whitespace().next()) {
        Some(interpreter) if interpreter.starts_with('/') => Node::Script(interpreter.into()),
        _ => Node::Other,
    }
}

/// The stored form of a name. `None`: the name is the root, or it leads out of the root.
fn clean(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let is_name = !parts.is_empty() && path.len() <= MAX_NAME && !parts.contains(&"..");
    is_name.then(|| parts.join("/"))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The components of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.rev().map(str::to_owned).collect()
}
