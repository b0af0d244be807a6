//! Descriptors, as they are read from a manifest.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::null;
use super::{Demands, Digest, MediaType, Platform, PlatformError, Unread};

/// What a manifest says of a piece of content (OCI image-spec, "Descriptors").
///
/// Read only: what it says is a claim until the bytes were fetched and hashed.
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
    /// The other fields of an index entry.
    #[serde(skip)]
    pub unread: Unread,
}

/// A size that every reader takes. Sizes of Go's readers have a sign.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    i64::try_from(size).map_err(|_| D::Error::custom(format!("{size} is no size")))?;
    Ok(size)
}

impl Descriptor {
    /// Whether registries hand it on. Others of Docker's (`foreign`) and OCI's layers are fetched from where their
    /// `urls` say (OCI image-spec, "Non-Distributable Layers").
    #[must_use]
    pub fn is_distributable(&self) -> bool {
        let media_type = self.media_type.as_str();
        !media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
            && !media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }

    /// Whether it names the config of an image, not that of some other artifact.
    #[must_use]
    pub fn is_image_config(&self) -> bool {
        let image = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
        image.contains(&self.media_type.as_str())
    }
}

/// The `platform` object of an index entry (OCI image-spec, "Image Index"), or the same fields of an image
/// config, as they are on the wire: not normalised.
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
    /// Features of the operating system that the image needs.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null::list")]
    pub os_features: Vec<String>,
    /// `v7` of arm, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl PlatformFields {
    /// The platform in its normal form, with what it demands of its operating system.
    ///
    /// # Errors
    /// An empty os or architecture, or one with characters that no platform has.
    pub fn platform(&self) -> Result<Platform, PlatformError> {
        let platform = Platform::new(&self.os, &self.architecture, self.variant.as_deref())?;
        Ok(platform.demanding(Demands::new(self.os_version.as_deref(), &self.os_features)))
    }

    /// `unknown/unknown`, which nobody pulls by accident.
    pub(super) fn unknown() -> Self {
        Self { os: "unknown".into(), architecture: "unknown".into(), ..Self::default() }
    }

    /// Whether this is `unknown/unknown`, under which BuildKit puts attestations into an index.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}
