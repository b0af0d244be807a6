//! Decides which entries a walk yields and which directories it enters (tonistiigi/fsutil, `filter.go`).

use super::error::ContextError;
use super::follow::{dedupe, follow};
use super::ignore::{MatchInfo, Pattern, Patterns};
use super::root::Root;

/// The files that the receiver requests, with the names of `BuildKit`'s FileSync metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `include-patterns`: if the list is not empty, an entry or one of its parents must match.
    pub include: Vec<String>,
    /// `exclude-patterns`: the patterns of `.dockerignore`.
    pub exclude: Vec<String>,
    /// `followpaths`: paths and globs to include, with the targets of all symbolic links on the way.
    pub follow: Vec<String>,
}

/// A compiled [`Selection`].
#[derive(Debug)]
pub(super) struct Filter {
    /// Lists of patterns. Each list must match.
    includes: Vec<Patterns>,
    exclude: Patterns,
}

/// The patterns that matched a directory. Its children need them.
#[derive(Debug, Clone)]
pub(super) struct DirMatches {
    includes: Vec<MatchInfo>,
    exclude: MatchInfo,
}

/// The decision about an entry.
#[derive(Debug)]
pub(super) enum Judgement {
    /// The walk yields the entry.
    Keep(DirMatches),
    /// The walk enters the directory, because entries beneath it may be included. The directory itself is not
    /// included.
    Enter(DirMatches),
    /// The walk skips the entry and everything beneath it.
    Skip,
}

impl Filter {
    pub(super) fn new(root: &Root, selection: &Selection) -> Result<Self, ContextError> {
        let mut wanted = selection.include.clone();
        if !selection.follow.is_empty()
            && let Some(followed) = follow(root, &selection.follow)?
        {
            wanted.extend(followed);
            // If one of the paths is the root, everything is included.
            wanted = dedupe(wanted).unwrap_or_default();
        }
        let mut includes = Vec::new();
        if !wanted.is_empty() {
            includes.push(Patterns::new(wanted)?);
        }
        if let Some(only) = &root.only {
            includes.push(Patterns::new(follow(root, only)?.unwrap_or_default())?);
        }
        Ok(Self { includes, exclude: Patterns::new(&selection.exclude)? })
    }

    /// Judges the entry at `path`, with the patterns that matched its parent.
    pub(super) fn judge(&self, path: &str, is_directory: bool, parent: Option<&DirMatches>) -> Judgement {
        let mut keep = true;
        let mut includes = Vec::with_capacity(self.includes.len());
        for (index, patterns) in self.includes.iter().enumerate() {
            let above = parent.and_then(|parent| parent.includes.get(index));
            let (matched, info) = patterns.matches_using_parent(path, above);
            if !(matched || is_directory && reaches_beneath(patterns, path, Pattern::is_inclusion)) {
                return Judgement::Skip;
            }
            keep &= matched;
            includes.push(info);
        }
        let (excluded, exclude) = self.exclude.matches_using_parent(path, parent.map(|parent| &parent.exclude));
        if excluded && !(is_directory && reaches_beneath(&self.exclude, path, Pattern::is_exception)) {
            return Judgement::Skip;
        }
        let matches = DirMatches { includes, exclude };
        if keep && !excluded { Judgement::Keep(matches) } else { Judgement::Enter(matches) }
    }
}

/// Whether one of the patterns of this kind could match an entry beneath a directory.
///
/// fsutil enters every directory if one pattern has a wildcard. polyarch compares the components before the first
/// wildcard. The entries are the same, and polyarch enters fewer directories.
fn reaches_beneath(patterns: &Patterns, directory: &str, kind: fn(&Pattern) -> bool) -> bool {
    patterns.iter().filter(|pattern| kind(pattern)).any(|pattern| {
        let pattern = pattern.as_str();
        let wildcard = pattern.find(['*', '[', ']', '?', '^', '\\']);
        let literal = wildcard.map_or(pattern, |at| pattern[..at].rsplit_once('/').map_or("", |(literal, _)| literal));
        is_beneath(literal, directory) || (wildcard.is_some() && is_beneath(directory, literal))
    })
}

