//! An image that was found in a storage, with its attestations.

use std::collections::BTreeSet;

use crate::engine::BuiltImage;
use crate::oci::Digest;
use crate::oci::{Attestation, Child, RawManifest};

/// A child manifest that polyarch found in a registry.
#[derive(Debug, Clone)]
pub(in crate::run) struct Found {
    /// The child manifest with its attestations.
    pub(in crate::run) child: Child,
    /// The digest that the selector named: the child's manifest, or an index that lists it.
    pub(in crate::run) top: Digest,
    /// The content of the source index that the joined index will not have.
    pub(in crate::run) left_out: Dropped,
    /// Digests of blobs that exist where the child was found. This run read them, pushed them or asked for them.
    pub(in crate::run) there: BTreeSet<Digest>,
}

impl Found {
    /// A child whose config was just read.
    pub(in crate::run) fn read(child: Child, top: Digest, left_out: Dropped) -> Self {
        let there = BTreeSet::from([child.config().clone()]);
        Self { child, top, left_out, there }
    }

    /// Whether the selector named exactly the built content. The same image may be in an index with attestations of
    /// another build.
    pub(in crate::run) fn is_all_of(&self, built: &BuiltImage) -> bool {
        self.top == built.id || self.top == *self.child.manifest().digest()
    }
}

/// The content of a source index that the joined index will not contain.
#[derive(Debug, Clone, Default)]
pub(in crate::run) struct Dropped {
    /// The number of annotations of the image's entry, or of the index itself.
    pub(in crate::run) annotations: usize,
    /// The image's entry has `features`, and one of the registries refuses them.
    pub(super) features: bool,
    /// Attestations of the image, with `attestations: strip`.
    pub(super) stripped: Vec<Digest>,
    /// Attestations that name no image of their index.
    pub(super) astray: Vec<Digest>,
}

/// The manifests of images and of their attestations.
pub(in crate::run) fn manifests(found: &[Found]) -> Vec<&RawManifest> {
    let attestations = found.iter().flat_map(|found| found.child.attestations());
    found.iter().map(|found| found.child.manifest()).chain(attestations.map(Attestation::manifest)).collect()
}
