//! The engine's REST API: bollard over our dialer, and what its answers mean.

use std::io;
use std::time::Duration;

use bollard::{BollardRequest, Docker};
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, header::HOST};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::bounds::{Answer, Bounded};
use super::dial::Dialer;
use super::error::EngineErrorKind;

/// How long the engine may take to say who it is, or to answer another short question.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// bollard's own limit covers the time until response headers, which no limit of ours should depend on.
const BOLLARD_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// bollard over our dialer, one connection a request.
pub(super) fn client(dialer: &Dialer) -> Result<Docker, bollard::errors::Error> {
    let dialer = dialer.clone();
    let transport = move |request: BollardRequest| {
        let dialer = dialer.clone();
        async move {
            let connection = Bounded::new(dialer.connect().await?, Answer::of(request.uri().path()));
            let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
            // It drives the response's body, and ends with it or when the response is dropped.
            tokio::spawn(connection);
            Ok(sender.send_request(origin_form(request)).await?)
        }
    };
    let version = bollard::API_DEFAULT_VERSION;
    let docker =
        Docker::connect_with_custom_transport(transport, Some("http://docker"), BOLLARD_TIMEOUT_SECONDS, version)?;
    Ok(docker.with_request_modifier(url_safe_registry_auth))
}

/// The request as it goes over a connection of its own: the path alone in its first line (RFC 9112, 3.2.1).
fn origin_form(mut request: BollardRequest) -> BollardRequest {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request
}

/// Puts `X-Registry-Auth` into the alphabet that engines read: bollard 0.21 writes standard base64, engines
/// decode the URL-safe one and take what does not decode for no credentials at all.
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

/// The message at the end of an error's chain: what happened, without who passed it on.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// What a bollard error means.
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
