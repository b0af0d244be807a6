//! Who runs a registry, as far as it makes a difference to how it is spoken to.

use crate::oci::RegistryHost;

/// Who runs a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon, whose registry has rules of its own besides the specification's: uploads come in parts of 10 MiB, and
    /// its answers do not say how far one is; no more than ten manifests a second are put.
    Ecr,
    /// Anybody: the specification holds.
    Other,
}

impl Provider {
    /// The provider that the name of `host` gives away.
    #[must_use]
    pub fn of(host: &RegistryHost) -> Self {
        if host.is_ecr() { Self::Ecr } else { Self::Other }
    }
}
