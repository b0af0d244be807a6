//! The image index: a draft that is complete, and its bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::descriptor::PlatformFields;
use super::{Attestation, Child, Digest, ManifestError, MediaType, Platform, RawManifest};

/// The children of an index: exactly the planned platforms, once each, in the plan's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDraft {
    children: Vec<Child>,
}

/// Why children are not the planned index. All that is wrong is listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index would not be complete and true: {}", self.faults().join("; "))]
pub struct DraftError {
    /// Planned platforms without a child.
    pub missing: Vec<Platform>,
    /// Platforms with more than one child.
    pub duplicate: Vec<Platform>,
    /// Children of platforms that are not planned.
    pub foreign: Vec<Platform>,
}

impl DraftError {
    fn faults(&self) -> Vec<String> {
        let lists = [("missing", &self.missing), ("twice", &self.duplicate), ("not planned", &self.foreign)];
        let named = lists.into_iter().filter(|(_, platforms)| !platforms.is_empty());
        named.map(|(word, platforms)| format!("{word} {}", join(platforms))).collect()
    }
}

fn join(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An index as it will be put: its bytes are fixed, its digest is of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedIndex {
    manifest: RawManifest,
    children: Vec<Child>,
}

/// One entry of an index, in the words of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The platform.
    pub platform: Platform,
    /// The digest of the child's manifest.
    pub digest: Digest,
    /// The child's config and layers together, in bytes.
    pub bytes: u64,
    /// The digests of its attestations' manifests, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Digest>,
}

impl Entry {
    /// The entry of `child`.
    #[must_use]
    pub fn of(child: &Child) -> Self {
        Self {
            platform: child.platform().clone(),
            digest: child.manifest().digest().clone(),
            bytes: child.image_bytes(),
            attestations: child.attestations().iter().map(|one| one.manifest().digest().clone()).collect(),
        }
    }
}

impl IndexDraft {
    /// Takes `children` if they are exactly `planned`, whatever their order, and puts them in the plan's order.
    ///
    /// # Errors
    /// Planned platforms that are missing or there twice, and platforms that were not planned.
    pub fn new(planned: &[Platform], children: Vec<Child>) -> Result<Self, DraftError> {
        let of = |platform: &Platform| children.iter().filter(|c| c.platform() == platform).count();
        let mut foreign: Vec<_> =
            children.iter().map(|c| c.platform().clone()).filter(|p| !planned.contains(p)).collect();
        foreign.dedup();
        let missing: Vec<_> = planned.iter().filter(|p| of(p) == 0).cloned().collect();
        let duplicate: Vec<_> = planned.iter().filter(|p| of(p) > 1).cloned().collect();
        if !(missing.is_empty() && duplicate.is_empty() && foreign.is_empty()) {
            return Err(DraftError { missing, duplicate, foreign });
        }
        let mut children = children;
        children.sort_by_key(|child| planned.iter().position(|p| p == child.platform()));
        Ok(Self { children })
    }

    /// The bytes of the index: the platforms, then their attestations. The same children give the same bytes: the
    /// order is the plan's, keys are in a fixed order, there is no timestamp.
    ///
    /// A manifest list if every child is Docker's and none is attested, else an OCI index, in which children of both
    /// families may stand: what buildx does, and what every registry takes.
    ///
    /// # Errors
    /// [`ManifestError::TooLarge`]: what configs and annotations say may be of any length.
    pub fn encode(self) -> Result<EncodedIndex, ManifestError> {
        let docker = |c: &Child| *c.manifest().media_type() == MediaType::DockerManifest && c.attestations().is_empty();
        let media_type = if self.children.iter().all(docker) { MediaType::DockerList } else { MediaType::OciIndex };
        let unknown = PlatformFields::unknown();
        let attestations = self.children.iter().flat_map(Child::attestations);
        let attestations = attestations.map(|one| DocumentEntry::of_attestation(one, &unknown));
        let document = Document {
            schema_version: 2,
            media_type: &media_type,
            manifests: self.children.iter().map(DocumentEntry::of).chain(attestations).collect(),
        };
        #[expect(clippy::expect_used, reason = "strings, numbers and maps with string keys always encode")]
        let bytes = serde_json::to_vec_pretty(&document).expect("an index encodes");
        let manifest = RawManifest::new(bytes, Some(&media_type))?;
        Ok(EncodedIndex { manifest, children: self.children })
    }
}

impl EncodedIndex {
    /// The bytes, their digest and media type.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// The children, in the plan's order.
    #[must_use]
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The entries, in the words of the report.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.children.iter().map(Entry::of).collect()
    }
}

/// The index on the wire; the order of the fields is that of the specification's example.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u8,
    media_type: &'a MediaType,
    manifests: Vec<DocumentEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentEntry<'a> {
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
    platform: &'a PlatformFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

impl<'a> DocumentEntry<'a> {
    /// Computed from the bytes that were fetched, never from what another index says of them.
    fn of(child: &'a Child) -> Self {
        Self::new(child.manifest(), child.fields(), None)
    }

    /// As BuildKit has it: what refers to the image is the annotations.
    fn of_attestation(attestation: &'a Attestation, unknown: &'a PlatformFields) -> Self {
        Self::new(attestation.manifest(), unknown, Some(attestation.annotations()))
    }

