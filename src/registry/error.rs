//! Why a registry did not do what it was asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::client::HUB_API;
use super::notice::printable;
use super::retry_after::in_words;
use super::{Answer, TargetError};
use crate::auth::AuthError;
use crate::oci::fixed::is_of_fixed_tag;
use crate::oci::{Digest, EcrAction, EcrAnswer, EcrRefusal, ManifestError, RegistryHost, RepositoryPath};

/// Longest cause that is kept, in characters.
const MAX_CAUSE: usize = 300;
/// What rustls calls a server that shows a certificate authority's certificate as its own.
pub(super) const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
/// rustls's words for an alert of the other end, before its name.
const ALERT: &str = "received fatal alert: ";
/// The alerts about the certificate that polyarch shows, or does not show (RFC 8446, 6.2).
const CERTIFICATE_ALERTS: [&str; 9] = [
    "CertificateRequired",
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "UnknownCA",
    "AccessDenied",
    "DecryptError",
];
/// The HTTP client's words for a connection of HTTP/2 that ended before the request. The alert that ended it is lost.
const NOT_READY: &str = "connection was not ready";
/// rustls's words for an answer that is not TLS.
const NO_TLS: &str = "InvalidContentType";
/// What the HTTP client calls a proxy that answers 407 to `CONNECT`.
const PROXY_LOGIN: &str = "proxy authorization required";

/// A request that failed: the registry, the request and the reason.
///
/// No credential, no query and no user information of a URL is in it. Its text names the registry and the reason; the
/// request and the codes of the answer are for [`RegistryError::request`] and [`RegistryError::answer`], and for the log.
#[derive(Debug)]
pub struct RegistryError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    host: RegistryHost,
    request: String,
    kind: ErrorKind,
    /// How often it was tried in all, and for how long, where that was too often for the registry.
    tried: Option<(u32, Duration)>,
    ecr: Option<AskedOfEcr>,
}

