//! An image of a repository, as a list shows it.

use std::time::SystemTime;

use crate::oci::{Digest, MediaType, Platform, Tag};
use crate::text::Text;

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
