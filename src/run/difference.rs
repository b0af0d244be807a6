//! The differences between two references, in the words of `inspect A B`.

use serde::Serialize;

use super::contrast::FieldChange;
use crate::oci::{Digest, MediaType};

/// The differences between two references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// Their platforms, in the order of the first, then those that only the second has.
    pub platforms: Vec<PlatformDifference>,
    /// Annotations of the indexes that are not the same.
    pub annotations: Vec<AnnotationChange>,
    /// Their other fields that are not the same.
    pub fields: Vec<FieldChange>,
    /// Attestations and listed indexes that are not the same.
    pub others: Vec<OtherDifference>,
    /// The order of what both list, where it is not the same.
    pub order: Option<Order>,
    /// Whether both say the same, in other bytes.
    pub other_bytes: bool,
}

/// An entry that is not an image, and differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherDifference {
    /// Its kind: `attestation of linux/amd64`, `index`.
    pub what: String,
    /// The digest in the first, if it is there.
    pub a: Option<Digest>,
    /// The digest in the second, if it is there.
    pub b: Option<Digest>,
    /// Fields of its entry that are not the same, where both list it.
    pub entry: Vec<FieldChange>,
}

/// The entries that both list, in the order of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// In that of the first.
    pub a: Vec<String>,
    /// In that of the second.
    pub b: Vec<String>,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The reference that the user typed.
    pub reference: String,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Attestations in it.
    pub attestations: usize,
}

/// A platform, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformDifference {
    /// The platform, with the version of the operating system where that is said.
    pub platform: String,
    /// How the images differ.
    #[serde(flatten)]
    pub change: Change,
    /// Annotations of its entry that are not the same.
    pub annotations: Vec<AnnotationChange>,
    /// Other fields of its entry that are not the same, as its variant.
    pub entry: Vec<FieldChange>,
    /// Fields of the images' manifests that are not the same, but for the digests and sizes of config and layers.
    pub manifest: Vec<FieldChange>,
}

/// How two images of a platform differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Change {
    /// They have the same digest.
    Same {
        /// The image.
        a: ImageFacts,
    },
    /// Only the first index has one.
    OnlyA {
        /// The image.
        a: ImageFacts,
    },
    /// Only the second index has one.
    OnlyB {
        /// The image.
        b: ImageFacts,
    },
    /// They are not the same.
    Changed {
        /// The image of the first.
        a: ImageFacts,
        /// The image of the second.
        b: ImageFacts,
        /// Layers of the second that the first has, too.
        layers_shared: usize,
        /// Config and layers of the second that the first has not, in bytes as a registry stores them.
        new_bytes: u64,
    },
}

/// An image, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Config and layers together, in bytes as a registry stores them.
    pub bytes: Option<u64>,
    /// How many layers it has.
    pub layers: Option<usize>,
    /// When it was made (RFC 3339), as its config says; asked for where images changed.
    pub created: Option<String>,
}

/// An annotation of which the values are not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnotationChange {
    /// Its key.
    pub key: String,
    /// Its value in the first, if it is there.
    pub a: Option<String>,
    /// Its value in the second, if it is there.
    pub b: Option<String>,
}

impl Difference {
    /// Whether both are the same bytes.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.a.digest == self.b.digest
    }

    /// Whether something that differs is named.
    pub(super) fn names_something(&self) -> bool {
        let differs = |one: &PlatformDifference| {
            let is_same = matches!(one.change, Change::Same { .. });
            !is_same || !one.annotations.is_empty() || !one.entry.is_empty()
        };
        self.a.media_type != self.b.media_type
            || !(self.annotations.is_empty() && self.fields.is_empty() && self.others.is_empty())
            || self.order.is_some()
            || self.platforms.iter().any(differs)
    }
}
