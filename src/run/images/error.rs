//! Why the images of a repository are not known.

use crate::ecr::{EcrError, EcrErrorKind};
use crate::registry::RegistryError;

/// Most entries of all indexes of a repository together that are looked at.
pub(super) const MOST_LISTED: usize = 100_000;

/// Why the images of a repository are not known.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Amazon ECR's own API.
    #[error(transparent)]
    Ecr(#[from] EcrError),
    /// Its indexes list more than is looked at.
    #[error("its indexes list more than {MOST_LISTED} images: that many are not looked at")]
    Many,
}

impl ImagesError {
    /// Whether there is no such repository.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_not_found(),
            Self::Ecr(error) => matches!(error.kind, EcrErrorKind::NoRepository),
            Self::Many => false,
        }
    }

    /// Whether the registry or AWS cannot be used; else what they answered is the matter.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        match self {
            Self::Registry(error) => !error.is_not_found() && !error.is_refusal(),
            Self::Ecr(_) => !self.is_not_found(),
            Self::Many => false,
        }
    }

    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Ecr(error) => error.hint(),
            Self::Many => None,
        }
    }
}
