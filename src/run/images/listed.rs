//! What is shown of a repository's images.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::super::access::Registry;
use super::catalog::Catalog;
use super::error::ImagesError;
use super::item::{Inside, Item, ListedEntry};
use crate::oci::{Digest, MediaType, Platform, Repository, Tag};

/// The images of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryImages {
    /// The repository.
    pub repository: Repository,
    /// Who said what is there.
    pub listed_by: ListedBy,
    /// The images, each once, the newest first; behind an index what it lists, as far as no newer one does.
    pub images: Vec<RepositoryImage>,
}

/// Who said what is in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedBy {
    /// Amazon ECR's own API, which knows all images and when each was pushed.
    Ecr,
    /// The registry, by its tags: what no tag leads to is not known, nor when anything was pushed.
    Registry,
    /// The same, because Amazon ECR's own API did not answer: why, in one line.
    Instead(String),
}

/// An image, an index or an artifact of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryImage {
    /// Its manifest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The type of its manifest.
    pub media_type: Option<MediaType>,
    /// The type of its config.
    pub artifact_type: Option<String>,
    /// What it is.
    pub kind: ImageKind,
    /// Bytes of config and layers, compressed; of an index those of its largest image.
    pub size: Option<u64>,
    /// When it was pushed.
    pub pushed_at: Option<SystemTime>,
    /// When it was made, as its config says; of an index the newest of its images. It is not read where
    /// [`Self::pushed_at`] is known.
    pub created: Option<SystemTime>,
    /// Whose registry it is in: the account.
    pub account: Option<String>,
    /// The indexes of the repository that list it, the newest first.
    pub indexes: Vec<Digest>,
    /// How many indexes it stands below.
    pub depth: usize,
}

/// What a manifest of a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKind {
    /// An index of so many images, attestations not counted.
    Index(usize),
    /// An image of a platform.
    Image(Platform),
    /// Statements about an image: its digest.
    Attestation(Option<Digest>),
    /// Something else, or an image that does not say of which platform it is.
    Other,
    /// It cannot be read: why, in one line.
    Unread(String),
}

/// The images of `repository`, and which index lists which. Amazon ECR is asked by its own API, and by the registry's
/// where the role may not; all other registries by their tags, at most 10,000.
///
/// # Errors
/// The registry or AWS cannot be asked; there is no such repository; it has more than is listed.
pub async fn images(registry: &Registry, repository: &Repository) -> Result<RepositoryImages, ImagesError> {
    let mut catalog = Catalog::read(registry, repository).await?;
    // What an index says of its platform need not be read again, where it is known when it was pushed.
    let is_whole = catalog.listed_by == ListedBy::Ecr;
    let says = |entry: &&ListedEntry| entry.platform.is_some() || entry.is_attestation;
    let listing = catalog.listing().into_iter().filter(|(_, indexes)| is_whole && indexes.values().any(says));
    let known: BTreeSet<_> = listing.map(|(digest, _)| digest.clone()).collect();
    catalog.read_configs(|digest| !known.contains(digest)).await?;
    let listed_by = catalog.listed_by.clone();
    Ok(RepositoryImages { repository: repository.clone(), listed_by, images: Shown::of(&catalog).images() })
}

/// What an order is made of.
struct Shown<'a> {
    items: &'a BTreeMap<Digest, Item>,
    /// The indexes that list each manifest, the newest first, with what they say of it.
    indexes: BTreeMap<&'a Digest, Vec<(&'a Digest, &'a ListedEntry)>>,
}

impl<'a> Shown<'a> {
    fn of(catalog: &'a Catalog<'_>) -> Self {
        let mut shown = Self { items: &catalog.items, indexes: BTreeMap::new() };
        let sorted = |indexes: BTreeMap<&'a Digest, &'a ListedEntry>| {
            let mut indexes: Vec<_> = indexes.into_iter().collect();
            indexes.sort_by_cached_key(|(index, _)| Reverse(shown.time(index)));
            indexes
        };
        let indexes = catalog.listing().into_iter().map(|(digest, indexes)| (digest, sorted(indexes))).collect();
        shown.indexes = indexes;
        shown
    }

    /// When it was pushed; else when it, or the newest image that it lists, was made.
    fn time(&self, digest: &Digest) -> Option<SystemTime> {
        let item = self.items.get(digest)?;
        item.pushed_at.or_else(|| self.created(item))
    }

    fn created(&self, item: &Item) -> Option<SystemTime> {
        let listed = item.entries().iter().filter_map(|entry| self.items.get(&entry.digest));
        listed.chain([item]).filter_map(|item| item.says()?.created).max()
    }

    fn images(&self) -> Vec<RepositoryImage> {
        let mut tops: Vec<_> = self.items.keys().filter(|digest| !self.indexes.contains_key(*digest)).collect();
        // What has no time comes last, and of what is of one time what has no tag.
        let tag = |digest| self.items.get(digest).and_then(|item: &Item| item.tags.first());
        tops.sort_by_cached_key(|digest| (Reverse(self.time(digest)), tag(digest).is_none(), tag(digest)));
        let (mut images, mut seen) = (Vec::new(), BTreeSet::new());
        // Those that are not shown yet, the next one last. Indexes may be nested deeply.
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

    /// As ECR counts an index: its largest image.
    fn largest(&self, item: &Item) -> Option<u64> {
        item.entries().iter().filter_map(|entry| self.items.get(&entry.digest)?.size).max()
    }

    fn kind(&self, digest: &Digest, item: &Item) -> ImageKind {
        match &item.inside {
            Inside::Index(entries) => ImageKind::Index(entries.iter().filter(|entry| !entry.is_attestation).count()),
            Inside::Unread(why) => ImageKind::Unread(why.clone()),
            Inside::Closed | Inside::Image(_) => self.image_kind(digest, item),
        }
    }

    /// What an index says of it, else what its config says.
    fn image_kind(&self, digest: &Digest, item: &Item) -> ImageKind {
        let mut entries = self.listed(digest).map(|(_, entry)| entry);
        if let Some(attestation) = entries.clone().find(|entry| entry.is_attestation) {
            return ImageKind::Attestation(attestation.attests.clone());
        }
        let says = || item.says().and_then(|says| says.platform.clone());
        entries.find_map(|entry| entry.platform.clone()).or_else(says).map_or(ImageKind::Other, ImageKind::Image)
    }

    fn listed(&self, digest: &Digest) -> impl Iterator<Item = (&Digest, &ListedEntry)> + Clone {
        self.indexes.get(digest).into_iter().flatten().copied()
    }
}
