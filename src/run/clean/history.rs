//! Decides which publications are proven to be newer than another. This module sends no requests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::keep::Order;
use super::names::{Level, Names};
use crate::oci::Digest;

/// An index and its images, or a single image without an index.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub(super) digest: &'a Digest,
    pub(super) images: BTreeSet<&'a Digest>,
    /// The time of the first push to the registry. Tags that the publication got later leave no trace.
    pub(super) pushed_at: Option<SystemTime>,
    /// The meaning of the publication's own tags.
    pub(super) names: Names<'a>,
}

/// The proven place of one publication among all publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// The wanted number of publications is proven to be newer.
    Outdated,
    /// The wanted number of newer publications is not reached, or not proven.
    Among,
    /// The publication has no date and no version to order it by.
    Unordered,
    /// It was published more than once, and the time of the last publication is unknown.
    Again,
}

/// The publications of a repository, from the newest to the oldest.
pub(super) struct History<'p, 'a> {
    order: Order,
    newest: usize,
    /// For each level, the publications with tags of this level or a higher one.
    levels: BTreeMap<Level, Vec<&'p Publication<'a>>>,
}

impl<'p, 'a> History<'p, 'a> {
    pub(super) fn of(order: Order, newest: usize, publications: impl Iterator<Item = &'p Publication<'a>>) -> Self {
        let mut sorted: Vec<_> = publications.collect();
        match order {
            Order::Push => sorted.sort_by_key(|one| Reverse(one.pushed_at)),
            Order::Version => sorted.sort_by(|one, other| other.names.version().cmp(&one.names.version())),
        }
        let from = |level: Level| sorted.iter().copied().filter(|one| one.names.level >= level).collect();
        let levels = Level::ALL.into_iter().map(|level| (level, from(level))).collect();
        Self { order, newest, levels }
    }

    /// The place of one publication.
    pub(super) fn place(&self, one: &Publication<'_>) -> Rank {
        let as_well_named = self.levels.get(&one.names.level).map_or(&[][..], Vec::as_slice);
        if self.newest == 0 {
            return Rank::Outdated;
        }
        if as_well_named.iter().filter(|other| other.digest != one.digest).take(self.newest).count() < self.newest {
            return Rank::Among;
        }
        let is_outdated = match self.order {
            Order::Push => {
                let Some(pushed_at) = one.pushed_at else { return Rank::Unordered };
                if one.names.are_of_several() {
                    return Rank::Again;
                }
                let later = as_well_named.iter().take_while(|other| other.pushed_at > Some(pushed_at));
                // A lower version that was pushed later may have been published before this version.
                let is_newer = |other: &&&Publication<'_>| {
                    let versions = one.names.version().zip(other.names.version());
                    versions.is_none_or(|(one, other)| one <= other)
                };
                later.filter(is_newer).take(self.newest).count() == self.newest
            }
            Order::Version => {
                let Some(version) = one.names.version() else { return Rank::Unordered };
                let higher = as_well_named.iter().take_while(|other| other.names.version() > Some(version));
                higher.take(self.newest).count() == self.newest
            }
        };
        if is_outdated { Rank::Outdated } else { Rank::Among }
    }

    /// Whether the wanted number of publications was pushed after `pushed_at`.
    pub(super) fn are_later_than(&self, pushed_at: Option<SystemTime>) -> bool {
        let all = self.levels.get(&Level::Untagged).into_iter().flatten();
        let later = all.filter(|one| pushed_at.is_some() && one.pushed_at > pushed_at);
        later.take(self.newest).count() == self.newest
    }
}