/// What a registry of Amazon ECR was asked for.
#[derive(Debug)]
pub(super) struct AskedOfEcr {
    pub(super) repository: Option<RepositoryPath>,
    pub(super) action: Option<EcrAction>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 401, and we had no credentials to send.
    #[error("asks for a login{0}")]
    LoginRequired(Answer),
    /// 401 with credentials, from the registry or its token server.
    #[error("refused the credentials{0}")]
    LoginRefused(Answer),
    /// 403.
    #[error("denied access{0}")]
    Denied(Answer),
    /// 404.
    #[error("has no such content{0}")]
    NotFound(Answer),
    /// Another status than the operation expects.
    #[error("answered {status}{answer}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What came with it.
        answer: Answer,
        /// How long the registry asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The registry asks us to wait longer than we do.
    #[error("asks us to come back in {} ({status}{answer})", in_words(*.after))]
    RetryLater {
        /// How long.
        after: Duration,
        /// The HTTP status.
        status: u16,
        /// What came with it.
        answer: Answer,
    },
    /// The registry's name does not resolve.
    #[error("cannot be found by its name")]
    Dns(#[source] Cause),
    /// No connection.
    #[error("cannot be reached")]
    Connect(#[source] Cause),
    /// No connection to the proxy, or none through it.
    #[error("cannot be reached through the proxy {proxy}")]
    Proxy {
        /// `host:port` of the proxy.
        proxy: String,
        /// Why.
        source: Cause,
    },
    /// The proxy lets nobody through who does not log in, or not with our login (407).
    #[error("cannot be reached: the proxy {proxy} wants a login")]
    ProxyLogin {
        /// `host:port` of the proxy.
        proxy: String,
    },
    /// The TLS handshake failed: certificates, or no TLS at the other end.
    #[error("cannot be trusted: the TLS handshake failed")]
    Tls(#[source] Cause),
    /// The connection broke, or what came is not HTTP.
    #[error("broke the connection")]
    Interrupted(#[source] Cause),
    /// Nothing came for too long.
    #[error("was too slow: {waiting} took longer than {} s", .after.as_secs())]
    Timeout {
        /// What we waited for.
        waiting: Waiting,
        /// How long.
        after: Duration,
    },
    /// The bytes are not those that were asked for, or the registry says that it stored others than we sent.
    #[error("has other content under this name: expected {expected}, got {actual}")]
    DigestMismatch {
        /// What was asked for or sent.
        expected: Digest,
        /// What came, or what the registry says that it has; printable, at most 100 characters.
        actual: String,
    },
    /// The length is not that of the descriptor.
    #[error("sent {actual} bytes of a blob of {expected}")]
    Size {
        /// The descriptor's size in bytes.
        expected: u64,
        /// What came, in bytes.
        actual: u64,
    },
    /// A tag that was put still names what it named before.
    #[error("still shows {0}, as before it was put")]
    Stale(Digest),
    /// A part of a blob was asked for, and another one was announced.
    #[error("sent another part of the content than was asked for")]
    Part,
    /// An upload stands at another place than we do: it is asked for, and goes on from there.
    #[error("has another part of the upload than was sent")]
    OutOfStep,
    /// An upload that was begun is not known any more: it is begun again. One that was restarted says so, or whose disk is
    /// full.
    #[error("does not know the upload any more{0}")]
    UploadLost(Answer),
    /// A file that was to be sent cannot be read: the registry is not to blame.
    #[error("was not sent the content, which cannot be read")]
    Unread(#[source] Cause),
    /// A file that was to be sent has other bytes than its name says: the registry is not to blame.
    #[error("was not sent the content: the file has other bytes than its name says")]
    Untrue,
    /// More than we read of such content.
    #[error("sent more than the {limit} bytes that are read of this")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Compressed, although we asked for none.
    #[error("compressed its answer although it was asked not to ({0})")]
    Encoding(String),
    /// What should be the tags of a repository is no such list.
    #[error("sent a list of tags that cannot be read")]
    Tags,
    /// A repository has more tags than are listed.
    #[error("has more than {limit} tags in this repository: that many are not listed")]
    TooManyTags {
        /// The limit.
        limit: usize,
    },
    /// A page for people: somebody in between answers in the registry's place.
    #[error("sent a web page in the place of a manifest")]
    WebPage,
    /// The bytes are no manifest, or one that we refuse.
    #[error("sent a manifest that cannot be used")]
    Manifest(#[source] ManifestError),
    /// A redirect or a token server to which we do not go.
    #[error("sent us where we do not go")]
    Target(#[from] TargetError),
    /// A 401 without a challenge that we know.
    #[error("asks for a login in a way that is not known: neither Basic nor Bearer")]
    Challenge,
    /// The token server that the registry names did not give a token, or was not reached: what it is about is no content
    /// of the registry's.
    #[error("has a token server, {server}, that {kind}")]
    TokenServer {
        /// `host:port` of the server.
        server: String,
        /// Why.
        kind: Box<ErrorKind>,
    },
    /// The token server's answer has no token.
    #[error("has a token server that answered without a token")]
    Token,
    /// Our own credentials cannot be had.
    #[error("cannot be logged in to")]
    Credential(#[source] AuthError),
    /// The client cannot be made: the name is no host, the user agent or the certificates are malformed.
    #[error("cannot be spoken to with these settings")]
    Settings(#[source] Cause),
    /// The registry's name is no host of a URL.
    #[error("has a name that is no host of a URL")]
    Host,
}

impl ErrorKind {
    /// The same failure, of a request that was to go through `proxy`, if it was.
    pub(super) fn through(self, proxy: Option<String>) -> Self {
        match (self, proxy) {
            (Self::Connect(cause) | Self::Dns(cause), Some(proxy)) if cause.0.contains(PROXY_LOGIN) => {
                Self::ProxyLogin { proxy }
            }
            (Self::Connect(source) | Self::Dns(source), Some(proxy)) => Self::Proxy { proxy, source },
            (kind, _) => kind,
        }
    }
}

/// What the network, TLS or the HTTP client says: the innermost of its reasons, without any address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut inner = error;
        while let Some(cause) = inner.source() {
            inner = cause;
        }
        Self(printable(&inner.to_string(), MAX_CAUSE))
    }
}

impl Cause {
    /// Whether the other end refuses the certificate that polyarch shows, or wants one. Such an end stays so. HTTP/2 passes
    /// on the words alone, and not the alert.
    pub(super) fn is_of_our_certificate(&self) -> bool {
        self.0.strip_prefix(ALERT).is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert))
    }
}

/// What was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// TCP and TLS.
    Connection,
    /// The head of the response.
    Headers,
    /// The next bytes of the body, or enough of them.
    Body,
    /// That it takes content that we send.
    Upload,
    /// The operation with all its retries.
    Operation,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "the connection",
            Self::Headers => "the answer",
            Self::Body => "the content of the answer",
            Self::Upload => "taking the content",
            Self::Operation => "the request with its retries",
        })
    }
}

impl RegistryError {
    /// `request` is `METHOD URL`, redacted.
    pub(super) fn new(host: &RegistryHost, request: impl Into<String>, kind: impl Into<ErrorKind>) -> Self {
        let (host, request, kind) = (host.clone(), request.into(), kind.into());
        Self(Box::new(Inner { host, request, kind, tried: None, ecr: None }))
    }

