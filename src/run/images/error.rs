//! The reasons why polyarch cannot list the images of a repository.

use crate::ecr::{EcrError, EcrErrorKind};
use crate::registry::RegistryError;

/// The most entries that polyarch reads in all indexes of a repository together.
pub(super) const MOST_LISTED: usize = 100_000;

/// The reason why polyarch cannot list the images of a repository.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// A request to the registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A request to the API of Amazon ECR failed.
    #[error(transparent)]
    Ecr(#[from] EcrError),
    /// The indexes list more entries than polyarch reads.
    #[error("its indexes list more than {MOST_LISTED} images: more than polyarch reads")]
    Many,
}

impl ImagesError {
    /// Whether the repository does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_not_found(),
            Self::Ecr(error) => matches!(error.kind, EcrErrorKind::NoRepository),
            Self::Many => false,
        }
    }

    /// Whether the registry or AWS cannot be used. Otherwise the answer itself is the fault.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        match self {
            Self::Registry(error) => !error.is_not_found() && !error.is_refusal(),
            Self::Ecr(_) => !self.is_not_found(),
            Self::Many => false,
        }
    }

    /// The next step for the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Ecr(error) => error.hint(),
            Self::Many => None,
        }
    }
}
