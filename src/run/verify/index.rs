//! The results of a verification: the verified index, or its faults.

use serde::Serialize;

use crate::oci::{Child, Digest, DigestRef, Entry, EntryOverride, Location, Platform};
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::fetch::blobs::CheckedBlob;
use crate::run::fetch::error::ConfirmError;
use crate::run::publish::options::ElfCheck;
use crate::run::report::NotCheckedReport;
use crate::run::storage::error::StorageError;

/// A verified index, or a verified image outside an index. polyarch fetched every image by digest and hashed it, and
/// each image has the platform that its entry claims. The same holds for attestations, and each of them belongs to one
/// of the images. Every blob exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedIndex {
    /// The index, by digest.
    pub index: DigestRef<Location>,
    /// The media type of the index.
    pub media_type: String,
    /// The indexes below this index at any depth, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Digest>,
    /// The images, in order. The images of nested indexes follow the images of this index.
    pub entries: Vec<VerifiedEntry>,
    /// The number of attestations.
    pub attestations: usize,
    /// The configs and layers of all images and attestations, each once.
    pub blobs: Vec<CheckedBlob>,
    /// Platforms whose programs polyarch could not check, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotCheckedReport>,
}

/// An image of a verified index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedEntry {
    /// The image's entry in the index.
    #[serde(flatten)]
    pub entry: Entry,
    /// The digest of the image's config.
    pub config: Digest,
}

impl VerifiedEntry {
    pub(super) fn of(child: &Child) -> Self {
        Self { entry: Entry::of(child), config: child.config().clone() }
    }
}

/// Why a verification failed. The error has all faults, not only the first.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The registry did not answer with the index, or the layout does not have it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The storage answered, and the content has faults.
    #[error("{}", messages(faults))]
    Untrue {
        /// The digest that the storage has under the name, if polyarch read it.
        index: Option<Digest>,
        /// All faults of the content, and all questions that the storage did not answer.
        faults: Vec<VerifyFault>,
    },
}

/// A fault of an index, and the platform that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFault {
    /// The platform, if the fault concerns one platform.
    pub platform: Option<Platform>,
    /// The fault. The phase is [`Phase::Verify`] if the index is wrong, and [`Phase::Preflight`] if the storage did not
    /// answer. The message names the platform.
    pub failure: Failure,
}

impl VerifyFault {
    pub(super) fn untrue(platform: Option<&Platform>, message: &str) -> Self {
        Self { platform: platform.cloned(), failure: failure(Phase::Verify, message, None) }
    }

    /// A fault because the storage did not answer.
    pub(super) fn unasked(platform: Option<&Platform>, message: &str) -> Self {
        Self { platform: platform.cloned(), failure: failure(Phase::Preflight, message, None) }
    }

    /// The same fault, because of `error`.
    pub(super) fn because(self, error: &StorageError) -> Self {
        Self { failure: self.failure.because(error), ..self }
    }

    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.failure.hint = Some(hint.into());
        self
    }
}

fn messages(faults: &[VerifyFault]) -> String {
    faults.iter().map(|fault| fault.failure.message.to_string()).collect::<Vec<_>>().join("; ")
}

impl VerifyError {
    /// The error for the content that the user named.
    pub(in crate::run) fn of_top(error: ConfirmError) -> Self {
        match error {
            ConfirmError::Storage(error) => Self::Storage(error),
            error => {
                let faults = vec![VerifyFault::untrue(None, &chain(&error))];
                Self::Untrue { index: None, faults }
            }
        }
    }
}

/// The expectations of an index beyond its integrity.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Exactly these platforms, in this order. If the plan overrides the platform of an entry, polyarch does not
    /// compare the entry with its config.
    pub platforms: Option<Vec<(Platform, EntryOverride)>>,
    /// Whether polyarch checks that each image's programs are for the processor of its platform.
    pub programs: ElfCheck,
    /// The platforms that one plan builds. If their images name commits, they must name the same commit.
    pub built: Vec<Platform>,
}