    /// The same failure, told in another way.
    pub(super) fn map_kind(mut self, map: impl FnOnce(ErrorKind) -> ErrorKind) -> Self {
        self.0.kind = map(std::mem::replace(&mut self.0.kind, ErrorKind::Host));
        self
    }

    /// The same failure, after so many attempts in so much time: said of what was asked for too often.
    pub(super) fn after(mut self, attempts: u32, within: Duration) -> Self {
        let is_throttled = matches!(self.kind(), ErrorKind::Status { status: 429, .. });
        self.0.tried = (is_throttled && attempts > 1).then_some((attempts, within));
        self
    }

    /// The same failure, of a registry of Amazon ECR.
    pub(super) fn of_ecr(mut self, asked: AskedOfEcr) -> Self {
        self.0.ecr = Some(asked);
        self
    }

    /// The request that failed: `METHOD URL`, without the query.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.0.request
    }

    /// The registry that was asked.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.0.host
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The HTTP status and what came with it, where there was one.
    #[must_use]
    pub fn answer(&self) -> Option<(u16, &Answer)> {
        match self.kind() {
            ErrorKind::LoginRequired(answer) | ErrorKind::LoginRefused(answer) => Some((401, answer)),
            ErrorKind::Denied(answer) => Some((403, answer)),
            ErrorKind::NotFound(answer) | ErrorKind::UploadLost(answer) => Some((404, answer)),
            ErrorKind::Status { status, answer, .. } | ErrorKind::RetryLater { status, answer, .. } => {
                Some((*status, answer))
            }
            _ => None,
        }
    }

    /// The host that the request went to, if the registry had sent polyarch there.
    fn other_host(&self) -> Option<&str> {
        let (_, rest) = self.0.request.split_once("://")?;
        let place = rest.split('/').next()?;
        let home = self.0.host.as_str();
        let is_named = matches!(self.0.kind, ErrorKind::TokenServer { .. } | ErrorKind::Target(_));
        let is_home = place == home || self.0.host.is_docker_hub() && place == HUB_API;
        (!is_named && !is_home).then_some(place)
    }

