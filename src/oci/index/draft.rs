//! The image index: a complete draft, and its bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::annotation::{Annotation, AnnotationScope, Annotations};
use super::attestation::Attestation;
use super::child::Child;
use super::format::{IndexFormat, NotDocker};
use crate::oci::{Digest, Fields, ManifestError, MediaType, Platform, PlatformFields, RawManifest, Unread};

/// The children of an index: each planned platform once, in the plan's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDraft {
    children: Vec<Child>,
    annotations: Annotations,
}

/// Why children are not the planned index. The error lists all faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index does not have the expected platforms: {}", self.faults().join("; "))]
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
        let lists = [("missing", &self.missing), ("duplicate", &self.duplicate), ("unexpected", &self.foreign)];
        let named = lists.into_iter().filter(|(_, platforms)| !platforms.is_empty());
        named.map(|(word, platforms)| format!("{word} {}", join(platforms))).collect()
    }
}

/// An annotation is for a platform without an entry in the index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index has no {0}")]
pub struct NoEntry(pub Platform);

/// Why a draft cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// [`ManifestError::TooLarge`]: configs and annotations may be of any length.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The requested Docker manifest list cannot hold the index. The error lists all reasons.
    #[error("a Docker manifest list cannot hold this index: {}", reasons(.0))]
    NotDocker(Vec<NotDocker>),
}

fn reasons(reasons: &[NotDocker]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn join(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An index with its final bytes and their digest, ready to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedIndex {
    manifest: RawManifest,
    children: Vec<Child>,
}

/// One entry of an index, in the form of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The platform.
    pub platform: Platform,
    /// The digest of the child's manifest.
    pub digest: Digest,
    /// The child's config and layers together, in bytes.
    pub bytes: u64,
    /// The digests of the attestations' manifests, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Digest>,
}

impl Entry {
    /// The entry of `child`.
    #[doc(hidden)]
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
    /// Accepts `children` if they are exactly `planned`, in any order. Sorts them in the plan's order.
    ///
    /// # Errors
    /// Planned platforms are missing or duplicate, or there are platforms that were not planned.
    pub fn new(planned: &[Platform], children: Vec<Child>) -> Result<Self, DraftError> {
        let place = |child: &Child| planned_place(planned, child.platform());
        let of = |platform: &Platform| {
            children.iter().filter(|child| place(child).is_some_and(|at| planned[at] == *platform)).count()
        };
        let foreign = children.iter().filter(|child| place(child).is_none()).map(|child| child.platform().clone());
        let mut foreign: Vec<_> = foreign.collect();
        foreign.dedup();
        let missing: Vec<_> = planned.iter().filter(|p| of(p) == 0).cloned().collect();
        let duplicate: Vec<_> = planned.iter().filter(|p| of(p) > 1).cloned().collect();
        if !(missing.is_empty() && duplicate.is_empty() && foreign.is_empty()) {
            return Err(DraftError { missing, duplicate, foreign });
        }
        let mut children = children;
        children.sort_by_key(|child| planned_place(planned, child.platform()));
        let said = children.iter().map(|child| (child.platform().clone(), child.listed().annotations.clone()));
        let annotations = Annotations { index: BTreeMap::new(), entries: said.collect() };
        Ok(Self { children, annotations })
    }

    /// Replaces the annotations of the index itself by `annotations`.
    #[must_use]
    pub fn with_annotations(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations.index = annotations;
        self
    }

    /// Adds an annotation, or replaces its value.
    ///
    /// # Errors
    /// The annotation is for a platform that is not in the index.
    pub fn annotate(&mut self, annotation: &Annotation) -> Result<(), NoEntry> {
        let platforms: Vec<_> = self.children.iter().map(Child::platform).collect();
        let Annotations { index, entries } = &mut self.annotations;
        let set = |at: &mut BTreeMap<_, _>| at.insert(annotation.key.clone(), annotation.value.clone());
        for scope in &annotation.scopes {
            match scope {
                AnnotationScope::Index => drop(set(index)),
                AnnotationScope::Entries => platforms.iter().for_each(|platform| {
                    set(entries.entry((*platform).clone()).or_default());
                }),
                AnnotationScope::Entry(platform) if platforms.iter().any(|one| platform.covers(one)) => {
                    platforms.iter().filter(|one| platform.covers(one)).for_each(|one| {
                        set(entries.entry((*one).clone()).or_default());
                    });
                }
                AnnotationScope::Entry(platform) => return Err(NoEntry(platform.clone())),
            }
        }
        Ok(())
    }

    /// Why a Docker manifest list cannot hold the index. Empty: the list can hold it.
    #[must_use]
    pub fn not_docker(&self) -> Vec<NotDocker> {
        let oci = self.children.iter().filter(|child| *child.manifest().media_type() != MediaType::DockerManifest);
        let attested = self.children.iter().filter(|child| !child.attestations().is_empty());
        let oci = oci.map(|child| NotDocker::OciImage(child.platform().clone()));
        let attested = attested.map(|child| NotDocker::Attested(child.platform().clone()));
        let annotated = (!self.annotations.is_empty()).then_some(NotDocker::Annotated);
        oci.chain(attested).chain(annotated).collect()
    }

    /// Encodes the index: the platforms, then their attestations. The same children give the same bytes. The order is
    /// the plan's, the keys have a fixed order, and there is no timestamp.
    ///
    /// With the format `Auto` the result is a manifest list if all children are Docker's and there are no attestations
    /// and annotations. Otherwise the result is an OCI index, which may contain children of both families. buildx does
    /// the same. Every registry accepts such an index.
    ///
    /// # Errors
    /// The index is too large, or it is not a manifest list although one was requested: see [`EncodeError`].
    pub fn encode(self, format: IndexFormat) -> Result<EncodedIndex, EncodeError> {
        let media_type = match (format, self.not_docker()) {
            (IndexFormat::Auto | IndexFormat::Docker, reasons) if reasons.is_empty() => MediaType::DockerList,
            (IndexFormat::Auto | IndexFormat::Oci, _) => MediaType::OciIndex,
            (IndexFormat::Docker, reasons) => return Err(EncodeError::NotDocker(reasons)),
        };
        let Annotations { index, entries } = &self.annotations;
        let entry = |child| DocumentEntry::of(child, entries.get(Child::platform(child)));
        let attestations = self.children.iter().flat_map(Child::attestations).map(DocumentEntry::of_attestation);
        let document = Document {
            schema_version: 2,
            media_type: &media_type,
            manifests: self.children.iter().map(entry).chain(attestations).collect(),
            annotations: Some(index).filter(|annotations| !annotations.is_empty()),
        };
        #[expect(clippy::expect_used, reason = "strings, numbers and maps with string keys always encode")]
        let bytes = serde_json::to_vec_pretty(&document).expect("an index encodes");
        let manifest = RawManifest::new(bytes, Some(&media_type))?;
        Ok(EncodedIndex { manifest, children: self.children })
    }
}

/// The index of the platform in `planned` that covers `platform`: an equal one, or else the most specific one.
fn planned_place(planned: &[Platform], platform: &Platform) -> Option<usize> {
    let covering = planned.iter().enumerate().filter(|(_, one)| one.covers(platform));
    let exact = |one: &Platform| {
        let demands = one.demands();
        (one == platform, demands.version().map(str::len), demands.features().len())
    };
    covering.max_by_key(|(place, one)| (exact(one), std::cmp::Reverse(*place))).map(|(place, _)| place)
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

    /// The entries, in the form of the report.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.children.iter().map(Entry::of).collect()
    }
}

