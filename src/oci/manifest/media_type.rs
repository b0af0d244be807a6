//! The media types of manifests, of Docker and of OCI.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a manifest or of the content that a descriptor names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Docker image manifest, schema 2.
    DockerManifest,
    /// Docker manifest list.
    DockerList,
    /// OCI image manifest.
    OciManifest,
    /// OCI image index.
    OciIndex,
    /// Any other type: a config, a layer, an artifact.
    Other(Box<str>),
}

impl MediaType {
    /// The types in the `Accept` header. polyarch always sends all four. Otherwise a registry may answer 404 for an
    /// index that exists (distribution 2.8).
    pub const MANIFESTS: [Self; 4] = [Self::OciIndex, Self::DockerList, Self::OciManifest, Self::DockerManifest];

    /// The type in a `Content-Type` header or a `mediaType` field. Parameters after `;` are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/vnd.docker.distribution.manifest.v2+json" => Self::DockerManifest,
            "application/vnd.docker.distribution.manifest.list.v2+json" => Self::DockerList,
            "application/vnd.oci.image.manifest.v1+json" => Self::OciManifest,
            "application/vnd.oci.image.index.v1+json" => Self::OciIndex,
            _ => Self::Other(essence.into()),
        }
    }

    /// The type in its written form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::Other(other) => other,
        }
    }

    /// Whether it names an image manifest.
    #[must_use]
    pub fn is_image(&self) -> bool {
        matches!(self, Self::DockerManifest | Self::OciManifest)
    }

    /// Whether it names an image index or a manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self, Self::DockerList | Self::OciIndex)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_back_with_parameters() {
        for media_type in MediaType::MANIFESTS {
            assert_eq!(MediaType::parse(media_type.as_str()), media_type);
            assert_eq!(MediaType::parse(&format!("{media_type}; charset=utf-8")), media_type);
        }
    }
}
