//! One exchange: a request, its redirects, and the answer within limits of size and time.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::link::AllowedHosts;
use super::proxy::Proxies;
use super::resolve::Resolver;
use super::target::{self, redacted};
use super::timeouts::Timeouts;
use crate::oci::RegistryHost;
use crate::registry::error::{Answer, Cause, ErrorKind, MAX_REDIRECTS, RegistryError, TargetError, Waiting};
use crate::text::printable;

/// The longest body of a refusal that polyarch reads, in bytes. The rest is cut off.
const MAX_REFUSAL: usize = 64 << 10;
/// The slowest answer that polyarch reads to its end, in bytes per second, …
pub(in crate::registry) const MIN_RATE: u64 = 1 << 10;
/// … after this time. A server that sends single bytes is never idle, so an idle limit does not stop it.
pub(in crate::registry) const RATE_GRACE: Duration = Duration::from_mins(1);

/// The connections to a registry and to the hosts that it sends polyarch to.
pub(in crate::registry) struct Wire {
    pub(in crate::registry) connections: Connections,
    /// The registry of this client.
    pub(in crate::registry) host: RegistryHost,
    /// `https://host/v2/`.
    pub(in crate::registry) home: Url,
    /// The other hosts that the user allows the registry to send polyarch to.
    pub(in crate::registry) allowed_hosts: AllowedHosts,
    /// The addresses of names. The HTTP client uses the same resolver.
    pub(in crate::registry) resolver: Arc<Resolver>,
    /// The time limits.
    pub(in crate::registry) timeouts: Timeouts,
    /// The proxies. The HTTP client knows them, too.
    pub(in crate::registry) proxies: Proxies,
}

/// The HTTP clients, without redirects, retries, cookies or proxies of their own. Both keep their connections.
pub(in crate::registry) struct Connections {
    /// For the registry's own host, which may ask for polyarch's certificate.
    pub(in crate::registry) home: reqwest::Client,
    /// For all other hosts.
    pub(in crate::registry) elsewhere: reqwest::Client,
}

/// A request before it is sent.
pub(in crate::registry) struct Request<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    /// polyarch sends this only to the origin of `url`.
    pub(in crate::registry) authorization: Option<&'a HeaderValue>,
    pub(in crate::registry) accept: Option<HeaderValue>,
    pub(in crate::registry) range: Option<HeaderValue>,
    pub(in crate::registry) content: Option<(HeaderValue, Bytes)>,
    pub(in crate::registry) read: Read,
    pub(in crate::registry) to: Recipient,
}

/// How polyarch reads the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Read {
    /// To its end, at most this number of bytes.
    Whole(usize),
    /// The caller reads it, if the status is a success.
    Later,
}

/// The rules for redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Recipient {
    Registry,
    TokenServer,
}

/// The answer.
pub(in crate::registry) struct Reply {
    pub(in crate::registry) status: StatusCode,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) body: Vec<u8>,
    /// The body that is not read yet.
    pub(in crate::registry) rest: Option<Response>,
    /// `METHOD URL` of the last hop, redacted.
    pub(in crate::registry) request: String,
    /// Whether the answer came from the server of the request, without a redirect to another one.
    pub(in crate::registry) is_direct: bool,
}

impl Reply {
    /// Writes the status to the log, and the registry's errors with their codes.
    fn log(&self) {
        let answer = if self.status.is_success() { Answer::default() } else { Answer::read(&self.body) };
        tracing::debug!("{}: {}{answer:#}", self.request, self.status.as_u16());
    }
}

impl Wire {
    /// Sends a request, follows its redirects, and reads the answer with any status.
    pub(in crate::registry) async fn exchange(&self, request: Request<'_>) -> Result<Reply, RegistryError> {
        let mut url = request.url.clone();
        // A registry may name another host for uploads. polyarch sends no login there, and that host must not request
        // one.
        let mut is_direct = request.to == Recipient::TokenServer || url.origin() == self.home.origin();
        for _ in 0..=MAX_REDIRECTS {
            let line = redacted(&request.method, &url);
            let fail = |kind| RegistryError::new(&self.host, line.as_str(), kind);
            let authorization = request.authorization.filter(|_| is_direct);
            let response = self.send(&request, &url, authorization).await;
            let response = response.inspect_err(|error| tracing::debug!("{line}: {error}")).map_err(fail)?;
            let Some(location) = location(&response) else {
                let reply = self.reply(response, &request.method, request.read, line.clone(), is_direct).await;
                return reply.inspect(Reply::log).map_err(fail);
            };
            tracing::debug!("{line}: {}, a redirect", response.status().as_u16());
            let next = self.next(&request, &url, &location).map_err(|error| fail(error.into()))?;
            // After a redirect to another host polyarch sends no credentials, even if a later redirect leads back.
            is_direct &= next.origin() == url.origin();
            url = next;
        }
        Err(RegistryError::new(&self.host, redacted(&request.method, &request.url), TargetError::TooMany))
    }

    fn next(&self, request: &Request<'_>, from: &Url, location: &str) -> Result<Url, TargetError> {
        let next = match request.to {
            Recipient::Registry => self.redirect(from, location)?,
            Recipient::TokenServer => {
                let joined = from.join(location).map_err(|_| TargetError::Malformed)?;
                self.realm(joined.as_str())?
            }
        };
        if request.content.is_some() && next.origin() != from.origin() {
            return Err(TargetError::Content(target::place(&next)));
        }
        Ok(next)
    }

    /// The target of a redirect, or the address of an upload.
    pub(in crate::registry) fn redirect(&self, from: &Url, location: &str) -> Result<Url, TargetError> {
        target::redirect(&self.home, self.resolver.home_reach(), &self.allowed_hosts, from, location)
    }