/// The index on the wire. The order of the fields is that of the example in the specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u8,
    media_type: &'a MediaType,
    manifests: Vec<DocumentEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentEntry<'a> {
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
    platform: DocumentPlatform<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
    #[serde(flatten)]
    unread: &'a Fields,
}

#[derive(Serialize)]
struct DocumentPlatform<'a> {
    #[serde(flatten)]
    read: PlatformFields,
    #[serde(flatten)]
    unread: &'a Fields,
}

impl<'a> DocumentEntry<'a> {
    fn of(child: &'a Child, annotations: Option<&'a BTreeMap<String, String>>) -> Self {
        let annotations = annotations.filter(|annotations| !annotations.is_empty());
        Self::new(child.manifest(), child.fields(), annotations, &child.listed().unread)
    }

    /// As in BuildKit, only the annotations refer to the image.
    fn of_attestation(attestation: &'a Attestation) -> Self {
        let annotations = Some(attestation.annotations());
        Self::new(attestation.manifest(), PlatformFields::unknown(), annotations, attestation.unread())
    }

    /// polyarch computes type, digest and size from the fetched bytes, and never copies them from another index.
    fn new(
        manifest: &'a RawManifest,
        platform: PlatformFields,
        annotations: Option<&'a BTreeMap<String, String>>,
        unread: &'a Unread,
    ) -> Self {
        Self {
            media_type: manifest.media_type(),
            digest: manifest.digest(),
            size: manifest.size(),
            platform: DocumentPlatform { read: platform, unread: &unread.platform },
            annotations,
            unread: &unread.entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::index::attestation::tests::attestation_of;
    use crate::oci::index::child::tests::{config, manifest_for};
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
    fn index_error_lists_missing_duplicate_and_unplanned_platforms() {
        let oci = &MediaType::OciManifest;
        let children = vec![child("linux/amd64", oci), child("linux/amd64", oci), child("linux/s390x", oci)];
        let error = IndexDraft::new(&planned(&["linux/amd64", "linux/arm64"]), children).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the index does not have the expected platforms: missing linux/arm64; duplicate linux/amd64; unexpected linux/s390x"
        );
    }

    #[test]
    fn images_of_different_os_versions_are_different_platforms() {
        let windows = |version: &str| {
            let config = format!(r#"{{"os":"windows","architecture":"amd64","os.version":"{version}"}}"#);
            let (config, any) = (config.as_bytes(), "windows/amd64".parse().unwrap());
            Child::new(manifest_for(config, &MediaType::OciManifest), config, &any, &EntryOverride::default()).unwrap()
        };
        let children = || vec![windows("10.0.20348.2461"), windows("10.0.17763.5820")];
        let order = |platforms: &[&str]| {
            let draft = IndexDraft::new(&planned(platforms), children()).map_err(|error| error.to_string())?;
            let index = draft.encode(IndexFormat::Auto).unwrap();
            Ok::<_, String>(index.entries().iter().map(|entry| entry.platform.to_string()).collect::<Vec<_>>())
        };
        let both = ["windows(10.0.17763.5820)/amd64", "windows(10.0.20348.2461)/amd64"];
        assert_eq!(order(&both).unwrap(), both);
        assert_eq!(order(&["windows(10.0.17763)/amd64", "windows/amd64"]).unwrap(), both);
        let fault = "the index does not have the expected platforms: ";
        assert_eq!(order(&["windows/amd64"]).unwrap_err(), format!("{fault}duplicate windows/amd64"));
        assert_eq!(order(&both[..1]).unwrap_err(), format!("{fault}unexpected {}", both[1]));
        let more = [both[0], both[1], "windows(10.0.26100)/amd64"];
        assert_eq!(order(&more).unwrap_err(), format!("{fault}missing windows(10.0.26100)/amd64"));
    }

    #[test]
    fn index_is_a_docker_list_only_if_every_child_is_docker() {
        let plan = planned(&["linux/amd64", "linux/arm64"]);
        let media_type = |children| {
            IndexDraft::new(&plan, children).unwrap().encode(IndexFormat::Auto).unwrap().manifest().media_type().clone()
        };
        let (docker, oci) = (&MediaType::DockerManifest, &MediaType::OciManifest);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", docker)]), MediaType::DockerList);
        assert_eq!(media_type(vec![child("linux/amd64", docker), child("linux/arm64", oci)]), MediaType::OciIndex);
        assert_eq!(media_type(vec![child("linux/amd64", oci), child("linux/arm64", oci)]), MediaType::OciIndex);
    }

    #[test]
    fn index_lists_attestations_after_all_platforms() {
        let plan = planned(&["linux/amd64", "linux/arm64"]);
        let attested = |platform: &str, media_type: &MediaType| {
            let mut child = child(platform, media_type);
            let (manifest, entry) = attestation_of(child.manifest().digest());
            child.attest(manifest, &entry).unwrap();
            child
        };
        let docker = &MediaType::DockerManifest;
        let children = vec![attested("linux/arm64", docker), attested("linux/amd64", docker)];
        let index = IndexDraft::new(&plan, children.clone()).unwrap().encode(IndexFormat::Auto).unwrap();
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
        let again =
            IndexDraft::new(&plan, children.into_iter().rev().collect()).unwrap().encode(IndexFormat::Auto).unwrap();
        assert_eq!(again.manifest().bytes(), index.manifest().bytes());
    }

    #[test]
    fn index_too_large_for_a_registry_is_refused() {
        let features = (0..200_000).map(|n| format!("feature{n}")).collect();
        let entry = EntryOverride { os_features: Some(features), ..EntryOverride::default() };
        let config = config("linux", "amd64", "");
        let platform: Platform = "linux/amd64".parse().unwrap();
        let child = Child::new(manifest_for(&config, &MediaType::OciManifest), &config, &platform, &entry).unwrap();
        let draft = IndexDraft::new(&[platform], vec![child]).unwrap();
        assert_eq!(draft.encode(IndexFormat::Auto), Err(EncodeError::Manifest(ManifestError::TooLarge)));
    }

    #[test]
    fn index_annotations_are_placed_only_in_an_oci_index() {
        let docker = || {
            let children = ["linux/amd64", "linux/arm64"].map(|platform| child(platform, &MediaType::DockerManifest));
            IndexDraft::new(&planned(&["linux/amd64", "linux/arm64"]), children.to_vec()).unwrap()
        };
        let mut draft = docker();
        assert_eq!(draft.not_docker(), []);
        for annotation in ["a=1", "a=2", "entry:b=3", "index,entry[linux/arm64]:c=4", "entry[linux/arm64]:b=5"] {
            draft.annotate(&annotation.parse().unwrap()).unwrap();
        }
        let foreign = draft.annotate(&"entry[linux/s390x]:a=b".parse().unwrap()).unwrap_err();
        assert_eq!(foreign.to_string(), "the index has no linux/s390x");
        let refused = draft.clone().encode(IndexFormat::Docker);
        assert_eq!(refused, Err(EncodeError::NotDocker(vec![NotDocker::Annotated])));
        let index = draft.clone().encode(IndexFormat::Auto).unwrap();
        assert_eq!(index.manifest().media_type(), &MediaType::OciIndex);
        let Ok(Content::Index(read)) = index.manifest().content() else { panic!("not an index") };
        let all = serde_json::json!([read.annotations, read.manifests[0].annotations, read.manifests[1].annotations]);
        assert_eq!(all, serde_json::json!([{ "a": "2", "c": "4" }, { "b": "3" }, { "b": "5", "c": "4" }]));
        // The annotations of an existing index are kept in the new one.
        let mut kept = ["linux/amd64", "linux/arm64"].map(|platform| child(platform, &MediaType::DockerManifest));
        for (child, entry) in kept.iter_mut().zip(&read.manifests) {
            child.listed_as(entry).unwrap();
        }
        let kept = IndexDraft::new(&planned(&["linux/amd64", "linux/arm64"]), kept.to_vec()).unwrap();
        let kept = kept.with_annotations(read.annotations.clone());
        assert_eq!(kept.encode(IndexFormat::Auto).unwrap().manifest(), index.manifest());
    }

    #[test]
    fn docker_manifest_list_is_made_only_if_it_can_hold_all() {
        let plan = planned(&["linux/amd64", "linux/arm64"]);
        let draft = |amd64: &MediaType| {
            let arm64 = child("linux/arm64", &MediaType::DockerManifest);
            IndexDraft::new(&plan, vec![child("linux/amd64", amd64), arm64]).unwrap()
        };
        let docker = || draft(&MediaType::DockerManifest);
        let media_type = |format| docker().encode(format).unwrap().manifest().media_type().clone();
        assert_eq!(media_type(IndexFormat::Docker), MediaType::DockerList);
        assert_eq!(media_type(IndexFormat::Oci), MediaType::OciIndex);
        let mut refused = draft(&MediaType::OciManifest);
        let (manifest, entry) = attestation_of(refused.children[1].manifest().digest());
        refused.children[1].attest(manifest, &entry).unwrap();
        assert_eq!(
            refused.encode(IndexFormat::Docker).unwrap_err().to_string(),
            "a Docker manifest list cannot hold this index: linux/amd64 is an OCI image; linux/arm64 has attestations"
        );
    }

    proptest! {
        #[test]
        fn same_children_give_the_same_index_bytes(order in Just(vec!["linux/arm/v7", "linux/amd64", "linux/s390x", "linux/arm64"]).prop_shuffle()) {
            let plan = planned(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]);
            let encode = |platforms: &[&str]| {
                let children = platforms.iter().map(|p| child(p, &MediaType::OciManifest)).collect();
                IndexDraft::new(&plan, children).unwrap().encode(IndexFormat::Auto).unwrap()
            };
            let (shuffled, straight) = (encode(&order), encode(&["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]));
            prop_assert_eq!(shuffled.manifest(), straight.manifest());
            let Ok(Content::Index(index)) = shuffled.manifest().content() else { return Err(TestCaseError::fail("not an index")) };
            let read: Vec<Platform> = index.manifests.iter().map(|d| d.platform.clone().unwrap_or_default().platform().unwrap()).collect();
            prop_assert_eq!(read, plan);
        }
    }
}
