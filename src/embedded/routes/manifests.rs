//! Pulling and pushing manifests (distribution-spec, "Pulling manifests", "Pushing manifests").

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;

use super::listing::Discovery;
use super::refusal::Refusal;
use super::reply::{CONTENT_DIGEST, text, value};
use super::state::Registry;
use crate::embedded::store::{Store, StoreError, StoredManifest};
use crate::oci::{
    Content, Descriptor, Digest, MAX_MANIFEST_BYTES, ManifestError, MediaType, RawManifest, RepositoryPath, Selector,
    Tag,
};

/// Confirms that the registry understood a manifest's `subject`.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The longest time for a manifest to arrive.
const BODY_TIME: Duration = Duration::from_mins(1);

fn unknown() -> Refusal {
    Refusal::missing("MANIFEST_UNKNOWN", "this repository does not have that manifest")
}

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`: the bytes as the client pushed them, for any `Accept`.
pub(super) async fn get(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    reference: Selector,
) -> Result<Response, Refusal> {
    let found = registry.ask(move |store| find(store, &name, reference)).await?;
    let (digest, manifest) = found.ok_or_else(unknown)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, value(manifest.media_type.as_str()));
    headers.insert(CONTENT_LENGTH, manifest.bytes.len().into());
    headers.insert(CONTENT_DIGEST, value(digest.as_str()));
    *response.body_mut() = Body::from(manifest.bytes);
    Ok(response)
}

fn find(
    store: &Store,
    name: &RepositoryPath,
    reference: Selector,
) -> Result<Option<(Digest, StoredManifest)>, StoreError> {
    let digest = match reference {
        Selector::Digest(digest) => digest,
        Selector::Tag(tag) => match store.tag(name, &tag)? {
            Some(digest) => digest,
            None => return Ok(None),
        },
    };
    Ok(store.manifest(name, &digest)?.map(|manifest| (digest, manifest)))
}

/// `PUT /v2/<name>/manifests/<reference>`
pub(super) async fn put(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    reference: Selector,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, Refusal> {
    let content_type = text(headers, CONTENT_TYPE).map(MediaType::parse);
    let bytes = tokio::time::timeout(BODY_TIME, collect(body)).await;
    let bytes = bytes.map_err(|_| {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "MANIFEST_INVALID", "the manifest took too long to arrive")
    })??;
    let (manifest, subject) = read(bytes, content_type.as_ref())?;
    let digest = manifest.digest().clone();
    let tag = match reference {
        Selector::Tag(tag) => Some(tag),
        Selector::Digest(named) if named == digest => None,
        Selector::Digest(_) => {
            return Err(Refusal::bad("DIGEST_INVALID", "the manifest does not have the digest in the URL"));
        }
    };
    check_references(registry, &name, &manifest).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("/v2/{}/manifests/{digest}", name.as_str());
    response.headers_mut().insert(LOCATION, value(&location));
    response.headers_mut().insert(CONTENT_DIGEST, value(digest.as_str()));
    if let Some(subject) = &subject {
        response.headers_mut().insert(SUBJECT, value(subject.as_str()));
    }
    registry.ask(move |store| store.put_manifest(&name, &manifest, subject.as_ref(), tag.as_ref())).await?;
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<tag>`: deletes the tag and keeps its manifest (distribution-spec, "Deleting tags").
pub(super) async fn delete_tag(registry: &Arc<Registry>, name: RepositoryPath, tag: Tag) -> Result<Response, Refusal> {
    let asked = name.clone();
    if !registry.ask(move |store| Ok(store.has_repository(&asked))).await? {
        return Err(Refusal::missing("NAME_UNKNOWN", "there is no such repository"));
    }
    if !registry.ask(move |store| store.remove_tag(&name, &tag)).await? {
        return Err(unknown());
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Reads the body, at most [`MAX_MANIFEST_BYTES`].
async fn collect(body: &mut Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad("MANIFEST_INVALID", "the body ended too early"))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if bytes.len() + chunk.len() > MAX_MANIFEST_BYTES {
            let message = format!("a manifest is at most {MAX_MANIFEST_BYTES} bytes long");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Parses a manifest that has only one possible meaning. Returns it with its subject.
fn read(bytes: Vec<u8>, content_type: Option<&MediaType>) -> Result<(RawManifest, Option<Digest>), Refusal> {
    let invalid = |error: ManifestError| Refusal::bad("MANIFEST_INVALID", error.to_string());
    if let Some(foreign) = content_type.filter(|t| !t.is_image() && !t.is_index()) {
        return Err(invalid(ManifestError::Foreign(foreign.clone())));
    }
    let manifest = RawManifest::new(bytes, content_type).map_err(invalid)?;
    manifest.content().map_err(invalid)?;
    let discovery: Discovery = serde_json::from_slice(manifest.bytes())
        .map_err(|error| Refusal::bad("MANIFEST_INVALID", error.to_string()))?;
    Ok((manifest, discovery.subject.map(|subject| subject.digest)))
}

/// Refuses a manifest if it names content that this repository lacks, or has with another size. Otherwise clients could
/// not pull the image.
async fn check_references(
    registry: &Arc<Registry>,
    name: &RepositoryPath,
    manifest: &RawManifest,
) -> Result<(), Refusal> {
    let content = manifest.content().map_err(|error| Refusal::bad("MANIFEST_INVALID", error.to_string()))?;
    let name = name.clone();
    let wrong = registry.ask(move |store| first_wrong(store, &name, content)).await?;
    match wrong {
        None => Ok(()),
        Some((descriptor, None)) => {
            let message = format!("this repository does not have {}, which the manifest names", descriptor.digest);
            Err(Refusal::bad("MANIFEST_BLOB_UNKNOWN", message))
        }
        Some((descriptor, Some(size))) => {
            let message =
                format!("{} is {size} bytes long, not {} as the manifest says", descriptor.digest, descriptor.size);
            Err(Refusal::bad("MANIFEST_INVALID", message))
        }
    }
}

/// The first descriptor that is wrong, with the size of the content in this repository.
fn first_wrong(
    store: &Store,
    name: &RepositoryPath,
    content: Content,
) -> Result<Option<(Descriptor, Option<u64>)>, StoreError> {
    let (descriptors, children) = match content {
        Content::Index(index) => (index.manifests, true),
        Content::Image(image) => (std::iter::once(image.config).chain(image.layers).collect(), false),
    };
    for descriptor in descriptors {
        let size = if children {
            store.manifest_size(name, &descriptor.digest)?
        } else {
            store.blob_size(name, &descriptor.digest)?
        };
        if size != Some(descriptor.size) && !(size.is_none() && lies_elsewhere(&descriptor)) {
            return Ok(Some((descriptor, size)));
        }
    }
    Ok(None)
}

/// Non-distributable layers (of Windows base images) come from the URLs in their descriptors.
fn lies_elsewhere(descriptor: &Descriptor) -> bool {
    let media_type = descriptor.media_type.as_str();
    media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
}
