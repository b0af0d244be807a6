//! What is shown of a repository's images.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::super::access::Registry;
use super::catalog::Catalog;
use super::error::ImagesError;
use super::item::ListedEntry;
use super::overview::{Overview, listing};
use crate::oci::{Digest, MediaType, Platform, Repository, Tag};
use crate::text::Text;

/// The images of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryImages {
    /// The repository.
    pub repository: Repository,
    /// Who said what is there.
    pub listed_by: ListedBy,
    /// The images, each once, the newest first; behind an index what it lists, as far as no newer one does.
    pub images: Vec<RepositoryImage>,
    /// Tags of manifests that cannot be read, and whose digest the registry does not say. Each has the reason, in one
    /// line.
    pub unread: BTreeMap<Tag, String>,
}

/// Who said what is in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedBy {
    /// Amazon ECR's own API, which knows all images and when each was pushed.
    Ecr,
    /// The registry, by its tags: what no tag leads to is not known, nor when anything was pushed.
    Registry,
    /// The same, because Amazon ECR's own API did not answer: why, in one line.
    Instead(Text),
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
    Unread(Text),
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
    let listing = listing(&catalog.items).into_iter().filter(|(_, indexes)| is_whole && indexes.values().any(says));
    let known: BTreeSet<_> = listing.map(|(digest, _)| digest.clone()).collect();
    catalog.read_configs(|digest| !known.contains(digest)).await?;
    let images = Overview::of(&catalog.items).images();
    let Catalog { listed_by, unread, .. } = catalog;
    Ok(RepositoryImages { repository: repository.clone(), listed_by, images, unread })
}
