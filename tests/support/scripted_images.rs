//! Images that are nothing but their documents, and what a registry that has them answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use polyarch::oci::Digest;
use serde_json::{Value, json};

use super::scripted_registry::{Reply, Request, status};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Bytes, and what a registry calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Document {
    pub(crate) fn new(media_type: &str, document: &Value) -> Self {
        Self { media_type: media_type.to_owned(), bytes: document.to_string().into_bytes() }
    }

    pub(crate) fn digest(&self) -> String {
        Digest::of(&self.bytes).to_string()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// As an index or a manifest names it.
    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// An image of one platform.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// `linux/arm/v7`.
    pub(crate) platform: String,
    pub(crate) config: Document,
    pub(crate) manifest: Document,
    layers: Vec<Document>,
}

impl Image {
    /// An image as docker has it; `seed` tells it from others of its platform.
    pub(crate) fn docker(platform: &str, seed: &str) -> Self {
        Self::of(platform, seed, DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json")
    }

    /// An image as OCI has it.
    pub(crate) fn oci(platform: &str, seed: &str) -> Self {
        Self::of(platform, seed, OCI_MANIFEST, "application/vnd.oci.image.config.v1+json")
    }

    /// An image that says of which commit it is.
    pub(crate) fn of_revision(platform: &str, revision: &str) -> Self {
        let image = Self::oci(platform, revision);
        let mut config = image.config.json();
        config["config"] = json!({ "Labels": { "org.opencontainers.image.revision": revision } });
        let config = Document::new(&image.config.media_type, &config);
        let mut manifest = image.manifest.json();
        manifest["config"] = config.descriptor();
        Self { config, manifest: Document::new(OCI_MANIFEST, &manifest), ..image }
    }

    /// An image of windows/amd64 that says which version of Windows it needs.
    pub(crate) fn of_windows(version: &str, seed: &str) -> Self {
        let image = Self::docker("windows/amd64", seed);
        let mut config = image.config.json();
        config["os.version"] = version.into();
        let config = Document::new(&image.config.media_type, &config);
        let mut manifest = image.manifest.json();
        manifest["config"] = config.descriptor();
        Self { config, manifest: Document::new(DOCKER_MANIFEST, &manifest), ..image }
    }

    /// Its layers and its config.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Document> {
        self.layers.iter().chain([&self.config])
    }

    fn of(platform: &str, seed: &str, manifest_type: &str, config_type: &str) -> Self {
        let mut config = fields(platform);
        config["rootfs"] = json!({ "type": "layers", "diff_ids": [] });
        config["author"] = seed.into();
        let config = Document::new(config_type, &config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": [],
        });
        Self {
            platform: platform.to_owned(),
            config,
            manifest: Document::new(manifest_type, &manifest),
            layers: Vec::new(),
        }
    }

    /// The image with `config` in its config, and layers, the base first.
    pub(crate) fn holding(mut self, config: &Value, layers: &[&Document]) -> Self {
        let mut document = self.config.json();
        document["config"] = config.clone();
        self.config = Document::new(&self.config.media_type, &document);
        let mut manifest = self.manifest.json();
        manifest["config"] = self.config.descriptor();
        manifest["layers"] = layers.iter().map(|layer| layer.descriptor()).collect();
        self.manifest = Document::new(&self.manifest.media_type, &manifest);
        self.layers = layers.iter().map(|layer| (*layer).clone()).collect();
        self
    }
}

