//! A client that says what came otherwise than expected, instead of panicking.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use polyarch::oci::{Digest, MediaType};
use reqwest::{Body, RequestBuilder};
use serde_json::json;

/// `Err` says what was expected and what came.
pub(crate) type Outcome = Result<(), String>;

/// A repository of a registry, as a client sees it.
#[derive(Clone)]
pub(crate) struct Peer {
    client: reqwest::Client,
    base: String,
    /// The repository's name.
    pub(crate) name: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A client with rustls on ring.
pub(crate) fn client() -> reqwest::ClientBuilder {
    // The first test installs it; it is there for the others.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_mins(2)).no_proxy()
}

/// `Ok` if the two are equal.
#[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for it")]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, came: T, expected: T) -> Outcome {
    if came == expected { Ok(()) } else { Err(format!("{what}: {came:?}, expected {expected:?}")) }
}

impl Peer {
    pub(crate) fn new(base: &str, name: &str) -> Self {
        Self { client: client().build().unwrap(), base: base.into(), name: name.into() }
    }

    /// Another repository of the same registry.
    pub(crate) fn repository(&self, name: &str) -> Self {
        Self { name: format!("{}/{name}", self.name), ..self.clone() }
    }

    /// The registry's address.
    pub(crate) fn authority(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A request of a path of the registry, or of a `Location` that it gave.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.request(method, url)
    }

    /// A request of a path of the repository.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/v2/{}/{path}", self.name))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        Answer::of(self.ask(Method::GET, path).header("accept", all_manifests())).await
    }

    pub(crate) async fn head(&self, path: &str) -> Result<Answer, String> {
        Answer::of(self.ask(Method::HEAD, path).header("accept", all_manifests())).await
    }

    /// Begins an upload and returns its location.
    pub(crate) async fn begin(&self) -> Result<String, String> {
        let begun = Answer::of(self.ask(Method::POST, "blobs/uploads/")).await?.is(202)?;
        Ok(begun.header("location")?.to_owned())
    }

    /// Sends a chunk and returns the next location.
    pub(crate) async fn chunk(&self, location: &str, begin: usize, bytes: &[u8]) -> Result<Answer, String> {
        let range = format!("{begin}-{}", begin + bytes.len() - 1);
        let request = self.request(Method::PATCH, location).header("content-range", range);
        Answer::of(request.header("content-type", "application/octet-stream").body(bytes.to_vec())).await
    }

    /// Ends an upload with its last bytes.
    pub(crate) async fn finish(
        &self,
        location: &str,
        digest: &Digest,
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={digest}").replace("sha256:", "sha256%3A");
        let request = self.request(Method::PUT, &url).header("content-type", "application/octet-stream");
        Answer::of(request.body(body)).await
    }

    /// Pushes a blob.
    pub(crate) async fn blob(&self, bytes: &[u8]) -> Result<Digest, String> {
        let digest = Digest::of(bytes);
        self.finish(&self.begin().await?, &digest, bytes.to_vec()).await?.is(201)?;
        Ok(digest)
    }

    pub(crate) async fn manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<Answer, String> {
        let request = self.ask(Method::PUT, &format!("manifests/{reference}")).header("content-type", media_type);
        Answer::of(request.body(bytes.to_vec())).await
    }

    /// Pushes an image with one layer, under a tag or its digest; returns the manifest's bytes.
    pub(crate) async fn image(
        &self,
        reference: Option<&str>,
        family: &MediaType,
        layer: &str,
    ) -> Result<Vec<u8>, String> {
        let config = b"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
        self.blob(config).await?;
        self.blob(layer.as_bytes()).await?;
        let manifest = image(family, config, layer.as_bytes());
        let digest = Digest::of(&manifest);
        let reference = reference.unwrap_or(digest.as_str());
        self.manifest(reference, family.as_str(), &manifest).await?.is(201)?;
        Ok(manifest)
    }
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Result<Self, String> {
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|e| format!("{e:?}"))?;
        Ok(Self { status, headers, body })
    }

    /// Itself, if it has this status.
    pub(crate) fn is(self, status: u16) -> Result<Self, String> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("status {}, expected {status}: {:.300}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// Refused with this status and this code of the specification.
    pub(crate) fn refused(self, status: u16, code: &str) -> Outcome {
        let answer = self.is(status)?;
        let document: serde_json::Value = answer.json()?;
        same("error code", document["errors"][0]["code"].as_str(), Some(code))
    }

    pub(crate) fn json(&self) -> Result<serde_json::Value, String> {
        serde_json::from_slice(&self.body).map_err(|e| format!("{e}: {:.300}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Result<&str, String> {
        let value = self.headers.get(name).ok_or_else(|| format!("no header {name}: {:?}", self.headers))?;
        value.to_str().map_err(|e| e.to_string())
    }

    pub(crate) fn has(self, name: &str, expected: &str) -> Result<Self, String> {
        same(name, self.header(name)?, expected)?;
        Ok(self)
    }
}

fn all_manifests() -> String {
    MediaType::MANIFESTS.map(|media_type| media_type.to_string()).join(", ")
}

/// A descriptor of `bytes`.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// An image manifest.
pub(crate) fn image(family: &MediaType, config: &[u8], layer: &[u8]) -> Vec<u8> {
    let (config_type, layer_type) = match family {
        MediaType::DockerManifest => {
            ("application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip")
        }
        _ => ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"),
    };
    let document = json!({
        "schemaVersion": 2,
        "mediaType": family,
        "config": descriptor(config_type, config),
        "layers": [descriptor(layer_type, layer)],
    });
    document.to_string().into_bytes()
}

/// An index of `manifests`, each with a platform.
pub(crate) fn index(family: &MediaType, manifests: &[(&MediaType, &[u8])]) -> Vec<u8> {
    let entries: Vec<_> = manifests
        .iter()
        .map(|(media_type, bytes)| {
            let mut entry = descriptor(media_type.as_str(), bytes);
            entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
            entry
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": family, "manifests": entries }).to_string().into_bytes()
}
