//! Pulling blobs (distribution-spec, "Pulling blobs").

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures::TryStreamExt as _;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::range::RequestedRange;
use super::refusal::Refusal;
use super::reply::{CONTENT_DIGEST, text, value};
use super::state::Registry;
use crate::embedded::store::StoreError;
use crate::oci::{Digest, RepositoryPath};

/// The most bytes of a blob in memory at a time, for each connection.
const READ_BYTES: usize = 256 << 10;

fn unknown() -> Refusal {
    Refusal::missing("BLOB_UNKNOWN", "this repository does not have that blob")
}

/// `HEAD /v2/<name>/blobs/<digest>`
pub(super) async fn head(registry: &Arc<Registry>, name: RepositoryPath, digest: Digest) -> Result<Response, Refusal> {
    let asked = digest.clone();
    let size = registry.ask(move |store| store.blob_size(&name, &asked)).await?.ok_or_else(unknown)?;
    Ok(answer(StatusCode::OK, &digest, size, Body::empty()))
}

/// `GET /v2/<name>/blobs/<digest>`, whole or in part.
pub(super) async fn get(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    digest: Digest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let asked = digest.clone();
    let blob = registry.ask(move |store| store.blob(&name, &asked)).await?.ok_or_else(unknown)?;
    let (status, range) = match RequestedRange::parse(text(headers, RANGE), blob.size) {
        RequestedRange::Whole => (StatusCode::OK, 0..blob.size),
        RequestedRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        RequestedRange::Nothing => {
            let message = "the blob does not have these bytes";
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message);
            return Err(refusal.with(CONTENT_RANGE, value(&format!("bytes */{}", blob.size))));
        }
    };
    let mut file = tokio::fs::File::from_std(blob.file);
    if range.start > 0 {
        let sought = file.seek(SeekFrom::Start(range.start)).await;
        sought.map_err(StoreError::at("read", std::path::Path::new(digest.as_str())))?;
    }
    let length = range.end - range.start;
    let content = ReaderStream::with_capacity(file.take(length), READ_BYTES);
    // The client only sees a broken connection. The log gives the reason.
    let named = digest.clone();
    let content = content.inspect_err(move |error| {
        tracing::warn!("the embedded registry stopped a download: blob {named} cannot be read: {error}");
    });
    let body = Body::from_stream(content);
    let mut response = answer(status, &digest, length, body);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{}", range.start, range.end - 1, blob.size);
        response.headers_mut().insert(CONTENT_RANGE, value(&part));
    }
    Ok(response)
}

/// An answer with its length. Content that ends early then breaks the connection, and the client never takes it for
/// complete.
fn answer(status: StatusCode, digest: &Digest, length: u64, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_DIGEST, value(digest.as_str()));
    response
}
