//! Admits requests and dispatches them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{EXPECT, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;

use super::endpoint::Endpoint;
use super::query::Query;
use super::refusal::Refusal;
use super::reply::json;
use super::state::Registry;
use super::{blobs, listing, manifests, uploads};
use crate::oci::{RegistryHost, Selector};

/// A header of every answer of an embedded registry, with its [id](crate::embedded::Embedded::id). A client at another
/// place can see whether it reaches the same registry.
pub const STORE_HEADER: &str = "polyarch-registry";

/// How long the registry reads the rest of a refused request.
const DRAIN: Duration = Duration::from_secs(30);

/// The registry as a service.
pub(in crate::embedded) fn router(registry: Arc<Registry>) -> Router {
    // Names contain slashes in the middle of a path. So `Endpoint` parses paths, not a pattern of the router.
    Router::new().fallback(answer).with_state(registry)
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut response = match admit(&request) {
        Ok(()) => {
            let (parts, mut body) = request.into_parts();
            let may_drain = !parts.headers.contains_key(EXPECT);
            match dispatch(&registry, parts, &mut body).await {
                Ok(response) => response,
                Err(refusal) => {
                    if may_drain {
                        drain(body).await;
                    }
                    refusal.into_response()
                }
            }
        }
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    // A browser must not show a layer as a page.
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(registry.id()) {
        headers.insert(HeaderName::from_static(STORE_HEADER), id);
    }
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Admits clients that address loopback and are not web pages. A page may point its own name to 127.0.0.1 (DNS
/// rebinding). Such a page sends its own name as `Host`. A page on another site that posts to this registry sends
/// `Origin`.
fn admit(request: &Request) -> Result<(), Refusal> {
    let is_loopback = |host: &str| host.parse::<RegistryHost>().is_ok_and(|host| host.is_loopback());
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).is_some_and(is_loopback);
    let authority = request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
    if !host || !authority || hosts.next().is_some() {
        let message = "this registry answers only to localhost and loopback addresses";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "DENIED", message));
    }
    if request.headers().contains_key(ORIGIN) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", "this registry does not answer web pages"));
    }
    Ok(())
}

/// Reads the rest of a request that the registry refuses. Many clients read the answer only after they have sent
/// everything. Without this they would see a broken connection. A client that sends `Expect` reads the answer first.
async fn drain(mut body: Body) {
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    // After this time the client gets a broken connection.
    let _ = tokio::time::timeout(DRAIN, read).await;
}

