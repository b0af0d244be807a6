//! Images that consist of documents only: manifests, configs, indexes, attestations, and the entries of an index.

use polyarch::oci::Digest;
use serde_json::{Value, json};

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

    /// An index of these entries.
    pub(crate) fn index(entries: &[Value]) -> Self {
        Self::index_with(entries, &json!({}))
    }

    /// An index of these images.
    pub(crate) fn index_of<'i>(images: impl IntoIterator<Item = &'i Image>) -> Self {
        Self::index(&images.into_iter().map(Image::entry).collect::<Vec<_>>())
    }

    /// An index with more fields.
    pub(crate) fn index_with(entries: &[Value], more: &Value) -> Self {
        Self::list(OCI_INDEX, entries, more)
    }

    /// A list of docker.
    pub(crate) fn docker_list(entries: &[Value]) -> Self {
        Self::list(DOCKER_LIST, entries, &json!({}))
    }

    fn list(media_type: &str, entries: &[Value], more: &Value) -> Self {
        Self::new(media_type, &with(json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }), more))
    }

    /// As an index or a manifest names it.
    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }

    /// As an index lists it for a platform.
    pub(crate) fn entry(&self, platform: &str) -> Value {
        with(self.descriptor(), &json!({ "platform": fields(platform) }))
    }
}

/// A map with more fields.
fn with(mut map: Value, more: &Value) -> Value {
    map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    map
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

    /// An image of a commit.
    pub(crate) fn of_revision(platform: &str, revision: &str) -> Self {
        let labels = json!({ "Labels": { "org.opencontainers.image.revision": revision } });
        Self::oci(platform, revision).configured(&json!({ "config": labels }))
    }

    /// An image of windows/amd64 for a version of Windows.
    pub(crate) fn of_windows(version: &str, seed: &str) -> Self {
        Self::docker("windows/amd64", seed).configured(&json!({ "os.version": version }))
    }

    /// The image with more fields in its config.
    pub(crate) fn configured(mut self, more: &Value) -> Self {
        self.config = Document::new(&self.config.media_type, &with(self.config.json(), more));
        let config = json!({ "config": self.config.descriptor() });
        self.manifest = Document::new(&self.manifest.media_type, &with(self.manifest.json(), &config));
        self
    }

    /// As an index lists it.
    pub(crate) fn entry(&self) -> Value {
        self.manifest.entry(&self.platform)
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
    pub(crate) fn holding(self, config: &Value, layers: &[&Document]) -> Self {
        let mut image = self.configured(&json!({ "config": config }));
        let listed: Vec<_> = layers.iter().map(|layer| layer.descriptor()).collect();
        image.manifest =
            Document::new(&image.manifest.media_type, &with(image.manifest.json(), &json!({ "layers": listed })));
        image.layers = layers.iter().map(|layer| (*layer).clone()).collect();
        image
    }
}

/// An attestation of `image` as BuildKit writes it, and its entry in an index.
pub(crate) fn attestation(image: &Document, more: &Value) -> (Document, Value) {
    let statement =
        Document::new("application/vnd.in-toto+json", &json!({ "subject": [{ "digest": image.digest() }] }));
    let config = Document::new("application/vnd.oci.image.config.v1+json", &fields("unknown/unknown"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [statement.descriptor()],
    });
    let manifest = Document::new(OCI_MANIFEST, &with(manifest, more));
    let annotations = json!({
        "vnd.docker.reference.digest": image.digest(),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    let entry = with(manifest.entry("unknown/unknown"), &json!({ "annotations": annotations }));
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
