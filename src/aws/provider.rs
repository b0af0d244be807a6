//! The provider of a registry, if polyarch must treat it differently.

use super::host::is_ecr;
use crate::oci::RegistryHost;

/// The provider of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon. ECR has rules in addition to the specification. Uploads use parts of 10 MiB, and answers do not report
    /// the progress of an upload. ECR accepts at most ten manifests a second.
    Ecr,
    /// Any other provider, which follows the specification.
    Other,
}

impl Provider {
    /// The provider, recognised by the name of `host`.
    #[must_use]
    pub fn of(host: &RegistryHost) -> Self {
        if is_ecr(host) { Self::Ecr } else { Self::Other }
    }
}
