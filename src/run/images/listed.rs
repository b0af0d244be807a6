//! The images of a repository, as `polyarch images` shows them.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use super::error::ImagesError;
use super::item::ListedEntry;
use super::overview::{Overview, listing};
use crate::oci::{Repository, Tag};
use crate::run::images::image::{ListedBy, RepositoryImage};
use crate::run::storage::registry::Registry;

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
