//! The images of a repository, as `polyarch images` shows them.

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
    /// The API that listed the content of the repository.
    pub listed_by: ListedBy,
    /// The images, each once, the newest first. The images of an index follow the newest index that lists them.
    pub images: Vec<RepositoryImage>,
    /// Tags whose manifest cannot be read and whose digest the registry does not report. Each has the reason, in one
    /// line.
    pub unread: BTreeMap<Tag, String>,
}

/// The API that listed the content of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedBy {
    /// The API of Amazon ECR, which knows all images and the time of each push.
    Ecr,
    /// The tags of the registry. Images without a tag and the times of pushes are unknown.
    Registry,
    /// The tags of the registry, because the API of Amazon ECR did not answer. The text gives the reason in one line.
    Instead(Text),
}

/// An image, an index or an artifact of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The media type of its manifest.
    pub media_type: Option<MediaType>,
    /// The media type of its config.
    pub artifact_type: Option<String>,
    /// Its kind.
    pub kind: ImageKind,
    /// The compressed size of config and layers in bytes. For an index, the size of its largest image.
    pub size: Option<u64>,
    /// The time of the push.
    pub pushed_at: Option<SystemTime>,
    /// The creation time in its config. For an index, the newest time among its images. polyarch does not read it if
    /// [`Self::pushed_at`] is known.
    pub created: Option<SystemTime>,
    /// The AWS account of the registry.
    pub account: Option<String>,
    /// The indexes of the repository that list it, the newest first.
    pub indexes: Vec<Digest>,
    /// Its depth in the list: 0 for an image that no index lists, 1 for an image of a top index.
    pub depth: usize,
}

/// The kind of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKind {
    /// An index with this number of images. Attestations do not count.
    Index(usize),
    /// An image of a platform.
    Image(Platform),
    /// An attestation of the image with this digest.
    Attestation(Option<Digest>),
    /// Another artifact, or an image whose platform is unknown.
    Other,
    /// The manifest cannot be read. The text gives the reason in one line.
    Unread(Text),
}

/// Lists the images of `repository`, and the indexes that list each image. For Amazon ECR, polyarch uses the API of
/// ECR, or the tags if the role may not use that API. For other registries, polyarch lists at most 10,000 tags.
///
/// # Errors
/// The registry or AWS cannot be asked. Or the repository does not exist, or it has more content than polyarch lists.
pub async fn images(registry: &Registry, repository: &Repository) -> Result<RepositoryImages, ImagesError> {
    let mut catalog = Catalog::read(registry, repository).await?;
    // If the push time is known and an index names the platform, polyarch does not read the config.
    let is_whole = catalog.listed_by == ListedBy::Ecr;
    let says = |entry: &&ListedEntry| entry.platform.is_some() || entry.is_attestation;
    let listing = listing(&catalog.items).into_iter().filter(|(_, indexes)| is_whole && indexes.values().any(says));
    let known: BTreeSet<_> = listing.map(|(digest, _)| digest.clone()).collect();
    catalog.read_configs(|digest| !known.contains(digest)).await?;
    let images = Overview::of(&catalog.items).images();
    let Catalog { listed_by, unread, .. } = catalog;
    Ok(RepositoryImages { repository: repository.clone(), listed_by, images, unread })
}
