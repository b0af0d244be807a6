//! What ECR knows of the images of a repository.

use std::time::SystemTime;

use crate::oci::Digest;

/// An image, an index or an artifact of a repository (Amazon ECR API, `ImageDetail`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetail {
    /// Whose registry it is in: the account.
    pub registry_id: String,
    /// The repository.
    pub repository_name: String,
    /// Its manifest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// Bytes, compressed; of an index its largest image's.
    pub size: Option<u64>,
    /// When it was pushed.
    pub pushed_at: Option<SystemTime>,
    /// The media type of its manifest.
    pub manifest_media_type: Option<String>,
    /// The media type of its config.
    pub artifact_media_type: Option<String>,
}

/// An image that was not deleted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDeleted {
    /// Which one.
    pub digest: Digest,
    /// ECR's name for the reason: `ImageReferencedByManifestList`.
    pub code: String,
    /// What it says.
    pub reason: String,
}
