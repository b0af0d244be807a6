//! Names on an engine, for `docker run NAME:TAG`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{ImageManifestSummary, ImageManifestSummaryKindEnum, ImageSummary, OciDescriptor};
use bollard::query_parameters::{ImportImageOptionsBuilder, ListImagesOptionsBuilder, TagImageOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde_json::json;

use super::archive::tar;
use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::rest::{ANSWER, classify, within};
use crate::oci::{Digest, MediaType, Platform, PlatformFields, Reference, ReferenceError};

/// The longest time to name an index. The engine unpacks the image that it will run.
const LOADING: Duration = Duration::from_mins(5);

/// An image on the engine that becomes one platform of a name.
#[derive(Debug, Clone)]
pub struct PlatformImage {
    /// One of its names, as the engine lists it: without `docker.io/`.
    pub name: String,
    /// Its id.
    pub id: Digest,
    /// The platform of its build.
    pub platform: Platform,
    /// The platform fields of its entry in the index.
    pub fields: PlatformFields,
}

impl Engine {
    /// Names the image `id` as `docker tag` does, and then checks that the name shows this image.
    ///
    /// # Errors
    /// The engine refuses, the image no longer exists, or the name shows another image afterwards.
    pub async fn name_image(&self, id: &Digest, repository: &str, tag: &str) -> Result<(), EngineError> {
        let naming = async {
            let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
            self.docker()?.tag_image(id.as_str(), Some(options)).await.map_err(classify)?;
            let shown = self.docker()?.inspect_image(&format!("{repository}:{tag}")).await.map_err(classify)?.id;
            proven(shown.as_deref(), id)
        };
        within(ANSWER, naming).await.map_err(|kind| self.error(format!("name {repository}:{tag}"), kind))
    }

    /// Names an index of `parts`, and then checks that the name shows the index with every part. polyarch sends only
    /// the index. The engine has the parts, and keeps them as long as the index.
    ///
    /// # Errors
    /// A part no longer exists, the engine refuses, or the name shows something else afterwards.
    pub async fn name_index(
        &self,
        parts: &[PlatformImage],
        repository: &str,
        tag: &str,
    ) -> Result<Digest, EngineError> {
        let name = format!("{repository}:{tag}");
        let naming = async {
            let listed = self.listed(parts.iter().map(|part| part.name.clone()).collect()).await?;
            let entries: Vec<_> = parts.iter().map(|part| entries(part, &listed)).collect::<Result<_, _>>()?;
            let index = Index::of(entries.concat());
            let (bytes, id) = index.encode();
            self.load(&index, bytes, &id, &name).await?;
            let shown = self.listed(vec![name.clone()]).await?;
            let shown = shown.iter().find(|image| image.repo_tags.contains(&name));
            proven(shown.map(|image| &*image.id), &id)?;
            let there = |entry: &&IndexEntry| manifests(shown).any(|m| m.available && m.id == entry.digest);
            match index.manifests.iter().find(|entry| !there(entry)) {
                Some(missing) => Err(EngineErrorKind::NotNamed(format!(
                    "the engine does not have {} under this name",
                    missing.digest
                ))),
                None => Ok(id),
            }
        };
        within(LOADING, naming).await.map_err(|kind| self.error(format!("name {name}"), kind))
    }

    /// The images with these names, and their manifests (Engine API 1.48, `manifests` of `/images/json`).
    pub(super) async fn listed(&self, names: Vec<String>) -> Result<Vec<ImageSummary>, EngineErrorKind> {
        let filters = HashMap::from([("reference", names)]);
        let options = ListImagesOptionsBuilder::default().all(true).manifests(true).filters(&filters).build();
        self.docker()?.list_images(Some(options)).await.map_err(classify)
    }

    /// Loads an image layout that contains only the index (OCI image-spec, "Image Layout").
    async fn load(&self, index: &Index, bytes: Vec<u8>, id: &Digest, name: &str) -> Result<(), EngineErrorKind> {
        let top = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex,
            "manifests": [{
                "mediaType": index.media_type,
                "digest": id,
                "size": bytes.len(),
                "annotations": { "io.containerd.image.name": full_name(name)? },
            }],
        });
        let archive = tar(&[
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            (format!("blobs/sha256/{}", id.hex()), bytes),
            ("index.json".to_owned(), top.to_string().into_bytes()),
        ]);
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut answers = self.docker()?.import_image(options, bollard::body_full(Bytes::from(archive)), None);
        while let Some(answer) = answers.next().await {
            // bollard reports an error in the stream as an error of its own.
            let detail = answer.map_err(|error| match classify(error) {
                EngineErrorKind::Push { message, .. } => EngineErrorKind::NotNamed(message),
                other => other,
            });
            let detail = detail?.error_detail;
            if let Some(message) = detail.and_then(|detail| detail.message) {
                return Err(EngineErrorKind::NotNamed(message));
            }
        }
        Ok(())
    }
}

/// containerd's form of a docker name: `docker.io/library/` is added if the name has no registry.
fn full_name(name: &str) -> Result<String, EngineErrorKind> {
    let reference: Reference =
        name.parse().map_err(|error: ReferenceError| EngineErrorKind::NotNamed(error.to_string()))?;
    Ok(format!("{}:{}", reference.repository, reference.selector))
}

fn proven(shown: Option<&str>, id: &Digest) -> Result<(), EngineErrorKind> {
    match shown {
        Some(shown) if shown == id.as_str() => Ok(()),
        Some(shown) => Err(EngineErrorKind::NotNamed(format!("the name shows {shown}, not {id}"))),
        None => Err(EngineErrorKind::NotNamed("the name points to no image".to_owned())),
    }
}

