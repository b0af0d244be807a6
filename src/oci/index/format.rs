//! The format of an index: Docker's manifest list or an OCI image index.

use std::fmt;

use crate::oci::Platform;

/// The format of the new index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexFormat {
    /// A manifest list if it can hold the index, or else an OCI index.
    #[default]
    Auto,
    /// An OCI image index.
    Oci,
    /// A Docker manifest list, or an error.
    Docker,
}

/// Why a Docker manifest list cannot hold an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDocker {
    /// The image of this platform is an OCI image.
    OciImage(Platform),
    /// The image of this platform has attestations.
    Attested(Platform),
    /// The index or an entry has annotations, which Docker's list does not support.
    Annotated,
}

impl fmt::Display for NotDocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OciImage(platform) => write!(f, "{platform} is an OCI image"),
            Self::Attested(platform) => write!(f, "{platform} has attestations"),
            Self::Annotated => f.write_str("the index has annotations"),
        }
    }
}
