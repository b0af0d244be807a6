//! Which publications are proven to be newer than another. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::keep::Order;
use super::names::{Level, Names};
use crate::oci::Digest;

/// An index and its images, or an image that stands for itself.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub(super) digest: &'a Digest,
    pub(super) images: BTreeSet<&'a Digest>,
    /// When the registry first got it. Tags that the publication got later leave no trace.
    pub(super) pushed_at: Option<SystemTime>,
    /// The meaning of its own tags.
    pub(super) names: Names<'a>,
}

/// The proven place of one publication among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// As many publications as wanted are proven to be newer.
    Outdated,
    /// Fewer publications than wanted are newer, or can be.
    Among,
    /// Nothing says when it was published.
    Unordered,
    /// It was published more than once, and nothing says when it was the last time.
    Again,
}

/// The publications of a repository, from the newest to the oldest.
pub(super) struct History<'p, 'a> {
    order: Order,
    newest: usize,
    /// For each level the publications that are named so well, or better.
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

    /// Where a publication stands.
    pub(super) fn place(&self, one: &Publication<'_>) -> Place {
        let as_well_named = self.levels.get(&one.names.level).map_or(&[][..], Vec::as_slice);
        if self.newest == 0 {
            return Place::Outdated;
        }
        if as_well_named.iter().filter(|other| other.digest != one.digest).take(self.newest).count() < self.newest {
            return Place::Among;
        }
        let is_outdated = match self.order {
            Order::Push => {
                let Some(pushed_at) = one.pushed_at else { return Place::Unordered };
                if one.names.are_of_several() {
                    return Place::Again;
                }
                let later = as_well_named.iter().take_while(|other| other.pushed_at > Some(pushed_at));
                // A lower version that was pushed later may have been published before this one was.
                let is_newer = |other: &&&Publication<'_>| {
                    let versions = one.names.version().zip(other.names.version());
                    versions.is_none_or(|(one, other)| one <= other)
                };
                later.filter(is_newer).take(self.newest).count() == self.newest
            }
            Order::Version => {
                let Some(version) = one.names.version() else { return Place::Unordered };
                let higher = as_well_named.iter().take_while(|other| other.names.version() > Some(version));
                higher.take(self.newest).count() == self.newest
            }
        };
        if is_outdated { Place::Outdated } else { Place::Among }
    }

    /// Whether as many publications as wanted were pushed after `pushed_at`.
    pub(super) fn are_later_than(&self, pushed_at: Option<SystemTime>) -> bool {
        let all = self.levels.get(&Level::Untagged).into_iter().flatten();
        let later = all.filter(|one| pushed_at.is_some() && one.pushed_at > pushed_at);
        later.take(self.newest).count() == self.newest
    }
}
