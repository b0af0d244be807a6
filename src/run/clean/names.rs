//! Interprets the tags of a publication. A tag names its version, or it moves from one publication to the next.
//!
//! The form of some tags shows that they belong to one publication. These are revisions, dates, and versions with the
//! most numbers in the repository. Every other tag may move: `latest`, `stable`, `1` and `1.2` beside `1.2.3`. `1.2`
//! also moves beside a revision or a date.

use std::collections::BTreeSet;

use crate::oci::{Digest, Tag};

/// The fewest characters of a revision: git abbreviates to this length. A single number of this many digits is not a
/// version.
const REVISION: usize = 7;
/// The most characters of a revision: the length of SHA-256 in hexadecimal digits.
const LONGEST_REVISION: usize = 64;

/// A version of at least this many numbers belongs to one publication, even beside a revision or a date.
const WHOLE_VERSION: usize = 3;

/// The rule for reading the tags of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Naming {
    /// How many numbers the longest version in the repository has: 3 for `1.2.3`.
    most_numbers: usize,
}

/// The meaning of all tags of one manifest together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names<'a> {
    /// The precision of the tags.
    pub(super) level: Level,
    /// The first tag that may move.
    pub(super) moving: Option<&'a Tag>,
    /// The numbers of the versions among the tags.
    versions: BTreeSet<Vec<u64>>,
    revisions: BTreeSet<&'a str>,
    dates: BTreeSet<&'a str>,
}

/// The precision of a publication's tags. Only publications of the same level or a higher one can outdate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// It has no tag.
    Untagged,
    /// It has a tag, but no version.
    Tagged,
    /// It has a version with an ending: `1.2.3-rc.1`, `1.2.3-alpine`.
    Ended,
    /// It has a version without an ending.
    Version,
}

impl Level {
    pub(super) const ALL: [Self; 4] = [Self::Untagged, Self::Tagged, Self::Ended, Self::Version];
}

/// The meaning of one tag.
struct Said<'a> {
    version: Option<(Vec<u64>, Level)>,
    revision: Option<&'a str>,
    date: Option<&'a str>,
}

impl Naming {
    /// Derives the rule from all tags of a repository.
    pub(super) fn of<'a>(tags: impl Iterator<Item = &'a Tag>) -> Self {
        let numbers = tags.filter_map(|tag| Said::read(tag).version).map(|(numbers, _)| numbers.len());
        Self { most_numbers: numbers.max().unwrap_or_default() }
    }

    /// Interprets `tags`, which belong to one manifest.
    pub(super) fn read<'a>(self, tags: impl Iterator<Item = &'a Tag>) -> Names<'a> {
        let said: Vec<_> = tags.map(|tag| (tag, Said::read(tag))).collect();
        let has_another = said.iter().any(|(_, said)| said.revision.is_some() || said.date.is_some());
        let is_whole =
            |numbers: &[u64]| numbers.len() == self.most_numbers && (numbers.len() >= WHOLE_VERSION || !has_another);
        let (versions, revisions, dates) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut names = Names { level: Level::Untagged, moving: None, versions, revisions, dates };
        for (tag, Said { version, revision, date }) in said {
            let version = version.filter(|(numbers, _)| is_whole(numbers));
            if version.is_none() && revision.is_none() && date.is_none() {
                names.moving.get_or_insert(tag);
            }
            names.revisions.extend(revision);
            names.dates.extend(date);
            let level = version.as_ref().map_or(Level::Tagged, |(_, level)| *level);
            names.versions.extend(version.map(|(numbers, _)| numbers));
            names.level = names.level.max(level);
        }
        names
    }
}

impl Names<'_> {
    /// The numbers of the highest version among the tags.
    pub(super) fn version(&self) -> Option<&[u64]> {
        self.versions.last().map(Vec::as_slice)
    }

    /// Whether the manifest was published more than once: its tags name two versions, two revisions or two dates.
    pub(super) fn are_of_several(&self) -> bool {
        // A short revision is the same as a longer revision that begins with it.
        let differ = |words: &BTreeSet<&str>| {
            let longest = words.iter().max_by_key(|word| word.len());
            words.iter().any(|word| longest.is_some_and(|longest| !longest.starts_with(word)))
        };
        self.versions.len() > 1 || differ(&self.revisions) || differ(&self.dates)
    }
}

impl<'a> Said<'a> {
    fn read(tag: &'a Tag) -> Self {
        let words = || tag.as_str().split(['-', '_']);
        let version = words().enumerate().find_map(|(place, word)| {
            let numbers = numbers(word).filter(|numbers| numbers.len() > 1 || place == 0)?;
            let level = if word.len() == tag.as_str().len() { Level::Version } else { Level::Ended };
            Some((numbers, level))
        });
        let words = || tag.as_str().split(['-', '_', '.']);
        let revision = words().map(|word| word.strip_prefix('g').unwrap_or(word)).find(|word| is_revision(word));
        Self { version, revision, date: words().find(|word| is_date(word)) }
    }
}

