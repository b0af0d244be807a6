//! The facts that ECR has about the images of a repository.

use std::time::SystemTime;

use crate::oci::Digest;

/// An image, an index or an artifact in a repository (Amazon ECR API, `ImageDetail`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetail {
    /// The account that owns the registry.
    pub registry_id: String,
    /// The repository.
    pub repository_name: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// The compressed size in bytes. For an index this is the size of its largest image.
    pub size: Option<u64>,
    /// The time of the push.
    pub pushed_at: Option<SystemTime>,
    /// The media type of its manifest.
    pub manifest_media_type: Option<String>,
    /// The media type of its config.
    pub artifact_media_type: Option<String>,
}

/// An image that ECR did not delete, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDeleted {
    /// The image.
    pub digest: Digest,
    /// ECR's code of the reason, such as `ImageReferencedByManifestList`.
    pub code: String,
    /// ECR's message.
    pub reason: String,
}
