//! Which document an index is: Docker's manifest list, or an OCI image index.

use std::fmt;

use super::Platform;

/// Which document an index becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexFormat {
    /// A manifest list if that can hold it, else an OCI index.
    #[default]
    Auto,
    /// An OCI image index.
    Oci,
    /// A Docker manifest list, or nothing.
    Docker,
}

/// Why a Docker manifest list cannot hold what an index has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDocker {
    /// The image of this platform is an OCI image.
    OciImage(Platform),
    /// The image of this platform is attested.
    Attested(Platform),
    /// The index or an entry has annotations, for which Docker's list has no place.
    Annotated,
}

impl fmt::Display for NotDocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OciImage(platform) => write!(f, "{platform} is an OCI image"),
            Self::Attested(platform) => write!(f, "{platform} has attestations"),
            Self::Annotated => f.write_str("it has annotations"),
        }
    }
}