/// The numbers of `1.2.3` or `v1.2.3`.
fn numbers(word: &str) -> Option<Vec<u64>> {
    let digits = word.strip_prefix('v').unwrap_or(word);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits.split('.').all(is_number) || (!digits.contains('.') && digits.len() >= REVISION) {
        return None;
    }
    digits.split('.').map(|part| part.parse().ok()).collect()
}

/// A commit, a digest or the number of a run, in hexadecimal or decimal digits. A word of letters alone is not a
/// revision.
fn is_revision(word: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (REVISION..=LONGEST_REVISION).contains(&word.len())
        && word.bytes().all(is_hex)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && !is_date(word)
}

/// `20260131`, with or without the time of day, or the seconds of the Unix epoch.
fn is_date(word: &str) -> bool {
    let is_date = match word.len() {
        8 | 12 | 14 => word.starts_with("20"),
        10 => word.starts_with('1'),
        _ => false,
    };
    is_date && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of hexadecimal digits of a SHA-256 digest.
pub(in crate::run) const SHA256_HEX: usize = 64;

/// The image that a tag of the form `sha256-….sig` refers to (cosign, "Signature Spec"; OCI distribution-spec,
/// "Referrers Tag Schema").
pub(in crate::run) fn referred(tag: &Tag) -> Option<Digest> {
    let hex = tag.as_str().strip_prefix("sha256-")?.get(..SHA256_HEX)?;
    format!("sha256:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        text.split_whitespace().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn tag_counts_as_moving_unless_its_form_is_unique() {
        for (repository, moving) in [
            (
                "latest stable main edge dev prod nightly bookworm-slim",
                "latest stable main edge dev prod nightly bookworm-slim",
            ),
            ("1.2.3 1.2 1 v1 v1.2 v1.2.4 1.2-alpine 1.2.3-alpine", "1.2 1 v1 v1.2 1.2-alpine"),
            ("1.0 1.1 2 latest", "2 latest"),
            ("17 18 18-alpine", ""),
            ("abc1234 sha-abc1234 main-0123abc 20260131 1760000000 20260131093000 build-6912345678", ""),
            ("v1.2.3-5-gabc1234 web-1.2.3 1.2.3-rc.1", ""),
            (
                "pr-45 build-12 node20 python3 facaded deadbee latest-amd64",
                "pr-45 build-12 node20 python3 facaded deadbee latest-amd64",
            ),
            ("1..2 v", "1..2 v"),
        ] {
            let all = tags(repository);
            let naming = Naming::of(all.iter());
            let moves: Vec<_> =
                all.iter().filter_map(|tag| naming.read([tag].into_iter()).moving).map(Tag::as_str).collect();
            assert_eq!(moves.join(" "), moving, "{repository}");
        }
    }

    #[test]
    fn short_version_counts_as_moving_beside_a_revision_or_date() {
        for (one, moving) in [
            ("1.0 latest", "latest"),
            ("1.0 abc1234", "1.0"),
            ("abc1234 1", "1"),
            ("20260131 1.0", "1.0"),
            ("1.0.0 abc1234", ""),
        ] {
            let all = tags(one);
            let names = Naming::of(all.iter()).read(all.iter());
            assert_eq!(names.moving.map_or("", Tag::as_str), moving, "{one}");
        }
    }

    #[test]
    fn tags_of_one_kind_belong_to_several_publications() {
        for (one, are_of_several) in [
            ("1.2.3 v1.2.3 1.2.3-alpine latest 1.2 1", false),
            ("1.2.3 abc1234 20260131", false),
            ("abc1234 sha-abc1234def0 main-abc1234", false),
            ("1.2.3 1.2.4", true),
            ("abc1234 def5678", true),
            ("20260131 20260201 abc1234", true),
            ("20260131 20260131093000", false),
            ("latest stable", false),
        ] {
            let all = tags(&format!("{one} 0.0.1"));
            let names = Naming::of(all.iter()).read(all[..all.len() - 1].iter());
            assert_eq!(names.are_of_several(), are_of_several, "{one}");
        }
    }

    #[test]
    fn version_tags_rank_above_suffixed_versions_and_other_tags() {
        let all = tags("1.10.0 1.9.0 1.9.0-rc.1 latest abc1234");
        let naming = Naming::of(all.iter());
        let read = |tags: &[Tag]| {
            let names = naming.read(tags.iter());
            (names.level, names.version().map(<[u64]>::to_vec))
        };
        assert_eq!(read(&all), (Level::Version, Some(vec![1, 10, 0])));
        assert_eq!(read(&all[2..]), (Level::Ended, Some(vec![1, 9, 0])));
        assert_eq!(read(&all[3..]), (Level::Tagged, None));
        assert_eq!(read(&[]), (Level::Untagged, None));
    }
}