/// Whether `path` is `directory` or beneath it, by whole components.
fn is_beneath(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{exclude, include, open, strings, tree, walked};
    use super::*;

    /// The cases of fsutil's `TestWalkerInclude` and `TestWalkerDoublestarInclude`.
    #[test]
    fn include_patterns_match_as_in_fsutil() {
        let small = tree(&["dir bar", "file bar/foo", "file foo2"]);
        let bar = ["dir bar", "file bar/foo"];
        for (pattern, entries) in [
            ("bar", &bar[..]),
            ("bar/foo", &bar),
            ("b*", &bar),
            ("bar/f*", &bar),
            ("bar/g*", &[]),
            ("f*", &["file foo2"]),
            ("b*/f*", &bar),
            ("b*/foo", &bar),
            ("b*/", &bar),
        ] {
            assert_eq!(walked(&open(&small), &include(&[pattern])), entries, "{pattern}");
        }
        let large = tree(&[
            "dir a",
            "dir a/b",
            "dir a/b/baz",
            "dir a/b/bar",
            "file a/b/bar/foo",
            "file a/b/bar/fop",
            "dir bar",
            "file bar/foo",
            "dir baz",
            "file foo2",
            "dir foo",
            "dir foo/bar",
            "file foo/bar/bee",
        ]);
        let all = "a a/b a/b/bar a/b/bar/foo a/b/bar/fop a/b/baz bar bar/foo baz foo foo/bar foo/bar/bee foo2";
        let some_bar = "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo";
        for (pattern, entries) in [
            ("**", all),
            ("**/bar", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo foo foo/bar foo/bar/bee"),
            ("**/bar/foo", "a a/b a/b/bar a/b/bar/foo bar bar/foo"),
            ("**/b*", all.strip_suffix(" foo2").unwrap()),
            ("**/bar/f*", some_bar),
            ("**/bar/g*", ""),
            ("**/f*", "a a/b a/b/bar a/b/bar/foo a/b/bar/fop bar bar/foo foo foo/bar foo/bar/bee foo2"),
            ("**/b*/f*", some_bar),
            ("**/b*/foo", "a a/b a/b/bar a/b/bar/foo bar bar/foo"),
            ("**/foo/**", "foo foo/bar foo/bar/bee"),
            ("**/baz", "a a/b a/b/baz baz"),
        ] {
            let paths: Vec<String> =
                walked(&open(&large), &include(&[pattern])).iter().map(|line| line[5..].trim().to_owned()).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let wanted: Vec<&str> = entries.split(' ').filter(|path| !path.is_empty()).collect();
            assert_eq!(paths.len(), wanted.len(), "{pattern}: {paths:?}");
            assert!(paths.iter().zip(&wanted).all(|(path, wanted)| wanted.ends_with(path)), "{pattern}: {paths:?}");
        }
    }

    #[test]
    fn exception_below_an_excluded_directory_brings_its_parents() {
        let tree = tree(&["file bar", "dir foo", "file foo2", "file foo/bar2", "file foo/bar3"]);
        assert_eq!(walked(&open(&tree), &exclude(&["foo*", "!foo/bar2"])), ["file bar", "dir foo", "file foo/bar2"]);
        assert_eq!(walked(&open(&tree), &exclude(&["**", "!**/bar2"])), ["dir foo", "file foo/bar2"]);
        assert!(walked(&open(&tree), &exclude(&["**"])).is_empty());
    }

    #[test]
    fn ignored_secret_is_not_sent_from_root_or_subdirectories() {
        let tree = tree(&["file .env secret", "dir sub", "file sub/.env secret", "file sub/a"]);
        assert_eq!(walked(&open(&tree), &exclude(&[".env"])), ["dir sub", "file sub/.env", "file sub/a"]);
        assert_eq!(walked(&open(&tree), &exclude(&["**/.env"])), ["dir sub", "file sub/a"]);
    }

    #[test]
    fn limited_root_serves_only_its_files_and_their_link_targets() {
        let tree =
            tree(&["link Dockerfile docker/real", "dir docker", "file docker/real", "file docker/key", "file id_rsa"]);
        let root = open(&tree).only(strings(&["Dockerfile", "Dockerfile.dockerignore"]));
        let wanted = ["link Dockerfile docker/real", "dir docker", "file docker/real"];
        assert_eq!(walked(&root, &Selection::default()), wanted);
        assert!(walked(&root, &include(&["id_rsa"])).is_empty());
        assert!(walked(&open(&tree).only(Vec::new()), &Selection::default()).is_empty());
    }

    proptest! {
        /// Entering fewer directories must not change the entries that are sent.
        #[test]
        fn skipping_directories_changes_no_decision(
            patterns in prop::collection::vec("!?([ab]|\\*|\\*\\*|[ab]\\*|\\?)(/([ab]|\\*|\\*\\*)){0,3}", 1..5),
            path in "[ab](/[ab]){0,4}",
            including in any::<bool>(),
        ) {
            let list = Patterns::new(&patterns).unwrap();
            let other = Patterns::default();
            let filter = if including {
                Filter { includes: vec![list], exclude: other }
            } else {
                Filter { includes: Vec::new(), exclude: list }
            };
            let ends: Vec<usize> = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]).collect();
            // The result of patterns that never skip a directory.
            let list = if including { &filter.includes[0] } else { &filter.exclude };
            let mut info = None;
            let mut matched = false;
            for end in &ends {
                let (answer, next) = list.matches_using_parent(&path[..*end], info.as_ref());
                (matched, info) = (answer, Some(next));
            }
            let mut kept = true;
            let mut above = None;
            for end in &ends {
                match filter.judge(&path[..*end], *end != path.len(), above.as_ref()) {
                    Judgement::Keep(next) => (kept, above) = (true, Some(next)),
                    Judgement::Enter(next) => (kept, above) = (false, Some(next)),
                    Judgement::Skip => { kept = false; break; }
                }
            }
            prop_assert_eq!(kept, matched == including);
        }
    }
}
