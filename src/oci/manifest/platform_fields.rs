//! The platform of an image as documents write it.

use serde::{Deserialize, Serialize};

use crate::oci::json::null;
use crate::oci::{Demands, Platform, PlatformError};

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
    pub(in crate::oci) fn unknown() -> Self {
        Self { os: "unknown".into(), architecture: "unknown".into(), ..Self::default() }
    }

    /// Whether this is `unknown/unknown`, the platform that BuildKit gives to attestations.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}
