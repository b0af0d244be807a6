//! Why a repository cannot be cleaned.

use super::super::images::ImagesError;
use crate::ecr::EcrError;
use crate::oci::Digest;
use crate::registry::RegistryError;

/// Why a repository cannot be cleaned. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// What it has is not known.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// An index of it cannot be read.
    #[error("{digest} cannot be read, and may list what would be deleted: {why}")]
    Unread {
        /// Which one.
        digest: Digest,
        /// Why, in one line.
        why: String,
    },
    /// It is in the embedded registry.
    #[error("the embedded registry deletes nothing but tags")]
    Embedded,
    /// The registry deletes nothing, or not for us.
    #[error("nothing can be deleted there")]
    Registry(#[source] RegistryError),
    /// AWS deletes nothing for us.
    #[error("nothing can be deleted there")]
    Ecr(#[source] EcrError),
}

impl CleanError {
    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Images(error) => error.hint(),
            Self::Unread { digest, .. } => Some(format!("delete it by hand, or repair it: {digest}")),
            Self::Embedded => Some("what it has is in POLYARCH_HOME: remove that to begin anew".into()),
            Self::Registry(error) if super::super::untag::is_unsupported(error) => Some(
                "let the registry delete by digest (docker-registry: `storage: { delete: { enabled: true } }`)".into(),
            ),
            Self::Registry(error) => error.hint(),
            Self::Ecr(error) => error.hint(),
        }
    }
}
