//! Finds the indexes that list each manifest, and sorts the manifests for display.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::image::{ImageKind, RepositoryImage};
use super::item::{Item, ItemContent, ListedEntry};
use crate::oci::Digest;

/// The manifests of a repository, and the indexes that list them.
pub(in crate::run) struct Overview<'a> {
    pub(in crate::run) items: &'a BTreeMap<Digest, Item>,
    /// The indexes that list each manifest, the newest first, with the entry of the manifest.
    indexes: BTreeMap<&'a Digest, Vec<(&'a Digest, &'a ListedEntry)>>,
}

impl<'a> Overview<'a> {
    pub(in crate::run) fn of(items: &'a BTreeMap<Digest, Item>) -> Self {
        let mut overview = Self { items, indexes: BTreeMap::new() };
        let sorted = |indexes: BTreeMap<&'a Digest, &'a ListedEntry>| {
            let mut indexes: Vec<_> = indexes.into_iter().collect();
            indexes.sort_by_cached_key(|(index, _)| Reverse(overview.time(index)));
            indexes
        };
        let indexes = listing(items).into_iter().map(|(digest, indexes)| (digest, sorted(indexes))).collect();
        overview.indexes = indexes;
        overview
    }

    /// The time of the push. If it is unknown, the creation time of the image, or of the newest image of the index.
    pub(in crate::run) fn time(&self, digest: &Digest) -> Option<SystemTime> {
        let item = self.items.get(digest)?;
        item.pushed_at.or_else(|| self.created(item))
    }

    fn created(&self, item: &Item) -> Option<SystemTime> {
        let listed = item.entries().iter().filter_map(|entry| self.items.get(&entry.digest));
        listed.chain([item]).filter_map(|item| item.says()?.created).max()
    }

    pub(in crate::run) fn images(&self) -> Vec<RepositoryImage> {
        let mut tops: Vec<_> = self.items.keys().filter(|digest| !self.indexes.contains_key(*digest)).collect();
        // Manifests without a time come last. At equal times, manifests without a tag come last.
        let tag = |digest| self.items.get(digest).and_then(|item: &Item| item.tags.first());
        tops.sort_by_cached_key(|digest| (Reverse(self.time(digest)), tag(digest).is_none(), tag(digest)));
        let (mut images, mut seen) = (Vec::new(), BTreeSet::new());
        // The manifests that are not shown yet, as a stack with the next one on top. A stack handles deeply nested
        // indexes without recursion.
        let mut next: Vec<_> = tops.into_iter().rev().map(|digest| (digest, 0)).collect();
        while let Some((digest, depth)) = next.pop() {
            let Some(item) = self.items.get(digest).filter(|_| seen.insert(digest)) else { continue };
            images.push(self.image(digest, item, depth));
            next.extend(item.entries().iter().rev().map(|entry| (&entry.digest, depth + 1)));
        }
        images
    }

    fn image(&self, digest: &Digest, item: &Item, depth: usize) -> RepositoryImage {
        RepositoryImage {
            digest: digest.clone(),
            tags: item.tags.clone(),
            media_type: item.media_type.clone(),
            artifact_type: item.artifact_type.clone(),
            kind: self.kind(digest, item),
            size: item.size.or_else(|| self.largest(item)),
            pushed_at: item.pushed_at,
            created: if item.pushed_at.is_some() { None } else { self.created(item) },
            account: item.account.clone(),
            indexes: self.listed(digest).map(|(index, _)| index.clone()).collect(),
            depth,
        }
    }

    /// The size of the largest image in an index. ECR reports the same size for an index.
    fn largest(&self, item: &Item) -> Option<u64> {
        item.entries().iter().filter_map(|entry| self.items.get(&entry.digest)?.size).max()
    }

    fn kind(&self, digest: &Digest, item: &Item) -> ImageKind {
        match &item.inside {
            ItemContent::Index(entries) => {
                ImageKind::Index(entries.iter().filter(|entry| !entry.is_attestation).count())
            }
            ItemContent::Foreign(why) | ItemContent::Unread(why) => ImageKind::Unread(why.into()),
            ItemContent::Closed | ItemContent::Image(_) => self.image_kind(digest, item),
        }
    }

    /// The kind from an index that lists the manifest, or else from its config.
    fn image_kind(&self, digest: &Digest, item: &Item) -> ImageKind {
        let mut entries = self.listed(digest).map(|(_, entry)| entry);
        if let Some(attestation) = entries.clone().find(|entry| entry.is_attestation) {
            return ImageKind::Attestation(attestation.attests.clone());
        }
        let says = || item.says().and_then(|says| says.platform.clone());
        entries.find_map(|entry| entry.platform.clone()).or_else(says).map_or(ImageKind::Other, ImageKind::Image)
    }

    /// The indexes that list a manifest, the newest first, with the entry of the manifest.
    pub(in crate::run) fn listed(
        &self,
        digest: &Digest,
    ) -> impl Iterator<Item = (&'a Digest, &'a ListedEntry)> + Clone {
        self.indexes.get(digest).into_iter().flatten().copied()
    }
}

/// The indexes that list each manifest, with the entry of the manifest.
pub(super) fn listing(items: &BTreeMap<Digest, Item>) -> BTreeMap<&Digest, BTreeMap<&Digest, &ListedEntry>> {
    let mut listing: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (index, item) in items {
        for entry in item.entries() {
            listing.entry(&entry.digest).or_default().entry(index).or_insert(entry);
        }
    }
    listing
}
