//! Descriptors as a manifest contains them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::null;
use super::{Demands, Digest, MediaType, Platform, PlatformError, Unread};

/// The description of a piece of content in a manifest (OCI image-spec, "Descriptors").
///
/// polyarch only reads descriptors. A descriptor is a claim until polyarch fetched and hashed the content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// In an index: the platform of the manifest.
    #[serde(default)]
    pub platform: Option<PlatformFields>,
    /// Annotations.
    #[serde(default, deserialize_with = "null::texts")]
    pub annotations: BTreeMap<String, String>,
    /// The other fields of the index entry.
    #[serde(skip)]
    pub unread: Unread,
}

/// A size that every reader accepts. Readers in Go use signed sizes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    i64::try_from(size).map_err(|_| D::Error::custom(format!("{size} is not a valid size")))?;
    Ok(size)
}

impl Descriptor {
    /// Whether registries serve the layer. Docker's `foreign` layers and OCI's non-distributable layers are fetched
    /// from their `urls` instead (OCI image-spec, "Non-Distributable Layers").
    #[must_use]
    pub fn is_distributable(&self) -> bool {
        let media_type = self.media_type.as_str();
        !media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
            && !media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }

    /// Whether the descriptor names the config of an image, and not of another artifact.
    #[must_use]
    pub fn is_image_config(&self) -> bool {
        let image = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
        image.contains(&self.media_type.as_str())
    }
}

/// The `platform` object of an index entry (OCI image-spec, "Image Index"), or the same fields of an image config. The
/// fields are not normalised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlatformFields {
    /// `amd64`, `arm64`, …
    #[serde(default, deserialize_with = "null::or_default")]
    pub architecture: String,
    /// `linux`, `windows`, …
    #[serde(default, deserialize_with = "null::or_default")]
    pub os: String,
    /// Windows build number.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that the image requires.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null::list")]
    pub os_features: Vec<String>,
    /// `v7` for arm, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl PlatformFields {
    /// The platform in its normal form, with version and features of the operating system.
    ///
    /// # Errors
    /// The os or the architecture is empty, or it has characters that no platform has.
    pub fn platform(&self) -> Result<Platform, PlatformError> {
        let platform = Platform::new(&self.os, &self.architecture, self.variant.as_deref())?;
        Ok(platform.demanding(Demands::new(self.os_version.as_deref(), &self.os_features)))
    }

    /// `unknown/unknown`, which no client pulls by accident.
    pub(super) fn unknown() -> Self {
        Self { os: "unknown".into(), architecture: "unknown".into(), ..Self::default() }
    }

    /// Whether this is `unknown/unknown`, the platform that BuildKit gives to attestations.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}
