//! The content of a scripted registry, and its answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use polyarch::oci::Digest;
use serde_json::{Value, json};

use super::images::{Document, Image, attestation};
use super::scripted_registry::{Reply, Request, status};

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

    /// Has an attestation of `image` under its digest; gives its entry in an index.
    pub(crate) fn attest(&self, repository: &str, image: &Image) -> Value {
        let (manifest, entry) = attestation(&image.manifest, &json!({}));
        self.put(repository, "ignored", &manifest);
        self.fill(&manifest);
        entry
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