    /// Why it failed in the end, whoever failed.
    fn root(&self) -> &ErrorKind {
        match self.kind() {
            ErrorKind::TokenServer { kind, .. } => kind,
            kind => kind,
        }
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.root() {
            ErrorKind::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522)
            }
            ErrorKind::Dns(_)
            | ErrorKind::Connect(_)
            | ErrorKind::Proxy { .. }
            | ErrorKind::Interrupted(_)
            | ErrorKind::OutOfStep
            | ErrorKind::UploadLost(_) => true,
            ErrorKind::Timeout { waiting, .. } => *waiting != Waiting::Operation,
            _ => false,
        }
    }

    /// Whether the registry says that it does not have what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotFound(_))
    }

    /// Whether an answer to `HEAD` says nothing of `GET`: registries, and what is in front of them, refuse `HEAD` in many
    /// ways. A wait that is asked for, and a login, are of both.
    pub(super) fn is_of_head(&self) -> bool {
        match self.kind() {
            ErrorKind::Denied(_) => true,
            ErrorKind::Status { status, .. } => *status >= 400 && *status != 429,
            _ => false,
        }
    }

    /// Whether the registry says, in its own words, that the tag is there and may not move.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        let Some((400 | 403 | 405 | 409 | 412, answer)) = self.answer() else { return false };
        answer.errors.iter().any(|error| is_of_fixed_tag(&error.code) || is_of_fixed_tag(&error.message))
    }

    /// Whether it is about who we are: not logged in, refused, or not allowed.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::LoginRequired(_)
                | ErrorKind::LoginRefused(_)
                | ErrorKind::Denied(_)
                | ErrorKind::Credential(_)
                | ErrorKind::Challenge
                | ErrorKind::Token
        )
    }

    /// Whether the registry cannot be spoken to at all: name, connection, TLS, settings.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self.root(),
            ErrorKind::Dns(_)
                | ErrorKind::Connect(_)
                | ErrorKind::Proxy { .. }
                | ErrorKind::ProxyLogin { .. }
                | ErrorKind::Tls(_)
                | ErrorKind::Settings(_)
                | ErrorKind::Host
                | ErrorKind::Timeout { waiting: Waiting::Connection | Waiting::Headers | Waiting::Operation, .. }
        )
    }

    /// Whether going on would trust what must not be trusted: other bytes than were named, a manifest that can
    /// be read in two ways, a redirect or a token server where we do not go.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.root(),
            ErrorKind::DigestMismatch { .. }
                | ErrorKind::Size { .. }
                | ErrorKind::Part
                | ErrorKind::Untrue
                | ErrorKind::TooLarge { .. }
                | ErrorKind::Encoding(_)
                | ErrorKind::Manifest(_)
                | ErrorKind::WebPage
                | ErrorKind::Target(_)
        )
    }

    fn is_of_network(kind: &ErrorKind) -> bool {
        matches!(
            kind,
            ErrorKind::Connect(_)
                | ErrorKind::Proxy { .. }
                | ErrorKind::Tls(_)
                | ErrorKind::Interrupted(_)
                | ErrorKind::Timeout { .. }
        )
    }

    /// What Amazon ECR refused, if it was asked and did: by its words, or else by what it was asked for.
    #[must_use]
    pub fn ecr_refusal(&self) -> Option<EcrRefusal> {
        let asked = self.0.ecr.as_ref()?.action;
        if let (ErrorKind::Interrupted(_), Some(EcrAction::InitiateLayerUpload)) = (self.kind(), asked) {
            return Some(EcrRefusal::HungUp);
        }
        let (status, answer) = self.answer()?;
        let of = |code, message| EcrAnswer { status: Some(status), code, message, asked };
        let words = answer.errors.iter().map(|error| of(&error.code, &error.message));
        words.chain([of("", "")]).find_map(EcrRefusal::read)
    }

    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let host = self.host();
        if let Some(refusal) = self.ecr_refusal() {
            return Some(refusal.hint(host, self.0.ecr.as_ref().and_then(|asked| asked.repository.as_ref())));
        }
        let login = if host.is_docker_hub() { "docker login".to_owned() } else { format!("docker login {host}") };
        Some(match self.kind() {
            ErrorKind::TokenServer { server, kind } => match &**kind {
                ErrorKind::Dns(_) => {
                    format!("{host} names {server} as its token server: check the name and this machine's DNS")
                }
                ErrorKind::Status { status: 500.., .. } => format!("look at the log of {server}, then run this again"),
                kind if RegistryError::is_of_network(kind) => {
                    format!(
                        "{host} names {server} as its token server: check that it is up and can be reached from here"
                    )
                }
                _ => format!("check the settings of {host}: it names {server} as its token server"),
            },
            ErrorKind::LoginRequired(_) => format!("log in with `{login}`"),
            ErrorKind::LoginRefused(_) => format!("log in again with `{login}`"),
            ErrorKind::Denied(_) => {
                format!("check that this login may do this in this repository, or log in as another with `{login}`")
            }
            ErrorKind::NotFound(answer) if answer.has("NAME_UNKNOWN") => {
                "check the repository's name; some registries want it created first".to_owned()
            }
            ErrorKind::Credential(error) => error.hint(),
            ErrorKind::Dns(_) => format!("check the name {host} and this machine's DNS"),
            ErrorKind::Connect(_) => format!("check that {host} is up and can be reached from here"),
            ErrorKind::Proxy { proxy, .. } => {
                format!("check that {proxy} is up and may go there; hosts in NO_PROXY are reached without it")
            }
            ErrorKind::ProxyLogin { .. } => {
                "say user and password in HTTPS_PROXY or HTTP_PROXY: http://USER:PASSWORD@HOST:PORT".to_owned()
            }
            ErrorKind::Tls(cause) if cause.0.contains(CA_AS_SERVER) => {
                "name the registry's certificate with `ca:`, or put it into docker's certs.d".to_owned()
            }
            ErrorKind::Tls(cause) if cause.is_of_our_certificate() => client_certificate(host),
            ErrorKind::Interrupted(cause) if cause.0.contains(NOT_READY) => {
                format!(
                    "run this again; if it stays so, {host} may want a client certificate: `cert:` and `key:` in the plan"
                )
            }
            ErrorKind::Status { status: 400, answer, .. } if answer.says("SSL certificate") => client_certificate(host),
            ErrorKind::Manifest(ManifestError::Schema1) => {
                "build and push the image again; skopeo copy converts one whose source is lost".to_owned()
            }
            ErrorKind::Target(TargetError::Private(place)) => {
                format!(
                    "if that is meant, say `may_send_to: [\"{place}\"]` of {host} in the plan, or --may-send-to {host}={place}"
                )
            }
            ErrorKind::Target(TargetError::Downgrade(_)) => format!(
                "let the proxy in front of {host} send `X-Forwarded-Proto: https` to it (nginx: proxy_set_header X-Forwarded-Proto $scheme)"
            ),
            ErrorKind::Tls(cause) if cause.0.contains(NO_TLS) => {
                format!("{host} speaks plain HTTP: say `insecure: true` in the plan, or --insecure without one")
            }
            ErrorKind::Tls(_) => {
                "give the registry's certificate authority with `ca:`, or with --ca HOST=FILE without a plan".to_owned()
            }
            ErrorKind::RetryLater { after, .. } => format!("run this again in {}", in_words(*after)),
            ErrorKind::Timeout { .. } | ErrorKind::Interrupted(_) => {
                "run this again; if it stays so, look at the registry and the network in between".to_owned()
            }
            ErrorKind::WebPage => {
                format!("see in a browser who answers for {host}: a portal that wants a login, or a proxy")
            }
            ErrorKind::Status { status: 413, .. } => {
                format!("let what is in front of {host} take larger requests (nginx: client_max_body_size 0)")
            }
            // The words of Go's server, and of nginx.
            ErrorKind::Status { status: 400, answer, .. } if answer.says("HTTP request") && answer.says("HTTPS") => {
                format!("{host} speaks TLS: leave out `insecure: true`")
            }
            ErrorKind::Status { status: 500.., .. } | ErrorKind::UploadLost(_) => {
                "look at the registry's log, then run this again".to_owned()
            }
            _ => return None,
        })
    }
}

/// A server answers with the same alert whether it was shown no certificate or one that it does not take.
fn client_certificate(host: &RegistryHost) -> String {
    format!(
        "show {host} a client certificate that it trusts: `cert:` and `key:` in the plan, or client.cert and client.key in docker's certs.d/{host}"
    )
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registry {} {}", self.0.host, self.0.kind)?;
        if let Some(other) = self.other_host() {
            write!(f, ", at {other}")?;
        }
        if let Some((attempts, within)) = self.0.tried {
            write!(f, " after {attempts} attempts in {:.1} s", within.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Error for RegistryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.root().source()
    }
}
