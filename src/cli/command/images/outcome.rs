//! The result of `polyarch images`.

use polyarch::run::{Failure, RepositoryImages};

/// A repository, and its images or the failure.
pub(crate) struct ListOutcome {
    pub(crate) repository: String,
    pub(crate) images: Result<RepositoryImages, Failure>,
}
