//! Directory trees for the tests of this room.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::{ContextEntry, EntryKind, Root, Selection};

/// Creates a tree from lines `dir PATH`, `file PATH [CONTENT]`, `link PATH TARGET`, in this order.
pub(super) fn tree(lines: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    add(&root, lines);
    root
}

/// Adds lines to a tree.
pub(super) fn add(root: &TempDir, lines: &[&str]) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let path = root.path().join(words[1]);
        match words[0] {
            "dir" => fs::create_dir(path).unwrap(),
            "file" => fs::write(path, words.get(2).unwrap_or(&"")).unwrap(),
            "link" => symlink(words[2], path).unwrap(),
            other => panic!("unknown kind {other}"),
        }
    }
}

pub(super) fn open(tree: &TempDir) -> Root {
    Root::open(tree.path()).unwrap()
}

/// The entries of a walk, in the form of [`tree`] without contents, and `hard PATH TARGET`.
pub(super) fn walked(root: &Root, selection: &Selection) -> Vec<String> {
    root.walk(selection).unwrap().map(|entry| line(&entry.unwrap())).collect()
}

pub(super) fn line(entry: &ContextEntry) -> String {
    match &entry.kind {
        EntryKind::Node { major, minor } => format!("node {} {major}:{minor}", entry.path),
        EntryKind::Socket => format!("socket {}", entry.path),
        EntryKind::Directory => format!("dir {}", entry.path),
        EntryKind::File { .. } => format!("file {}", entry.path),
        EntryKind::Symlink { target } => format!("link {} {target}", entry.path),
        EntryKind::HardLink { target, .. } => format!("hard {} {target}", entry.path),
    }
}

pub(super) fn include(patterns: &[&str]) -> Selection {
    Selection { include: strings(patterns), ..Selection::default() }
}

pub(super) fn exclude(patterns: &[&str]) -> Selection {
    Selection { exclude: strings(patterns), ..Selection::default() }
}

pub(super) fn following(paths: &[&str]) -> Selection {
    Selection { follow: strings(paths), ..Selection::default() }
}

pub(super) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
