//! A failure in the report, with the image that it belongs to.

use serde::Serialize;

use crate::oci::Platform;
use crate::run::Failure;

/// A failure, with the image and the platform that it concerns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureOf {
    /// The image, if the failure concerns one image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The platform, if the failure concerns one platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The failure itself.
    #[serde(flatten)]
    pub failure: Failure,
}
