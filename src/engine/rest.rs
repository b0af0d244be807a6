//! The engine's REST API: bollard over polyarch's dialer, and the meaning of bollard's errors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard::{BollardRequest, Docker};
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, header::HOST};

use super::error::EngineErrorKind;
use super::lines::Lines;
use crate::connect::Dialer;
use crate::text::innermost;

/// How long the engine may take to identify itself, or to answer another short question.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// bollard's own limit covers the time until the response headers. polyarch has its own limits, so this one is very
/// long.
const BOLLARD_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// bollard over polyarch's dialer.
pub(super) fn client(dialer: &Dialer) -> Result<Docker, bollard::errors::Error> {
    let lines = Arc::new(Lines::new(dialer.clone()));
    let transport = move |request: BollardRequest| {
        let lines = lines.clone();
        async move { lines.send(origin_form(request)).await }
    };
    let version = bollard::API_DEFAULT_VERSION;
    let docker =
        Docker::connect_with_custom_transport(transport, Some("http://docker"), BOLLARD_TIMEOUT_SECONDS, version)?;
    Ok(docker.with_request_modifier(url_safe_registry_auth))
}

/// The request in the form for a direct connection: the first line has only the path (RFC 9112, 3.2.1).
fn origin_form(mut request: BollardRequest) -> BollardRequest {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request
}

/// Converts `X-Registry-Auth` to the alphabet of engines. bollard 0.21 writes standard base64, but engines decode the
/// URL-safe form. If they cannot decode the header, they use no credentials at all.
fn url_safe_registry_auth(mut request: BollardRequest) -> BollardRequest {
    let headers = request.headers_mut();
    if let Some(value) = headers.get("x-registry-auth") {
        let safe: Vec<u8> = value
            .as_bytes()
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut value) = http::HeaderValue::from_bytes(&safe) {
            value.set_sensitive(true);
            headers.insert("x-registry-auth", value);
        }
    }
    request
}

/// Runs `asking` for at most `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, EngineErrorKind>>,
) -> Result<T, EngineErrorKind> {
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(EngineErrorKind::Timeout(limit.as_secs())))
}

/// The meaning of a bollard error.
pub(super) fn classify(error: bollard::errors::Error) -> EngineErrorKind {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            EngineErrorKind::Refused { status: status_code, message }
        }
        Error::DockerStreamError { error } => EngineErrorKind::Push { message: error, ecr: None },
        Error::IOError { err } if err.kind() == io::ErrorKind::ConnectionRefused => EngineErrorKind::Connect(err),
        other => EngineErrorKind::Lost(innermost(&other)),
    }
}