fn manifests(image: Option<&ImageSummary>) -> impl Iterator<Item = &ImageManifestSummary> {
    image.into_iter().flat_map(|image| image.manifests.iter().flatten())
}

/// The index entries of `part`: its image, and the attestations of that image.
fn entries(part: &PlatformImage, listed: &[ImageSummary]) -> Result<Vec<IndexEntry>, EngineErrorKind> {
    let gone = || EngineErrorKind::NotNamed(format!("{} no longer names the image {}", part.name, part.id));
    let image = listed.iter().find(|image| image.repo_tags.contains(&part.name) && image.id == part.id.as_str());
    let is_image = |manifest: &&ImageManifestSummary| {
        let platform = manifest.image_data.as_ref().map(|data| &data.platform);
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let platform = platform.map(|p| Platform::new(&text(&p.os), &text(&p.architecture), p.variant.as_deref()));
        manifest.kind == Some(ImageManifestSummaryKindEnum::IMAGE)
            && platform.and_then(Result::ok).is_some_and(|platform| platform.is_based_on(&part.platform))
    };
    let found = manifests(image).find(is_image).ok_or_else(gone)?;
    let about =
        |manifest: &&ImageManifestSummary| manifest.attestation_data.as_ref().is_some_and(|data| data._for == found.id);
    let unknown =
        || PlatformFields { os: "unknown".into(), architecture: "unknown".into(), ..PlatformFields::default() };
    let own = IndexEntry::of(&found.descriptor, part.fields.clone());
    let attestations = manifests(image).filter(about).map(|m| IndexEntry::of(&m.descriptor, unknown()));
    std::iter::once(own).chain(attestations).collect::<Option<_>>().ok_or_else(gone)
}

/// An index as JSON. The fields have the order of the specification's example.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<IndexEntry>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    media_type: MediaType,
    digest: String,
    size: i64,
    platform: PlatformFields,
    /// For an attestation: the digest of its subject.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Index {
    /// A manifest list if every entry is Docker's, as for published indexes.
    fn of(manifests: Vec<IndexEntry>) -> Self {
        let docker = manifests.iter().all(|entry| entry.media_type == MediaType::DockerManifest);
        let media_type = if docker { MediaType::DockerList } else { MediaType::OciIndex };
        Self { schema_version: 2, media_type, manifests }
    }

    /// The bytes and their digest. The same entries give the same bytes.
    fn encode(&self) -> (Vec<u8>, Digest) {
        #[expect(clippy::expect_used, reason = "strings, numbers and maps with string keys always encode")]
        let bytes = serde_json::to_vec_pretty(self).expect("an index encodes");
        let id = Digest::of(&bytes);
        (bytes, id)
    }
}

impl IndexEntry {
    fn of(descriptor: &OciDescriptor, platform: PlatformFields) -> Option<Self> {
        // The engine adds its own annotations to the image's. The index leaves them out.
        let about = |(key, _): &(&String, &String)| key.starts_with("vnd.docker.reference.");
        let annotations = descriptor.annotations.iter().flatten().filter(about);
        Some(Self {
            media_type: MediaType::parse(descriptor.media_type.as_deref()?),
            digest: descriptor.digest.clone()?,
            size: descriptor.size?,
            platform,
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine's list for an image of `linux/amd64` with an attestation.
    fn listed() -> (PlatformImage, Vec<ImageSummary>) {
        let id = |of: &str| Digest::of(of.as_bytes()).to_string();
        let manifest = |of: &str, kind: &str| {
            json!({
                "ID": id(of), "Kind": kind, "Available": true, "Size": { "Content": 1, "Total": 2 },
                "Descriptor": { "mediaType": MediaType::OciManifest, "digest": id(of), "size": 476,
                    "annotations": { "vnd.docker.reference.digest": id("image"), "config.digest": "x" } },
            })
        };
        let mut image = manifest("image", "image");
        image["ImageData"] = json!({
            "Platform": { "os": "linux", "architecture": "amd64" }, "Size": { "Unpacked": 1 }, "Containers": null,
        });
        let mut about = manifest("attestation", "attestation");
        about["AttestationData"] = json!({ "For": id("image") });
        let mut foreign = manifest("foreign", "attestation");
        foreign["AttestationData"] = json!({ "For": id("other") });
        let summary = json!({
            "Id": id("top"), "ParentId": "", "RepoTags": ["a:1-amd64"], "RepoDigests": [], "Created": 0, "Size": 0,
            "SharedSize": 0, "Labels": {}, "Containers": 0, "Manifests": [about, image, foreign],
        });
        let platform: Platform = "linux/amd64".parse().unwrap();
        let fields = PlatformFields { os: "linux".into(), architecture: "amd64".into(), ..PlatformFields::default() };
        let part = PlatformImage { name: "a:1-amd64".to_owned(), id: Digest::of(b"top"), platform, fields };
        (part, vec![serde_json::from_value(summary).unwrap()])
    }

    #[test]
    fn load_takes_an_image_with_only_its_own_attestations() {
        let (part, listed) = listed();
        let found: Vec<_> = entries(&part, &listed).unwrap().into_iter().map(|entry| entry.digest).collect();
        assert_eq!(found, ["image", "attestation"].map(|of| Digest::of(of.as_bytes()).to_string()));
    }

    #[test]
    fn load_refuses_a_moved_name_or_a_missing_platform() {
        let (part, listed) = listed();
        for part in [
            PlatformImage { id: Digest::of(b"older"), ..part.clone() },
            PlatformImage { platform: "linux/arm64".parse().unwrap(), ..part.clone() },
            PlatformImage { name: "b:1-amd64".to_owned(), ..part },
        ] {
            assert!(entries(&part, &listed).is_err(), "{part:?}");
        }
    }
}
