//! The result of `polyarch clean`.

use std::collections::BTreeMap;

use polyarch::oci::Digest;
use polyarch::run::Failure;
use polyarch::run::clean::{Judged, Keep, Outcome};

/// A repository that was cleaned or only listed.
pub(crate) struct Cleaned {
    pub(crate) repository: String,
    pub(crate) keep: Keep,
    pub(crate) judged: Judged,
    /// The outcome of each deletion, with `--apply`.
    pub(crate) outcomes: Option<BTreeMap<Digest, Outcome>>,
}

/// A repository, and its list or the failure.
pub(crate) struct CleanOutcome {
    pub(crate) repository: String,
    pub(crate) cleaned: Result<Cleaned, Failure>,
}
