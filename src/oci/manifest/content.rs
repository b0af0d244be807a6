//! The content of manifests: an image, or an index.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::descriptor::Descriptor;
use super::entries;
use super::media_type::MediaType;
use crate::oci::json::null;

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one a document, and never a list of them")]
pub enum Content {
    /// One image.
    Image(ImageManifest),
    /// A manifest list or an OCI image index.
    Index(ImageIndex),
}

/// The image manifest (OCI image-spec, "Image Manifest"; Docker's schema 2 has the same fields).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// The configuration of the image.
    pub config: Descriptor,
    /// The layers of the image, the base first.
    #[serde(default, deserialize_with = "null::or_default")]
    pub layers: Vec<Descriptor>,
    /// The type of the artifact, if the manifest names one (OCI image-spec 1.1, `artifactType`).
    #[serde(default)]
    pub artifact_type: Option<MediaType>,
    /// The manifest that the artifact refers to.
    #[serde(default)]
    pub subject: Option<Box<Descriptor>>,
    /// Annotations of the manifest.
    #[serde(default, deserialize_with = "null::texts")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// A short description of the artifact. `None`: the config is that of an image.
    #[must_use]
    pub fn artifact(&self) -> Option<String> {
        if self.config.is_image_config() {
            return None;
        }
        let named = self.artifact_type.as_ref().unwrap_or(&self.config.media_type);
        Some(match named.as_str() {
            "application/vnd.cncf.helm.config.v1+json" => "a Helm chart".to_owned(),
            "application/vnd.docker.plugin.v1+json" => "a plugin of Docker Engine".to_owned(),
            other => format!("an artifact of type {other}"),
        })
    }

    /// The bytes of config and layers together, as stored in the registry (compressed). A manifest can claim wrong
    /// sizes. The sum saturates, and is only displayed.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.layers.iter().fold(self.config.size, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// The image index or manifest list (OCI image-spec, "Image Index").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageIndex {
    /// The entries, in the order of the index.
    #[serde(default, deserialize_with = "entries::read")]
    pub manifests: Vec<Descriptor>,
    /// Annotations of the index.
    #[serde(default, deserialize_with = "null::texts")]
    pub annotations: BTreeMap<String, String>,
}
