//! Why an image is not a child of an index.

use crate::oci::{Digest, ManifestError, Platform};

/// Why a manifest and a config are not the planned child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The manifest does not parse.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest is an index, which must be flattened first.
    #[error("{0} is an image index, not an image")]
    IsIndex(Digest),
    /// The digest of the config is not the one in the manifest.
    #[error("the config has the digest {actual}, and the manifest names {named}")]
    ConfigDigest {
        /// The digest in the manifest.
        named: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The config is not an image config.
    #[error("the image config is not valid: {0}")]
    Config(String),
    /// The config names no platform.
    #[error("the image config names no platform (os {os:?}, architecture {architecture:?})")]
    NoPlatform {
        /// The `os` field.
        os: String,
        /// The `architecture` field.
        architecture: String,
    },
    /// The config is for another platform.
    #[error("the image is for {actual}, but {planned} was expected")]
    Platform {
        /// The planned platform.
        planned: Platform,
        /// The platform in the config.
        actual: Platform,
    },
    /// In the source index, the `data` of the entry differs from the bytes of the manifest (OCI image-spec,
    /// "Descriptors").
    #[error("the `data` of its index entry is not the manifest {0}")]
    Data(Digest),
}
