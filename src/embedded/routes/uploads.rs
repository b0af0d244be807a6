//! Pushing blobs (distribution-spec, "Pushing blobs").

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use http::{HeaderMap, StatusCode};
use tokio::sync::OwnedMutexGuard;

use super::endpoint::digest;
use super::query::Query;
use super::range::announced;
use super::refusal::Refusal;
use super::reply::{CONTENT_DIGEST, text, value};
use super::state::Registry;
use crate::embedded::store::{Progress, Session, UploadError, UploadId};
use crate::oci::{Digest, RepositoryPath};

/// The session's id, under docker's header name.
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

fn unknown() -> Refusal {
    Refusal::missing("BLOB_UPLOAD_UNKNOWN", "there is no such upload")
}

/// `POST /v2/<name>/blobs/uploads/`: begins a session, receives a whole blob (`?digest=`), or mounts a blob
/// (`?mount=&from=`).
pub(super) async fn post(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    query: Query,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, Refusal> {
    if let (Some(blob), Some(from)) = (&query.mount, &query.from) {
        let blob = digest(blob)?;
        // A source with a malformed name does not have the blob. The client then uploads it.
        if let Ok(from) = from.parse::<RepositoryPath>() {
            let (to, asked) = (name.clone(), blob.clone());
            if registry.ask(move |store| store.mount(&from, &to, &asked)).await? {
                return Ok(created(&name, &blob));
            }
        }
    }
    // The digest is parsed first, so that a malformed digest begins no session.
    let whole = query.digest.as_deref().map(digest).transpose()?;
    let Some((id, session)) = registry.uploads.begin(&name) else {
        let message = "too many uploads are under way in this registry";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message));
    };
    let mut progress = session.progress().await.ok_or_else(unknown)?;
    let Some(whole) = whole else { return Ok(accepted(&name, &id, progress.offset())) };
    let taken = append(registry, &id, &mut progress, headers, body).await;
    if let Err(refusal) = taken {
        // The client does not know the session's name, so it cannot continue.
        registry.uploads.end(&id, &mut progress);
        return Err(refusal);
    }
    finish(registry, name, &id, progress, whole).await
}

