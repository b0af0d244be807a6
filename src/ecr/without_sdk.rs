//! In the place of the AWS SDK where this program was built without it.

use super::error::EcrErrorKind;
use crate::oci::AwsRegion;

/// Nothing.
#[derive(Debug, Default)]
pub(super) struct Sdk;

impl Sdk {
    #[expect(clippy::unused_async, reason = "it is awaited where there is an SDK")]
    pub(super) async fn default_region() -> Result<AwsRegion, EcrErrorKind> {
        Err(EcrErrorKind::NotBuiltIn)
    }
}