async fn dispatch(registry: &Arc<Registry>, parts: Parts, body: &mut Body) -> Result<Response, Refusal> {
    let endpoint = Endpoint::parse(parts.uri.path())?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    match (endpoint, parts.method) {
        (Endpoint::Base, Method::GET | Method::HEAD) => Ok(json(&serde_json::json!({}))),
        (Endpoint::Blob(name, digest), Method::HEAD) => blobs::head(registry, name, digest).await,
        (Endpoint::Blob(name, digest), Method::GET) => blobs::get(registry, name, digest, &parts.headers).await,
        (Endpoint::Uploads(name), Method::POST) => uploads::post(registry, name, query, &parts.headers, body).await,
        (Endpoint::Upload(name, id), Method::GET | Method::HEAD) => uploads::status(registry, &name, &id).await,
        (Endpoint::Upload(name, id), Method::PATCH) => uploads::patch(registry, &name, &id, &parts.headers, body).await,
        (Endpoint::Upload(name, id), Method::PUT) => {
            uploads::put(registry, name, &id, query, &parts.headers, body).await
        }
        (Endpoint::Upload(name, id), Method::DELETE) => uploads::cancel(registry, &name, &id).await,
        (Endpoint::Manifest(name, reference), Method::GET | Method::HEAD) => {
            manifests::get(registry, name, reference).await
        }
        (Endpoint::Manifest(name, reference), Method::PUT) => {
            manifests::put(registry, name, reference, &parts.headers, body).await
        }
        (Endpoint::Manifest(name, Selector::Tag(tag)), Method::DELETE) => {
            manifests::delete_tag(registry, name, tag).await
        }
        (Endpoint::Tags(name), Method::GET | Method::HEAD) => listing::tags(registry, name, query).await,
        (Endpoint::Referrers(name, subject), Method::GET | Method::HEAD) => {
            listing::referrers(registry, name, subject, query).await
        }
        (_, Method::DELETE) => Err(Refusal::unsupported("this registry deletes only tags")),
        _ => Err(Refusal::unsupported("this endpoint does not have that method")),
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use proptest::prelude::*;
    use tower::ServiceExt as _;

    use super::*;
    use crate::embedded::store::Store;

    /// Parts of attacks, combined at random.
    const PIECES: &[&str] = &[
        "..",
        ".",
        "%2e%2e",
        "%2f",
        "..%2f",
        "%00",
        "\\",
        "~",
        "_blobs",
        "_tags",
        "_uploads",
        "a",
        "A",
        "blobs",
        "uploads",
        "manifests",
        "tags",
        "list",
        "referrers",
        "sha256:",
        "sha256:..",
        "latest",
        "?",
        "digest=",
        "&",
        "mount=",
        "from=",
        "../../x",
        "n=-1",
        "last=%ff",
        "http://evil.example",
        ":",
        "@",
        "v2",
        "etc",
        "passwd",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];

    fn request(method: &str, uri: &str, body: Vec<u8>) -> Option<Request> {
        http::Request::builder().method(method).uri(uri).header(HOST, "localhost").body(body.into()).ok()
    }

    /// Every file below `dir`, relative to it.
    fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    proptest! {
        #[test]
        fn requests_never_escape_the_directory_of_the_registry(
            requests in proptest::collection::vec(
                (
                    prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
                    proptest::collection::vec(prop::sample::select(PIECES), 1..7),
                    proptest::collection::vec(any::<u8>(), 0..16),
                ),
                1..20,
            ),
        ) {
            let outside = tempfile::tempdir().unwrap();
            let root = outside.path().join("root");
            let service = router(Arc::new(Registry::new(Store::open(&root).unwrap(), "id".into())));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for (method, pieces, body) in requests {
                let uri = format!("/v2/{}", pieces.join("/").replace("/?/", "?").replace("/&/", "&").replace("=/", "="));
                let Some(request) = request(method, &uri, body) else { continue };
                let answer = runtime.block_on(service.clone().oneshot(request)).unwrap();
                prop_assert!(!answer.status().is_server_error(), "{} {}: {}", method, uri, answer.status());
            }
            let known = ["blobs", "repositories", "uploads"];
            for file in files(outside.path()) {
                let inside = file.strip_prefix(&root).unwrap();
                prop_assert!(known.iter().any(|dir| inside.starts_with(dir)), "{}", inside.display());
            }
        }
    }

    #[tokio::test]
    async fn every_refusal_has_an_oci_error_document() {
        let dir = tempfile::tempdir().unwrap();
        let service = router(Arc::new(Registry::new(Store::open(dir.path()).unwrap(), "id".into())));
        for (method, uri, status, code) in [
            ("GET", "/", 404, "UNSUPPORTED"),
            ("GET", "/v2/_catalog", 404, "UNSUPPORTED"),
            ("POST", "/v2/", 405, "UNSUPPORTED"),
            ("DELETE", "/v2/a/manifests/latest", 404, "NAME_UNKNOWN"),
            (
                "DELETE",
                "/v2/a/blobs/sha256:0123456789012345678901234567890123456789012345678901234567890123",
                405,
                "UNSUPPORTED",
            ),
            ("OPTIONS", "/v2/a/manifests/latest", 405, "UNSUPPORTED"),
            ("GET", "/v2/A/tags/list", 400, "NAME_INVALID"),
            ("GET", "/v2/a/tags/list?n=1&n=2", 400, "UNSUPPORTED"),
            ("GET", "/v2/a/blobs/sha256:..", 400, "DIGEST_INVALID"),
            ("PUT", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef", 400, "DIGEST_INVALID"),
            ("GET", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef", 404, "BLOB_UPLOAD_UNKNOWN"),
        ] {
            let answer = service.clone().oneshot(request(method, uri, Vec::new()).unwrap()).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{method} {uri}");
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json", "{method} {uri}");
            let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["errors"][0]["code"], code, "{method} {uri}");
        }
    }
}