/// `GET /v2/<name>/blobs/uploads/<id>`: the bytes that have arrived.
pub(super) async fn status(
    registry: &Arc<Registry>,
    name: &RepositoryPath,
    id: &UploadId,
) -> Result<Response, Refusal> {
    let session = session(registry, name, id)?;
    let progress = session.progress().await.ok_or_else(unknown)?;
    let mut response = accepted(name, id, progress.offset());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`: one chunk, or a stream without `Content-Range` as docker sends it.
pub(super) async fn patch(
    registry: &Arc<Registry>,
    name: &RepositoryPath,
    id: &UploadId,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, Refusal> {
    let session = session(registry, name, id)?;
    let mut progress = session.progress().await.ok_or_else(unknown)?;
    append(registry, id, &mut progress, headers, body).await?;
    Ok(accepted(name, id, progress.offset()))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=`: the last bytes, if any, and the digest of all bytes.
pub(super) async fn put(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    id: &UploadId,
    query: Query,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, Refusal> {
    let expected = digest(query.digest.as_deref().unwrap_or_default())?;
    let session = session(registry, &name, id)?;
    let mut progress = session.progress().await.ok_or_else(unknown)?;
    append(registry, id, &mut progress, headers, body).await?;
    finish(registry, name, id, progress, expected).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`: abandons an upload. The registry allows this, because no client could see
/// the content yet.
pub(super) async fn cancel(
    registry: &Arc<Registry>,
    name: &RepositoryPath,
    id: &UploadId,
) -> Result<Response, Refusal> {
    let session = session(registry, name, id)?;
    let mut progress = session.progress().await.ok_or_else(unknown)?;
    registry.uploads.end(id, &mut progress);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn session(registry: &Registry, name: &RepositoryPath, id: &UploadId) -> Result<Arc<Session>, Refusal> {
    registry.uploads.get(name, id).ok_or_else(unknown)
}

/// Appends a request's body to an upload. If there is a `Content-Range`, it must begin at the end of the upload.
async fn append(
    registry: &Registry,
    id: &UploadId,
    progress: &mut Progress,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(), Refusal> {
    let chunk = match text(headers, CONTENT_RANGE) {
        None => None,
        Some(header) => {
            let malformed = || Refusal::bad("BLOB_UPLOAD_INVALID", "the Content-Range is not of the form FIRST-LAST");
            Some(announced(header).ok_or_else(malformed)?)
        }
    };
    let length = chunk.as_ref().map(|chunk| chunk.end - chunk.start);
    if let Some(chunk) = chunk.filter(|chunk| chunk.start != progress.offset()) {
        let message =
            format!("the chunk begins at byte {}, but the upload has {} bytes", chunk.start, progress.offset());
        let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message);
        return Err(refusal.with(RANGE, value(&received(progress.offset()))));
    }
    let declared = text(headers, CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if length.is_some() && declared.is_some() && length != declared {
        return Err(UploadError::Length.into());
    }
    let appended = progress.append(body, length).await;
    if matches!(appended, Err(UploadError::Store(_))) {
        // A full disk must not be filled further by the same upload.
        registry.uploads.end(id, progress);
    }
    Ok(appended?)
}

/// Checks the digest and makes the blob visible. The session ends in any case. If the client disconnects, the task that
/// moves the content owns the session and ends it.
async fn finish(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    id: &UploadId,
    mut progress: OwnedMutexGuard<Progress>,
    expected: Digest,
) -> Result<Response, Refusal> {
    if progress.digest() != expected {
        registry.uploads.end(id, &mut progress);
        return Err(Refusal::bad("DIGEST_INVALID", "the content does not have that digest"));
    }
    let (to, id, digest) = (name.clone(), id.clone(), expected.clone());
    let moving = move |registry: &Registry| {
        let taken = registry.store.take_blob(progress.path(), &to, &digest);
        registry.uploads.end(&id, &mut progress);
        taken
    };
    registry.finish(moving).await.map(|()| created(&name, &expected))
}

fn created(name: &RepositoryPath, digest: &Digest) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("/v2/{}/blobs/{digest}", name.as_str());
    response.headers_mut().insert(LOCATION, value(&location));
    response.headers_mut().insert(CONTENT_DIGEST, value(digest.as_str()));
    response
}

fn accepted(name: &RepositoryPath, id: &UploadId, offset: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    let location = format!("/v2/{}/blobs/uploads/{}", name.as_str(), id.as_str());
    response.headers_mut().insert(LOCATION, value(&location));
    response.headers_mut().insert(RANGE, value(&received(offset)));
    response.headers_mut().insert(UPLOAD_ID, value(id.as_str()));
    response
}

/// The bytes that have arrived, as a range. An inclusive range cannot express "no bytes". For this case the
/// distribution registry answers `0-0`.
fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::embedded::store::Store;

    /// The client disconnects while the registry moves its upload to the final place.
    #[tokio::test]
    async fn upload_completes_even_if_the_client_disconnects() {
        for round in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let registry = Arc::new(Registry::new(Store::open(dir.path()).unwrap(), "id".into()));
            let name: RepositoryPath = "a".parse().unwrap();
            let (id, session) = registry.uploads.begin(&name).unwrap();
            let mut progress = session.progress().await.unwrap();
            let bytes = format!("layer {round}").repeat(1 << 16);
            progress.append(&mut bytes.clone().into(), None).await.unwrap();
            let digest = progress.digest();
            // The request is dropped after its first step.
            drop(finish(&registry, name.clone(), &id, progress, digest.clone()).now_or_never());
            // A client that asks for the session now gets its answer after the move, when the session is over.
            assert!(session.progress().await.is_none(), "a request could write into the moving content");
            assert!(registry.uploads.get(&name, &id).is_none());
            registry.finished().await;
            let (store, asked) = (&registry.store, digest.clone());
            assert_eq!(store.blob_size(&name, &asked).unwrap(), Some(bytes.len() as u64));
            assert_eq!(std::fs::read(dir.path().join("blobs/sha256").join(digest.hex())).unwrap(), bytes.as_bytes());
        }
    }
}
