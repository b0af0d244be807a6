//! The result of `polyarch verify`.

use polyarch::run::{Expected, Failure, PulledImage, Source, VerifiedIndex, VerifyError};

/// A reference to verify.
pub(crate) struct Subject {
    /// The reference in the user's spelling.
    pub(crate) name: String,
    /// The image of the plan, if the reference is one of its tags.
    pub(crate) image: Option<String>,
    pub(crate) source: Source,
    pub(crate) expected: Expected,
}

/// A subject and its result.
pub(crate) struct Verified {
    pub(crate) subject: Subject,
    pub(crate) result: Result<VerifiedIndex, VerifyError>,
    /// The images that engines pulled, with `--pull`.
    pub(crate) pulled: Option<Vec<PulledImage>>,
    /// The failures of engines that could not pull.
    pub(crate) not_pulled: Vec<Failure>,
}