    fn new(
        manifest: &'a RawManifest,
        platform: &'a PlatformFields,
        annotations: Option<&'a BTreeMap<String, String>>,
    ) -> Self {
        Self {
            media_type: manifest.media_type(),
            digest: manifest.digest(),
            size: manifest.size(),
            platform,
            annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::attestation::tests::attestation_of;
    use crate::oci::child::tests::{config, manifest_for};
    use crate::oci::{Content, EntryOverride};

    fn child(platform: &str, media_type: &MediaType) -> Child {
        let planned: Platform = platform.parse().unwrap();
        let config = config(planned.os(), planned.architecture(), planned.variant().unwrap_or_default());
        Child::new(manifest_for(&config, media_type), &config, &planned, &EntryOverride::default()).unwrap()
    }

    fn planned(platforms: &[&str]) -> Vec<Platform> {
        platforms.iter().map(|p| p.parse().unwrap()).collect()
    }

    #[test]
    fn lists_everything_that_is_missing_twice_or_foreign() {
        let oci = &MediaType::OciManifest;
        let children = vec![child("linux/amd64", oci), child("linux/amd64", oci), child("linux/s390x", oci)];
        let error = IndexDraft::new(&planned(&["linux/amd64", "linux/arm64"]), children).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the index would not be complete and true: missing linux/arm64; twice linux/amd64; not planned linux/s390x"
        );
    }

    #[test]
    fn is_a_manifest_list_only_if_every_child_is_dockers() {
        let plan = planned(&["linux/amd64", "linux/arm64"]);
        let media_type =
            |children| IndexDraft::new(&plan, children).unwrap().encode().unwrap().manifest().media_type().clone();
        let (docker, oci) = (&MediaType::DockerManifest, &MediaType::OciManifest);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", docker)]), MediaType::DockerList);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", oci)]), MediaType::OciIndex);
        assert_eq!(media_type(vec![child("linux/amd64", oci), child("linux/arm64", oci)]), MediaType::OciIndex);
    }

    #[test]
    fn attestations_stand_after_all_platforms_in_their_order() {
        let plan = planned(&["linux/amd64", "linux/arm64"]);
        let attested = |platform: &str, media_type: &MediaType| {
            let mut child = child(platform, media_type);
            let (manifest, entry) = attestation_of(child.manifest().digest());
            child.attest(manifest, &entry).unwrap();
            child
        };
        let docker = &MediaType::DockerManifest;
        let children = vec![attested("linux/arm64", docker), attested("linux/amd64", docker)];
        let index = IndexDraft::new(&plan, children.clone()).unwrap().encode().unwrap();
        assert_eq!(index.manifest().media_type(), &MediaType::OciIndex, "whatever the children are");
        let Ok(Content::Index(read)) = index.manifest().content() else { panic!("not an index") };
        let digest = |place: usize| &read.manifests[place].digest;
        assert_eq!(
            [digest(0), digest(1)],
            [index.entries()[0].digest.clone(), index.entries()[1].digest.clone()].each_ref()
        );
        for (entry, of) in read.manifests[2..].iter().zip(0..) {
            assert_eq!(entry.attests().as_ref(), Some(digest(of)));
            assert_eq!(entry.annotations["other"], "kept");
            assert_eq!(index.entries()[of].attestations, std::slice::from_ref(&entry.digest));
        }
        let again = IndexDraft::new(&plan, children.into_iter().rev().collect()).unwrap().encode().unwrap();
        assert_eq!(again.manifest().bytes(), index.manifest().bytes());
    }

    #[test]
    fn what_would_be_too_large_for_a_registry_is_no_index() {
        let features = (0..200_000).map(|n| format!("feature{n}")).collect();
        let entry = EntryOverride { os_features: Some(features), ..EntryOverride::default() };
        let config = config("linux", "amd64", "");
        let platform: Platform = "linux/amd64".parse().unwrap();
        let child = Child::new(manifest_for(&config, &MediaType::OciManifest), &config, &platform, &entry).unwrap();
        let draft = IndexDraft::new(&[platform], vec![child]).unwrap();
        assert_eq!(draft.encode(), Err(ManifestError::TooLarge));
    }

    proptest! {
        #[test]
        fn same_children_give_the_same_bytes_in_the_plans_order(order in Just(vec!["linux/arm/v7", "linux/amd64", "linux/s390x", "linux/arm64"]).prop_shuffle()) {
            let plan = planned(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]);
            let encode = |platforms: &[&str]| {
                let children = platforms.iter().map(|p| child(p, &MediaType::OciManifest)).collect();
                IndexDraft::new(&plan, children).unwrap().encode().unwrap()
            };
            let (shuffled, straight) = (encode(&order), encode(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]));
            prop_assert_eq!(shuffled.manifest(), straight.manifest());
            let Ok(Content::Index(index)) = shuffled.manifest().content() else { return Err(TestCaseError::fail("not an index")) };
            let read: Vec<Platform> = index.manifests.iter().map(|d| d.platform.clone().unwrap_or_default().platform().unwrap()).collect();
            prop_assert_eq!(read, plan);
        }
    }
}
