//! The differences between two references, as `inspect A B` shows them.

use serde::Serialize;

use super::contrast::FieldChange;
use crate::oci::{Digest, MediaType};

/// The differences between two references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first reference.
    pub a: Side,
    /// The second reference.
    pub b: Side,
    /// The platforms in the order of the first reference, then the platforms that only the second reference has.
    pub platforms: Vec<PlatformDifference>,
    /// Annotations of the indexes that differ.
    pub annotations: Vec<AnnotationChange>,
    /// Other fields of the indexes that differ.
    pub fields: Vec<FieldChange>,
    /// Attestations and nested indexes that differ.
    pub others: Vec<OtherDifference>,
    /// The order of the common entries, if it differs.
    pub order: Option<Order>,
    /// Whether the content is equal, but spelled in different bytes.
    pub other_bytes: bool,
}

/// An entry that is not an image, and that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherDifference {
    /// The kind of the entry: `attestation of linux/amd64`, `index`.
    pub what: String,
    /// The digest in the first index, if it lists the entry.
    pub a: Option<Digest>,
    /// The digest in the second index, if it lists the entry.
    pub b: Option<Digest>,
    /// Fields of the entry that differ, if both indexes list it.
    pub entry: Vec<FieldChange>,
}

/// The common entries in the order of each index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// In the order of the first index.
    pub a: Vec<String>,
    /// In the order of the second index.
    pub b: Vec<String>,
}

/// One of the two references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The reference that the user typed.
    pub reference: String,
    /// The digest of the reference.
    pub digest: Digest,
    /// The media type of the reference.
    pub media_type: MediaType,
    /// The number of attestations.
    pub attestations: usize,
}

/// A platform, with its differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformDifference {
    /// The platform, with the version of the operating system if the entry has one.
    pub platform: String,
    /// The difference of the images.
    #[serde(flatten)]
    pub change: Change,
    /// Annotations of the entry that differ.
    pub annotations: Vec<AnnotationChange>,
    /// Other fields of the entry that differ, such as its variant.
    pub entry: Vec<FieldChange>,
    /// Fields of the image manifests that differ, except digests and sizes of config and layers.
    pub manifest: Vec<FieldChange>,
}

/// The difference of two images of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Change {
    /// Both images have the same digest.
    Same {
        /// The image.
        a: ImageFacts,
    },
    /// Only the first index has an image of the platform.
    OnlyA {
        /// The image.
        a: ImageFacts,
    },
    /// Only the second index has an image of the platform.
    OnlyB {
        /// The image.
        b: ImageFacts,
    },
    /// The images differ.
    Changed {
        /// The image of the first index.
        a: ImageFacts,
        /// The image of the second index.
        b: ImageFacts,
        /// The number of layers of the second image that the first image has too.
        layers_shared: usize,
        /// The config and the layers that only the second image has, in bytes as a registry stores them.
        new_bytes: u64,
    },
}

/// The facts about an image. A fact is `None` if polyarch could not read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The size of config and layers, in bytes as a registry stores them.
    pub bytes: Option<u64>,
    /// The number of layers.
    pub layers: Option<usize>,
    /// The creation time in its config (RFC 3339). polyarch asks for it only if the images differ.
    pub created: Option<String>,
}

/// An annotation whose values differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnotationChange {
    /// The key of the annotation.
    pub key: String,
    /// The value in the first index, if it has the annotation.
    pub a: Option<String>,
    /// The value in the second index, if it has the annotation.
    pub b: Option<String>,
}

impl Difference {
    /// Whether both references have the same bytes.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.a.digest == self.b.digest
    }

    /// Whether any difference has a field that reports it.
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
