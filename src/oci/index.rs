//! The image index: a draft that is complete, and its bytes.

use serde::Serialize;

use super::descriptor::PlatformFields;
use super::{Child, Digest, MediaType, Platform, RawManifest};

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

    /// The bytes of the index. The same children give the same bytes: the order is the plan's, keys are in a
    /// fixed order, there is no timestamp.
    ///
    /// A manifest list if every child is Docker's, else an OCI index: what buildx does, and what every
    /// registry takes.
    #[must_use]
    pub fn encode(self) -> EncodedIndex {
        let all_docker = self.children.iter().all(|c| *c.manifest().media_type() == MediaType::DockerManifest);
        let media_type = if all_docker { MediaType::DockerList } else { MediaType::OciIndex };
        let document = Document {
            schema_version: 2,
            media_type: &media_type,
            manifests: self.children.iter().map(DocumentEntry::of).collect(),
        };
        #[expect(clippy::expect_used, reason = "strings, numbers and maps with string keys always encode")]
        let bytes = serde_json::to_vec_pretty(&document).expect("an index encodes");
        #[expect(
            clippy::expect_used,
            reason = "what was just encoded is an index; a plan's platforms do not reach 4 MiB"
        )]
        let manifest = RawManifest::new(bytes, Some(&media_type)).expect("an encoded index is a manifest");
        EncodedIndex { manifest, children: self.children }
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
        let entry = |child: &Child| Entry {
            platform: child.platform().clone(),
            digest: child.manifest().digest().clone(),
            bytes: child.image_bytes(),
        };
        self.children.iter().map(entry).collect()
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
}

impl<'a> DocumentEntry<'a> {
    /// Computed from the bytes that were fetched, never from what another index says of them.
    fn of(child: &'a Child) -> Self {
        let manifest = child.manifest();
        Self {
            media_type: manifest.media_type(),
            digest: manifest.digest(),
            size: manifest.size(),
            platform: child.fields(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
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
        let media_type = |children| IndexDraft::new(&plan, children).unwrap().encode().manifest().media_type().clone();
        let (docker, oci) = (&MediaType::DockerManifest, &MediaType::OciManifest);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", docker)]), MediaType::DockerList);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", oci)]), MediaType::OciIndex);
        assert_eq!(media_type(vec![child("linux/amd64", oci), child("linux/arm64", oci)]), MediaType::OciIndex);
    }

    proptest! {
        #[test]
        fn same_children_give_the_same_bytes_in_the_plans_order(order in Just(vec!["linux/arm/v7", "linux/amd64", "linux/s390x", "linux/arm64"]).prop_shuffle()) {
            let plan = planned(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]);
            let encode = |platforms: &[&str]| {
                let children = platforms.iter().map(|p| child(p, &MediaType::OciManifest)).collect();
                IndexDraft::new(&plan, children).unwrap().encode()
            };
            let (shuffled, straight) = (encode(&order), encode(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]));
            prop_assert_eq!(shuffled.manifest(), straight.manifest());
            let Ok(Content::Index(index)) = shuffled.manifest().content() else { return Err(TestCaseError::fail("not an index")) };
            let read: Vec<Platform> = index.manifests.iter().map(|d| d.platform.clone().unwrap_or_default().platform().unwrap()).collect();
            prop_assert_eq!(read, plan);
        }
    }
}