/// An attestation of `image` as BuildKit writes it, and its entry in an index.
pub(crate) fn attestation(image: &Document, more: &Value) -> (Document, Value) {
    let statement =
        Document::new("application/vnd.in-toto+json", &json!({ "subject": [{ "digest": image.digest() }] }));
    let config = Document::new("application/vnd.oci.image.config.v1+json", &fields("unknown/unknown"));
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [statement.descriptor()],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let manifest = Document::new(OCI_MANIFEST, &manifest);
    let mut entry = manifest.descriptor();
    entry["annotations"] = json!({
        "vnd.docker.reference.digest": image.digest(),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    entry["platform"] = fields("unknown/unknown");
    (manifest, entry)
}

/// A platform as documents have it.
pub(crate) fn fields(platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut fields = json!({ "os": parts.next(), "architecture": parts.next() });
    if let Some(variant) = parts.next() {
        fields["variant"] = variant.into();
    }
    fields
}

/// What a registry has. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// By `/v2/REPOSITORY/manifests/REFERENCE`.
    manifests: HashMap<String, Document>,
    /// By digest.
    blobs: HashMap<String, Vec<u8>>,
}

impl Store {
    /// Has `image` under its digest, and under `reference`.
    pub(crate) fn push(&self, repository: &str, reference: &str, image: &Image) {
        for blob in image.blobs() {
            self.0.lock().unwrap().blobs.insert(blob.digest(), blob.bytes.clone());
        }
        self.put(repository, reference, &image.manifest);
    }

    /// Has a blob.
    pub(crate) fn keep(&self, blob: &Document) {
        self.0.lock().unwrap().blobs.insert(blob.digest(), blob.bytes.clone());
    }

    /// Has a manifest or an index under its digest, and under `reference`.
    pub(crate) fn put(&self, repository: &str, reference: &str, document: &Document) {
        let manifests = &mut self.0.lock().unwrap().manifests;
        for name in [reference, &document.digest()] {
            manifests.insert(format!("/v2/{repository}/manifests/{name}"), document.clone());
        }
    }

    /// Has something of the right size for every blob that `manifest` names: nobody fetches it.
    pub(crate) fn fill(&self, manifest: &Document) {
        let document = manifest.json();
        for blob in document["layers"].as_array().unwrap().iter().chain([&document["config"]]) {
            let size = usize::try_from(blob["size"].as_u64().unwrap()).unwrap();
            self.0.lock().unwrap().blobs.insert(blob["digest"].as_str().unwrap().to_owned(), vec![b'x'; size]);
        }
    }

    /// What is there.
    pub(crate) fn get(&self, repository: &str, reference: &str) -> Option<Document> {
        self.0.lock().unwrap().manifests.get(&format!("/v2/{repository}/manifests/{reference}")).cloned()
    }

    /// As a registry answers; `None` to what the program has no reason to ask.
    pub(crate) fn answer(&self, request: &Request) -> Option<Reply> {
        let target = request.target.as_str();
        let has_manifests = target.contains("/manifests/");
        match request.method.as_str() {
            "GET" if target == "/v2/" => Some(status(200).body("{}")),
            "GET" | "HEAD" if has_manifests => Some(self.manifest(target, request.method == "HEAD")),
            "PUT" if has_manifests => Some(self.accept(request)),
            "DELETE" if has_manifests => Some(self.remove(target).map_or_else(missing, |_| status(202))),
            "HEAD" if target.contains("/blobs/sha256:") => {
                let blob = self.0.lock().unwrap().blobs.get(target.rsplit('/').next()?).map(Vec::len);
                Some(blob.map_or_else(|| status(404), |size| status(200).header("Content-Length", size.to_string())))
            }
            "GET" if target.contains("/blobs/") => {
                let blob =
                    target.rsplit('/').next().and_then(|digest| self.0.lock().unwrap().blobs.get(digest).cloned());
                Some(blob.map_or_else(|| status(404), |bytes| part(&bytes, request.header("range"))))
            }
            _ => None,
        }
    }

    /// Has it no more under `/v2/REPOSITORY/manifests/REFERENCE`; gives what was there.
    pub(crate) fn remove(&self, target: &str) -> Option<Document> {
        self.0.lock().unwrap().manifests.remove(target)
    }

    fn manifest(&self, target: &str, head: bool) -> Reply {
        let found = self.0.lock().unwrap().manifests.get(target).cloned();
        let Some(Document { media_type, bytes }) = found else { return missing() };
        let answer = status(200)
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", Digest::of(&bytes).to_string());
        if head { answer.header("Content-Length", bytes.len().to_string()) } else { answer.body(bytes) }
    }

    fn accept(&self, request: &Request) -> Reply {
        let (repository, reference) = request.target["/v2/".len()..].split_once("/manifests/").unwrap();
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        let document = Document { media_type, bytes: request.body.clone() };
        self.put(repository, reference, &document);
        status(201).header("Docker-Content-Digest", document.digest())
    }
}

/// The bytes that `bytes=FIRST-LAST` asks for, or all.
pub(crate) fn part(bytes: &[u8], range: Option<&str>) -> Reply {
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return status(200).body(bytes);
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let all = bytes.len();
    let part = bytes[first..=last].to_vec();
    status(206).header("Content-Range", format!("bytes {first}-{last}/{all}")).body(part)
}

/// What a registry says of a manifest that it does not have.
pub(crate) fn missing() -> Reply {
    status(404).body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
}
