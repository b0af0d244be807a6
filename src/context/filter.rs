//! Which entries a walk yields and which directories it enters (tonistiigi/fsutil, `filter.go`).

use super::error::ContextError;
use super::follow::{dedupe, follow};
use super::ignore::{MatchInfo, Pattern, Patterns};
use super::root::Root;

/// What the receiver asks for, by the names of `BuildKit`'s FileSync metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `include-patterns`: if there are any, an entry or one of its parents must match.
    pub include: Vec<String>,
    /// `exclude-patterns`: what `.dockerignore` leaves out.
    pub exclude: Vec<String>,
    /// `followpaths`: paths and globs that are included, with everything that symbolic links on the way lead to.
    pub follow: Vec<String>,
}

/// A compiled [`Selection`].
#[derive(Debug)]
pub(super) struct Filter {
    /// Lists of patterns each of which must match.
    includes: Vec<Patterns>,
    exclude: Patterns,
}

/// What matched a directory, for its children.
#[derive(Debug, Clone)]
pub(super) struct DirMatches {
    includes: Vec<MatchInfo>,
    exclude: MatchInfo,
}

/// What becomes of an entry.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It is sent.
    Keep(DirMatches),
    /// It is not wanted itself, but something beneath it may be.
    Enter(DirMatches),
    /// Neither it nor anything beneath it is wanted.
    Skip,
}

impl Filter {
    pub(super) fn new(root: &Root, selection: &Selection) -> Result<Self, ContextError> {
        let mut wanted = selection.include.clone();
        if !selection.follow.is_empty()
            && let Some(followed) = follow(root, &selection.follow)?
        {
            wanted.extend(followed);
            // One of the paths is the root: everything is wanted.
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

    /// Judges the entry at `path`, given what matched its parent.
    pub(super) fn judge(&self, path: &str, is_directory: bool, parent: Option<&DirMatches>) -> Judgement {
        let mut keep = true;
        let mut includes = Vec::with_capacity(self.includes.len());
        for (index, patterns) in self.includes.iter().enumerate() {
            let above = parent.and_then(|parent| parent.includes.get(index));
            let (matched, info) = patterns.matches_using_parent(path, above);
            if !matched && !(is_directory && reaches_beneath(patterns, path, Pattern::is_inclusion)) {
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

/// Whether one of the patterns of that kind could match something beneath a directory.
///
/// fsutil enters every directory as soon as one pattern holds a wildcard; comparing the components before the
/// first wildcard gives the same entries and enters fewer directories.
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
