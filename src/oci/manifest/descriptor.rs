//! Descriptors as a manifest contains them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::media_type::MediaType;
use super::platform_fields::PlatformFields;
use super::unread::Unread;
use crate::oci::json::null;
use crate::oci::{Digest, Platform};

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
    /// The platform of an index entry in its normal form. `None`: the entry names none, or a malformed one. The entry
    /// of an attestation has the platform `unknown/unknown`.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        self.platform.as_ref()?.platform().ok()
    }

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
