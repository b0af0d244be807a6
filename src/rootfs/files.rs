//! The files of an image in one tree: layers laid over each other, the topmost first.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use super::tar::{Archive, Entry, Kind};
use crate::oci::ElfMachine;

/// Most names that are kept of an image.
const MAX_NAMES: usize = 200_000;
/// Longest name that is kept, in bytes: Linux' longest path.
const MAX_NAME: usize = 4096;
/// Longest head of a program, in bytes: that of which Linux reads `#!`.
const HEAD: u64 = 256;
/// Most links and scripts on the way to a program: as many links as Linux follows.
const MAX_LINKS: usize = 40;

/// What is known of an image's files. Names have no slash before them.
#[derive(Debug, Default)]
pub(super) struct Files {
    names: HashMap<String, Node>,
    /// What upper layers deleted: with what is below it.
    deleted: HashSet<String>,
    /// Directories whose content of lower layers was deleted.
    emptied: HashSet<String>,
}

#[derive(Debug)]
enum Node {
    Directory,
    /// To a path from the link's directory, or from the root.
    Link(String),
    Program(Program),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    Elf(ElfMachine),
    /// Its interpreter.
    Script(String),
    Other,
}

/// What is at the end of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing that was read.
    Unknown,
    /// An ELF program.
    Elf(String, ElfMachine),
    /// Something else, or nothing that ends.
    Other(String),
}

impl Files {
    /// Lays what is there over `layer`, a tar archive. Stops where `is_enough` of the files and of the program or link
    /// that was found last.
    pub(super) fn take(&mut self, layer: impl Read, mut is_enough: impl FnMut(&Self, &str) -> bool) -> io::Result<()> {
        let mut archive = Archive::new(layer);
        let (mut deleted, mut emptied) = (Vec::new(), Vec::new());
        while let Some(Entry { path, kind }) = archive.next()? {
            let Some(name) = clean(&path) else { continue };
            let (folder, file) = name.rsplit_once('/').unwrap_or(("", &name));
            // OCI image-spec, "Image Layer Filesystem Changeset: Whiteouts".
            match file.strip_prefix(".wh.") {
                Some(".wh..opq") => emptied.push(folder.to_owned()),
                Some(gone) => deleted.push(join(folder, gone)),
                None if self.names.contains_key(&name) || self.is_hidden(&name) => {}
                None => {
                    let Some(node) = node(kind, &mut archive)? else { continue };
                    if self.names.len() + deleted.len() >= MAX_NAMES {
                        return Err(io::Error::other("it has too many files"));
                    }
                    let is_directory = matches!(node, Node::Directory);
                    self.names.insert(name.clone(), node);
                    if !is_directory && is_enough(self, &name) {
                        return Ok(());
                    }
                }
            }
        }
        self.deleted.extend(deleted);
        self.emptied.extend(emptied);
        Ok(())
    }

    /// The ELF program under a name, links not followed.
    pub(super) fn elf(&self, name: &str) -> Option<ElfMachine> {
        match self.names.get(name)? {
            Node::Program(Program::Elf(machine)) => Some(*machine),
            _ => None,
        }
    }

    /// What `path` leads to, through links and from scripts to their interpreters.
    pub(super) fn follow(&self, path: &str) -> End {
        let mut rest: Vec<String> = parts(path);
        let mut here = String::new();
        let mut left = MAX_LINKS;
        while let Some(part) = rest.pop() {
            if part == ".." {
                here = here.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned());
                continue;
            }
            let next = join(&here, &part);
            let target = match self.names.get(&next) {
                None | Some(Node::Directory) => {
                    here = next;
                    continue;
                }
                Some(Node::Program(_)) if !rest.is_empty() => return End::Unknown,
                Some(Node::Program(Program::Elf(machine))) => return End::Elf(next, *machine),
                Some(Node::Program(Program::Other)) => return End::Other(next),
                Some(Node::Program(Program::Script(target)) | Node::Link(target)) => target,
            };
            if left == 0 {
                return End::Other(next);
            }
            left -= 1;
            if target.starts_with('/') {
                here.clear();
            }
            rest.extend(parts(target));
        }
        End::Unknown
    }

    fn is_hidden(&self, name: &str) -> bool {
        if self.deleted.is_empty() && self.emptied.is_empty() {
            return false;
        }
        let above = name.match_indices('/').map(|(end, _)| &name[..end]);
        let mut above = above.chain((!name.is_empty()).then_some(""));
        self.deleted.contains(name) || above.any(|above| self.deleted.contains(above) || self.emptied.contains(above))
    }
}

/// What is kept of an entry; `None` of what is on no way to a program.
fn node(kind: Kind, archive: &mut Archive<impl Read>) -> io::Result<Option<Node>> {
    Ok(match kind {
        Kind::Directory => Some(Node::Directory),
        // The name of an entry is from the root.
        Kind::HardLink(target) => clean(&target).map(|target| Node::Link(format!("/{target}"))),
        Kind::Link(target) => (target.len() <= MAX_NAME).then_some(Node::Link(target)),
        Kind::File { is_executable: true } => Some(Node::Program(program(&archive.head(HEAD)?))),
        Kind::File { is_executable: false } | Kind::Other => None,
    })
}

fn program(head: &[u8]) -> Program {
    if let Some(machine) = ElfMachine::read(head) {
        return Program::Elf(machine);
    }
    let line = head.strip_prefix(b"#!").and_then(|line| line.split(|byte| *byte == b'\n').next());
    let words = line.and_then(|line| std::str::from_utf8(line).ok());
    match words.and_then(|words| words.split_ascii_whitespace().next()) {
        Some(interpreter) if interpreter.starts_with('/') => Program::Script(interpreter.to_owned()),
        _ => Program::Other,
    }
}

/// A name as it is kept; `None` of the root, and of what leads out of it.
fn clean(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let is_name = !parts.is_empty() && path.len() <= MAX_NAME && !parts.contains(&"..");
    is_name.then(|| parts.join("/"))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The parts of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.rev().map(str::to_owned).collect()
}
