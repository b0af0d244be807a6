//! What is known of an index when it was verified, and what is told when it is not.

use serde::Serialize;

use super::blobs::CheckedBlob;
use crate::oci::{Child, Digest, DigestRef, Entry, EntryOverride, Location, Platform};
use crate::run::confirm::ConfirmError;
use crate::run::event::{Failure, Phase};
use crate::run::failure::{chain, failure};
use crate::run::gates::Programs;
use crate::run::place::PlaceError;
use crate::run::report::NotCheckedReport;

/// An index, or an image alone, of which every image was fetched by digest, hashed, and is of the platform that its
/// entry claims; every attestation was, and is of one of the images; and every blob is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedIndex {
    /// The index by digest.
    pub index: DigestRef<Location>,
    /// Its media type.
    pub media_type: String,
    /// The indexes that it lists, and those that they list, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Digest>,
    /// Its images, in order, those of listed indexes after its own.
    pub entries: Vec<VerifiedEntry>,
    /// Attestations among its entries.
    pub attestations: usize,
    /// The configs and layers of all images and attestations, each once.
    pub blobs: Vec<CheckedBlob>,
    /// Platforms whose programs could not be checked, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotCheckedReport>,
}

/// An image of a verified index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedEntry {
    /// Its entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// The digest of its config.
    pub config: Digest,
}

impl VerifiedEntry {
    pub(super) fn of(child: &Child) -> Self {
        Self { entry: Entry::of(child), config: child.config().clone() }
    }
}

/// What is not as it should be: everything, not the first.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The registry did not answer with the index, or the layout has none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It answered, and this is wrong.
    #[error("{}", messages(faults))]
    Untrue {
        /// The digest that the place has under the name, where polyarch read it.
        index: Option<Digest>,
        /// All that is wrong, and all that the place did not answer.
        faults: Vec<VerifyFault>,
    },
}

/// A fault of an index, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFault {
    /// The platform, where it is that of one.
    pub platform: Option<Platform>,
    /// The fault. Its phase is [`Phase::Verify`] where the index is wrong, [`Phase::Preflight`] where the place did not
    /// answer. Its message names the platform.
    pub failure: Failure,
}

impl VerifyFault {
    pub(super) fn untrue(platform: Option<&Platform>, message: &str) -> Self {
        Self { platform: platform.cloned(), failure: failure(Phase::Verify, message, None) }
    }

    /// The place did not answer.
    pub(super) fn unasked(platform: Option<&Platform>, message: &str) -> Self {
        Self { platform: platform.cloned(), failure: failure(Phase::Preflight, message, None) }
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
    /// What is wrong with what was named itself.
    pub(in crate::run) fn of_top(error: ConfirmError) -> Self {
        match error {
            ConfirmError::Place(error) => Self::Place(error),
            error => {
                let faults = vec![VerifyFault::untrue(None, &chain(&error))];
                Self::Untrue { index: None, faults }
            }
        }
    }
}

/// What is expected of an index beyond that it is true.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Exactly these platforms, in this order. An entry whose platform the plan overrides is believed.
    pub platforms: Option<Vec<(Platform, EntryOverride)>>,
    /// Whether each image's programs are looked at: they must be for the processor of its platform.
    pub programs: Programs,
    /// The platforms that one plan builds: where their images say their commit, it is one.
    pub built: Vec<Platform>,
}
