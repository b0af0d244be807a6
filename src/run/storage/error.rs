//! Why a storage did not do a request.

use crate::layout::LayoutError;
use crate::oci::{Digest, ManifestError};
use crate::registry::ErrorKind;
use crate::registry::RegistryError;
use crate::run::event::cause::Cause;
use crate::run::event::events::Failure;
use crate::run::event::failure::failure;
use crate::run::event::phase::Phase;
use crate::text::chain;

/// Why a storage did not do the request.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The registry failed or refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout failed or refused.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl StorageError {
    /// Whether nothing exists under the name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_not_found(),
            Self::Layout(error) => error.is_not_found(),
        }
    }

    /// Whether polyarch must stop, because it would have to trust something that it must not trust.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_refusal(),
            Self::Layout(error) => error.is_refusal(),
        }
    }

    /// Whether content is missing or does not match its digest. Clients cannot pull such an image.
    pub(in crate::run) fn is_damage(&self) -> bool {
        let is_other =
            |error: &RegistryError| matches!(error.kind(), ErrorKind::DigestMismatch { .. } | ErrorKind::Size { .. });
        match self {
            Self::Registry(error) => error.is_not_found() || is_other(error),
            Self::Layout(error) => {
                error.is_not_found() || matches!(error, LayoutError::Content { .. } | LayoutError::Size { .. })
            }
        }
    }

    /// The next step of the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Layout(error) => error.hint(),
        }
    }

    /// Whether the storage certainly refused the request, so that nothing moved. After any other error, a registry may
    /// have accepted the request.
    pub(in crate::run) fn is_settled(&self) -> bool {
        match self {
            Self::Registry(_) => self.status().is_some_and(|status| (400..500).contains(&status)),
            Self::Layout(_) => true,
        }
    }

    /// The HTTP status of the registry's answer, if it answered.
    pub(in crate::run) fn status(&self) -> Option<u16> {
        match self {
            Self::Registry(error) => error.answer().map(|(status, _)| status),
            Self::Layout(_) => None,
        }
    }

    /// Whether the storage refused because a tag is immutable.
    pub(in crate::run) fn is_immutable(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_immutable())
    }

    /// The old digest that a tag still names after it moved.
    pub(in crate::run) fn stale(&self) -> Option<&Digest> {
        match self {
            Self::Registry(error) => match error.kind() {
                ErrorKind::Stale(old) => Some(old),
                _ => None,
            },
            Self::Layout(_) => None,
        }
    }

    /// Whether the content is something other than an image or an index.
    pub(in crate::run) fn is_artifact(&self) -> bool {
        let manifest = match self {
            Self::Registry(error) => match error.kind() {
                ErrorKind::Manifest(error) => error,
                _ => return false,
            },
            Self::Layout(LayoutError::Manifest(error)) => error,
            Self::Layout(_) => return false,
        };
        matches!(manifest, ManifestError::Foreign(_) | ManifestError::Schema1)
    }
}

impl From<&StorageError> for Cause {
    fn from(error: &StorageError) -> Self {
        match error {
            StorageError::Registry(error) => error.into(),
            StorageError::Layout(error) => error.into(),
        }
    }
}

/// Converts `error` into a failure of `phase`, or of `Verify` if polyarch refused the content.
pub(in crate::run) fn of_storage(phase: Phase, doing: &str, error: &StorageError) -> Failure {
    let phase = if error.is_refusal() { Phase::Verify } else { phase };
    failure(phase, &format!("cannot {doing}: {}", chain(error)), error.hint()).because(error)
}
