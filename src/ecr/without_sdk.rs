//! Replaces the AWS SDK in a program that was built without it.

use super::error::EcrErrorKind;
use crate::aws::AwsRegion;

/// An empty stand-in.
#[derive(Debug)]
pub(super) struct Sdk;

impl Sdk {
    pub(super) fn new(_: EcrErrorKind) -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "it is awaited where there is an SDK")]
    pub(super) async fn default_region() -> Result<AwsRegion, EcrErrorKind> {
        Err(EcrErrorKind::NotBuiltIn)
    }
}