    /// The address of the registry's token server.
    pub(in crate::registry) fn realm(&self, text: &str) -> Result<Url, TargetError> {
        target::realm(&self.home, &self.allowed_hosts, text)
    }

    /// The client for `url`.
    pub(in crate::registry) fn client(&self, url: &Url) -> &reqwest::Client {
        let is_home = url.host_str() == self.home.host_str();
        if is_home { &self.connections.home } else { &self.connections.elsewhere }
    }

    async fn send(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, ErrorKind> {
        let mut outgoing =
            self.client(url).request(request.method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(value) = authorization {
            outgoing = outgoing.header(AUTHORIZATION, value);
        }
        if let Some(value) = &request.accept {
            outgoing = outgoing.header(ACCEPT, value);
        }
        if let Some(value) = &request.range {
            outgoing = outgoing.header(RANGE, value);
        }
        if let Some((media_type, bytes)) = &request.content {
            outgoing = outgoing.header(CONTENT_TYPE, media_type).body(bytes.clone());
        }
        let after = self.timeouts.headers;
        match timeout(after, outgoing.send()).await {
            Ok(Ok(response)) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let proxy = self.proxies.place(url);
                proxy.map_or(Ok(response), |proxy| Err(ErrorKind::ProxyLogin { proxy }))
            }
            Ok(sent) => sent.map_err(|error| self.failure(error).through(self.proxies.place(url))),
            Err(_) => Err(ErrorKind::Timeout { waiting: Waiting::Headers, after }),
        }
    }

    pub(in crate::registry) async fn reply(
        &self,
        response: Response,
        method: &Method,
        read: Read,
        line: String,
        is_direct: bool,
    ) -> Result<Reply, ErrorKind> {
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = match read {
            Read::Later if status.is_success() => {
                let rest = Some(uncompressed(response)?);
                return Ok(Reply { status, headers, body: Vec::new(), rest, request: line, is_direct });
            }
            Read::Later => 0,
            Read::Whole(limit) => limit,
        };
        let body = self.body(response, method, limit).await?;
        Ok(Reply { status, headers, body, rest: None, request: line, is_direct })
    }

    /// The body of an answer, at most `limit` bytes. For a refusal, a part of the body is enough.
    async fn body(&self, response: Response, method: &Method, limit: usize) -> Result<Vec<u8>, ErrorKind> {
        if *method == Method::HEAD {
            return Ok(Vec::new());
        }
        let mut body = Vec::new();
        if !response.status().is_success() {
            // The status is the answer. polyarch keeps as much of the explanation as has arrived.
            let _ = self.read(response, MAX_REFUSAL, &mut body).await;
            return Ok(body);
        }
        let response = uncompressed(response)?;
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(ErrorKind::TooLarge { limit });
        }
        self.read(response, limit, &mut body).await?;
        Ok(body)
    }

    /// Reads at most `limit` bytes into `body`. One more byte is an error.
    async fn read(&self, mut response: Response, limit: usize, body: &mut Vec<u8>) -> Result<(), ErrorKind> {
        let start = Instant::now();
        loop {
            let due = start + RATE_GRACE + Duration::from_secs(body.len() as u64 / MIN_RATE);
            let idle = Instant::now() + self.timeouts.idle;
            let chunk = match timeout_at(idle.min(due), response.chunk()).await {
                Ok(chunk) => chunk.map_err(|error| self.failure(error))?,
                Err(_) => return Err(ErrorKind::Timeout { waiting: Waiting::Body, after: start.elapsed() }),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            let room = limit - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Err(ErrorKind::TooLarge { limit });
            }
        }
    }

    pub(in crate::registry) fn failure(&self, error: reqwest::Error) -> ErrorKind {
        // The error loses its URL, because the query may contain a signature. The caller adds a redacted URL.
        let error = error.without_url();
        let cause = Cause::of(&error);
        if let Some(target) = refused_target(&error) {
            ErrorKind::Target(target)
        } else if error.is_builder() {
            ErrorKind::Settings(cause)
        } else if error.is_timeout() {
            ErrorKind::Timeout { waiting: Waiting::Connection, after: self.timeouts.connect }
        } else if error.is_dns() {
            ErrorKind::Dns(cause)
        } else if is_tls(&error) || cause.is_of_our_certificate() {
            ErrorKind::Tls(cause)
        } else if error.is_connect() {
            ErrorKind::Connect(cause)
        } else {
            ErrorKind::Interrupted(cause)
        }
    }
}

/// The response, if its body is uncompressed as requested.
fn uncompressed(response: Response) -> Result<Response, ErrorKind> {
    match response.headers().get(CONTENT_ENCODING).filter(|value| *value != "identity") {
        Some(encoding) => Err(ErrorKind::Encoding(printable(&String::from_utf8_lossy(encoding.as_bytes()), 40))),
        None => Ok(response),
    }
}

/// The reason why polyarch did not connect to a name, if the name's addresses are the reason.
pub(super) fn refused_target(error: &reqwest::Error) -> Option<TargetError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(target) = error.downcast_ref::<TargetError>() {
            return Some(target.clone());
        }
        cause = error.source();
    }
    None
}

/// Whether the handshake failed for a permanent reason. An alert from the other end does not count, because the server
/// may just be shutting down.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            let alert = if let rustls::Error::AlertReceived(alert) = tls { Some(*alert) } else { None };
            return alert.is_none();
        }
        // `io::Error::source()` skips the wrapped error and returns the wrapped error's source.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

fn location(response: &Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    Some(String::from_utf8_lossy(response.headers().get(LOCATION)?.as_bytes()).into_owned())
}
