//! Followpaths: finds the files that a path needs if it leads through symbolic links (tonistiigi/fsutil,
//! `followlinks.go`).

use std::collections::{BTreeSet, HashSet};

use rustix::fs::Dir;
use rustix::io::Errno;

use super::error::{ContextError, escape};
use super::ignore::{Glob, clean};
use super::root::Root;

/// The most symbolic links on one path. Linux has the same limit (`ELOOP`).
const MAX_HOPS: usize = 40;

/// The most places to which the paths of one selection may lead.
const MAX_PLACES: usize = 10_000;

/// The sorted patterns that include `paths`, every symbolic link on the way, and the targets of these links.
///
/// Absolute targets and `..` cannot leave the root, as in a container. `None` means that a path leads to the root
/// itself, which includes everything. If two paths lead through the same link, fsutil drops the second one. This
/// function resolves both.
pub(super) fn follow(root: &Root, paths: &[String]) -> Result<Option<Vec<String>>, ContextError> {
    let mut resolver = Resolver { root, resolved: BTreeSet::new(), seen: HashSet::new() };
    for path in paths {
        resolver.resolve(path, 0)?;
    }
    Ok(dedupe(resolver.resolved.into_iter().collect()))
}

/// Drops the paths beneath other paths of a sorted list. `None`: one of the paths is the root.
pub(super) fn dedupe(paths: Vec<String>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::with_capacity(paths.len());
    for path in paths {
        if path == "." {
            return None;
        }
        let above = |last: &String| path.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if !kept.last().is_some_and(above) {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Resolver<'a> {
    root: &'a Root,
    resolved: BTreeSet<String>,
    /// Links that were followed, each with the rest of the path behind it.
    seen: HashSet<(String, String)>,
}

impl Resolver<'_> {
    fn resolve(&mut self, path: &str, hops: usize) -> Result<(), ContextError> {
        // As an absolute path, `..` cannot lead above the root.
        let path = clean(&format!("/{path}"));
        let mut rest = path.trim_start_matches('/');
        let mut current = String::new();
        loop {
            let (name, after) = rest.split_once('/').unwrap_or((rest, ""));
            let above = std::mem::take(&mut current);
            current = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            rest = after;
            let targets = self.targets(&above, name)?;
            if targets.is_empty() {
                if rest.is_empty() {
                    self.resolved.insert(if current.is_empty() { ".".to_owned() } else { current });
                    return Ok(());
                }
                continue;
            }
            self.resolved.insert(current.clone());
            if hops >= MAX_HOPS || !self.seen.insert((current.clone(), rest.to_owned())) {
                return Ok(());
            }
            if self.seen.len() > MAX_PLACES {
                return Err(ContextError::TooManyLinks { path: escape(path.as_bytes()) });
            }
            for target in targets {
                self.resolve(&format!("{target}/{rest}"), hops + 1)?;
            }
            return Ok(());
        }
    }

    /// The targets of the links with this name, as paths from the root. The result is empty if the name is not a link.
    /// A name with wildcards stands for all its matches.
    fn targets(&self, above: &str, name: &str) -> Result<Vec<String>, ContextError> {
        if name.is_empty() {
            return Ok(Vec::new());
        }
        if !has_wildcards(name) {
            return Ok(self.target(above, name)?.into_iter().collect());
        }
        let Some(glob) = Glob::parse(name) else { return Ok(Vec::new()) };
        let mut names = self.names(above)?;
        names.retain(|name| glob.matches(name));
        names.sort_unstable();
        let targets = names.iter().filter_map(|name| self.target(above, name).transpose());
        targets.collect()
    }

    fn target(&self, above: &str, name: &str) -> Result<Option<String>, ContextError> {
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        let target = match self.root.look_at(&path) {
            Ok((_, Some(target))) => target,
            Ok((_, None)) => return Ok(None),
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(ContextError::read(path.as_bytes(), error)),
        };
        let target = String::from_utf8(target).map_err(|_| ContextError::NotUtf8 { path: escape(path.as_bytes()) })?;
        Ok(Some(if target.starts_with('/') { clean(&target) } else { clean(&format!("/{above}/{target}")) }))
    }

    /// The names in a directory. Names that are not UTF-8 match no pattern.
    fn names(&self, directory: &str) -> Result<Vec<String>, ContextError> {
        let read = |error: Errno| ContextError::read(directory.as_bytes(), error);
        let opened = match self.root.open_directory(if directory.is_empty() { "." } else { directory }) {
            Ok(opened) => opened,
            Err(error) if is_absent(error) => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&opened).map_err(read)? {
            if let Ok(name) = String::from_utf8(entry.map_err(read)?.file_name().to_bytes().to_vec())
                && name != "."
                && name != ".."
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn is_absent(error: Errno) -> bool {
    // A literal name before a wildcard can be a link among the parents.
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

fn has_wildcards(name: &str) -> bool {
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::testing::{add, following, open, strings, tree, walked};
    use super::*;

    fn followed(lines: &[&str], paths: &[&str]) -> Option<Vec<String>> {
        follow(&open(&tree(lines)), &strings(paths)).unwrap()
    }

    /// The cases of fsutil's `followlinks_test.go`.
    #[test]
    fn follow_paths_resolve_as_in_fsutil() {
        let chain = ["dir dir", "file dir/foo", "link dir/l1 foo", "link l2 dir/l1", "file bar", "file baz"];
        assert_eq!(followed(&chain, &["l2", "bar"]), Some(strings(&["bar", "dir/foo", "dir/l1", "l2"])));
        let loops = ["link l1 l1", "link l3 l2", "link l2 l3"];
        assert_eq!(followed(&loops, &["l1", "l3"]), Some(strings(&["l1", "l2", "l3"])));
        let absolute = ["dir dir", "link dir/l1 /foo/bar/baz", "dir foo", "link foo/bar ../", "file baz"];
        assert_eq!(followed(&absolute, &["dir/l1"]), Some(strings(&["baz", "dir/l1", "foo/bar"])));
        let outside = ["dir dir", "link dir/l1 /foo/bar/baz", "dir foo", "link foo/bar ../../../", "file baz"];
        assert_eq!(followed(&outside, &["dir/l1"]), Some(strings(&["baz", "dir/l1", "foo/bar"])));
        assert_eq!(followed(&[], &["foo/bar/baz", "bar/baz"]), Some(strings(&["bar/baz", "foo/bar/baz"])));
        assert_eq!(followed(&[], &["."]), None);
        assert_eq!(followed(&[], &["f*/foo/t*"]), Some(strings(&["f*/foo/t*"])));
        assert_eq!(followed(&[], &["foo/bar/baz", "foo/bar"]), Some(strings(&["foo/bar"])));
        let rooted = ["dir dir", "link dir/l1 /foo", "link dir/l2 /", "dir foo", "file foo/bar"];
        assert_eq!(followed(&rooted, &["dir/l1", "foo/bar"]), Some(strings(&["dir/l1", "foo"])));
        assert_eq!(followed(&rooted, &["dir/l2", "foo", "foo/bar"]), None);
        let wild = [
            "dir dir",
            "dir foo",
            "link dir/l1 /foo/bar1",
            "link dir/l2 /foo/bar2",
            "link dir/anotherlink /foo/bar3",
            "link foo/bar2 ../baz",
            "file foo/bar1",
            "file foo/bar3",
            "file baz",
        ];
        assert_eq!(followed(&wild, &["dir/l*"]), Some(strings(&["baz", "dir/l*", "foo/bar1", "foo/bar2"])));
        assert_eq!(followed(&wild, &["dir"]), Some(strings(&["dir"])));
        assert_eq!(followed(&wild, &["dir", "dir/*link"]), Some(strings(&["dir", "foo/bar3"])));
    }

    #[test]
    fn link_that_grows_its_own_path_terminates() {
        assert_eq!(followed(&["link l l/x"], &["l"]), Some(strings(&["l"])));
        assert_eq!(followed(&["link a b/x", "link b a/y"], &["a/z"]), Some(strings(&["a", "b"])));
    }

    #[test]
    fn endlessly_branching_links_are_an_error_with_their_path() {
        let tree = tree(&["link l1 l*/x", "link l2 l*/y"]);
        let error = follow(&open(&tree), &strings(&["l*"])).unwrap_err();
        assert!(matches!(error, ContextError::TooManyLinks { .. }), "{error:?}");
    }

    #[test]
    fn paths_through_one_link_are_both_sent() {
        let tree = tree(&["dir real", "file real/a", "file real/b", "file real/c", "link link real"]);
        let lines = walked(&open(&tree), &following(&["link/a", "link/b"]));
        assert_eq!(lines, ["link link real", "dir real", "file real/a", "file real/b"]);
    }

    /// The case of fsutil's `TestWalkerFollowLinks` and `TestWalkerFollowLinksToRoot`.
    #[test]
    fn walk_follows_paths_and_globs() {
        let all = tree(&["file bar", "dir foo", "link foo/l1 /baz/one", "link foo/l2 /baz/two", "dir baz"]);
        add(&all, &["file baz/one", "link baz/two ../bax", "file bax", "file bay"]);
        assert_eq!(
            walked(&open(&all), &following(&["foo/l*", "bar"])),
            [
                "file bar",
                "file bax",
                "dir baz",
                "file baz/one",
                "link baz/two ../bax",
                "dir foo",
                "link foo/l1 /baz/one",
                "link foo/l2 /baz/two",
            ]
        );
        let to_root = tree(&["link foo .", "file bar", "dir bay", "file bay/baz"]);
        assert_eq!(
            walked(&open(&to_root), &following(&["foo"])),
            ["file bar", "dir bay", "file bay/baz", "link foo ."]
        );
    }
}
