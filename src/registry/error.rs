//! Why a registry did not carry out a request.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::client::HUB_API;
use super::notice::printable;
use super::retry_after::in_words;
use super::{Answer, TargetError};
use crate::auth::AuthError;
use crate::aws::{EcrAction, EcrAnswer, EcrRefusal};
use crate::oci::refusal::is_of_immutable_tag;
use crate::oci::{Digest, ManifestError, RegistryHost, RepositoryPath};

/// The longest cause that polyarch keeps, in characters.
const MAX_CAUSE: usize = 300;
/// rustls's name for a server that uses the certificate of an authority as its own.
pub(super) const CA_AS_SERVER: &str = "CaUsedAsEndEntity";
/// rustls's text before the name of an alert from the other end.
const ALERT: &str = "received fatal alert: ";
/// The alerts about the client certificate, or about a missing one (RFC 8446, 6.2).
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
/// The HTTP client's text for an HTTP/2 connection that ended before the request. The alert that ended it is lost.
const NOT_READY: &str = "connection was not ready";
/// rustls's text for an answer that is not TLS.
const NO_TLS: &str = "InvalidContentType";
/// The HTTP client's text for a proxy that answers 407 to `CONNECT`.
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
    /// The number of attempts and their total time, if the registry throttled the request.
    tried: Option<(u32, Duration)>,
    ecr: Option<AskedOfEcr>,
}

/// The request to an Amazon ECR registry.
#[derive(Debug)]
pub(super) struct AskedOfEcr {
    pub(super) repository: Option<RepositoryPath>,
    pub(super) action: Option<EcrAction>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 401, and polyarch had no credentials to send.
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
        /// The body of the answer.
        answer: Answer,
        /// The time that the registry asks polyarch to wait.
        retry_after: Option<Duration>,
    },
    /// The registry asks polyarch to wait longer than polyarch's limit.
    #[error("asks polyarch to wait {} ({status}{answer})", in_words(*.after))]
    RetryLater {
        /// The time to wait.
        after: Duration,
        /// The HTTP status.
        status: u16,
        /// The body of the answer.
        answer: Answer,
    },
    /// DNS does not know the registry's name.
    #[error("has a name that does not resolve")]
    Dns(#[source] Cause),
    /// polyarch cannot connect to the registry.
    #[error("cannot be reached")]
    Connect(#[source] Cause),
    /// polyarch cannot connect to the proxy, or not through it.
    #[error("cannot be reached through the proxy {proxy}")]
    Proxy {
        /// `host:port` of the proxy.
        proxy: String,
        /// The reason.
        source: Cause,
    },
    /// The proxy requires a login, or refuses the login from the environment (407).
    #[error("cannot be reached: the proxy {proxy} requires a login")]
    ProxyLogin {
        /// `host:port` of the proxy.
        proxy: String,
    },
    /// The TLS handshake failed: because of certificates, or because the other end does not speak TLS.
    #[error("cannot be trusted: the TLS handshake failed")]
    Tls(#[source] Cause),
    /// The connection broke, or the answer is not HTTP.
    #[error("broke the connection")]
    Interrupted(#[source] Cause),
    /// polyarch waited too long.
    #[error("was too slow: {waiting} took longer than {} s", .after.as_secs())]
    Timeout {
        /// The step that took too long.
        waiting: Waiting,
        /// The time limit.
        after: Duration,
    },
    /// The registry sent other bytes than requested, or reports that it stored other bytes than polyarch sent.
    #[error("has the wrong content: expected {expected}, got {actual}")]
    DigestMismatch {
        /// The digest that polyarch requested or sent.
        expected: Digest,
        /// The digest of the bytes, or the digest that the registry reports; printable, at most 100 characters.
        actual: String,
    },
    /// The length differs from the descriptor.
    #[error("sent {actual} bytes of a blob of {expected}")]
    Size {
        /// The descriptor's size in bytes.
        expected: u64,
        /// The bytes that arrived.
        actual: u64,
    },
    /// A tag that polyarch moved still shows its old content.
    #[error("still shows {0}, the image before the push")]
    Stale(Digest),
    /// polyarch requested a part of a blob, and the registry announced another part.
    #[error("sent a different part of the content than polyarch requested")]
    Part,
    /// The registry has another position of the upload than polyarch. polyarch asks for the position and continues
    /// there.
    #[error("has a different part of the upload than polyarch sent")]
    OutOfStep,
    /// The registry no longer knows an upload, so polyarch begins it again. A restarted registry answers so, or a
    /// registry with a full disk.
    #[error("lost the upload{0}")]
    UploadLost(Answer),
    /// polyarch cannot read a file that it should send. The registry is not the cause.
    #[error("did not get the content: polyarch cannot read it")]
    Unread(#[source] Cause),
    /// A file that polyarch should send has other bytes than its digest. The registry is not the cause.
    #[error("did not get the content: the bytes of the file do not match its digest")]
    Untrue,
    /// The content is larger than polyarch's limit for its kind.
    #[error("sent more than {limit} bytes, polyarch's limit for this content")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is compressed, although polyarch asked for an uncompressed one.
    #[error("compressed its answer although polyarch refuses compression ({0})")]
    Encoding(String),
    /// The answer is not a list of tags.
    #[error("sent a list of tags that cannot be read")]
    Tags,
    /// A repository has more tags than polyarch lists.
    #[error("has more than {limit} tags in this repository, the most that polyarch lists")]
    TooManyTags {
        /// The limit.
        limit: usize,
    },
    /// The answer is a web page, so another server answers in place of the registry.
    #[error("sent a web page instead of a manifest")]
    WebPage,
    /// The bytes are not a manifest, or polyarch refuses the manifest.
    #[error("sent a manifest that cannot be used")]
    Manifest(#[source] ManifestError),
    /// The registry redirects to an address that polyarch does not use, or names a token server there.
    #[error("redirects polyarch to a URL that polyarch does not follow")]
    Target(#[from] TargetError),
    /// A 401 without a challenge that polyarch supports.
    #[error("asks for a login by an unknown method, neither Basic nor Bearer")]
    Challenge,
    /// The token server of the registry gave no token or cannot be reached. The error is not about content of the
    /// registry.
    #[error("has a token server, {server}, that {kind}")]
    TokenServer {
        /// `host:port` of the server.
        server: String,
        /// The reason.
        kind: Box<ErrorKind>,
    },
    /// The token server's answer contains no token.
    #[error("has a token server that answered without a token")]
    Token,
    /// polyarch cannot get its own credentials.
    #[error("needs a login that polyarch cannot get")]
    Credential(#[source] AuthError),
    /// polyarch cannot create the HTTP client: the user agent or the certificates are malformed.
    #[error("cannot be used with these settings")]
    Settings(#[source] Cause),
    /// The registry's name cannot be the host of a URL.
    #[error("has a name that is not a host of a URL")]
    Host,
}

impl ErrorKind {
    /// The same failure, of a request through `proxy`, if there was one.
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

/// The message of the network, TLS or the HTTP client: the innermost cause, without any address.
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

    /// Whether the other end refuses the client certificate, or requires one. A later attempt then fails, too. With
    /// HTTP/2 only the text of the alert arrives, not its value.
    pub(super) fn is_of_our_certificate(&self) -> bool {
        self.0.strip_prefix(ALERT).is_some_and(|alert| CERTIFICATE_ALERTS.contains(&alert))
    }
}

/// The step that polyarch waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// TCP and TLS.
    Connection,
    /// The head of the response.
    Headers,
    /// The next bytes of the body, or enough bytes.
    Body,
    /// The registry receiving content from polyarch.
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
            Self::Upload => "receiving the content",
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

    /// The same failure with another kind.
    pub(super) fn map_kind(mut self, map: impl FnOnce(ErrorKind) -> ErrorKind) -> Self {
        self.0.kind = map(std::mem::replace(&mut self.0.kind, ErrorKind::Host));
        self
    }

    /// The same failure after this number of attempts in this time. Only throttled requests show these numbers.
    pub(super) fn after(mut self, attempts: u32, within: Duration) -> Self {
        let is_throttled = matches!(self.kind(), ErrorKind::Status { status: 429, .. });
        self.0.tried = (is_throttled && attempts > 1).then_some((attempts, within));
        self
    }

    /// The same failure, of an Amazon ECR registry.
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

    /// The reason.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The HTTP status and the body of the answer, if there was an answer.
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

    /// Whether the registry reports that the content does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotFound(_))
    }

    /// Whether a failed `HEAD` does not predict the result of `GET`. Registries, and proxies in front of them, refuse
    /// `HEAD` in many ways. But throttling and logins apply to both methods.
    pub(super) fn is_of_head(&self) -> bool {
        match self.kind() {
            ErrorKind::Denied(_) => true,
            ErrorKind::Status { status, .. } => *status >= 400 && *status != 429,
            _ => false,
        }
    }

    /// Whether the registry reports that the tag exists and cannot move.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        let Some((400 | 403 | 405 | 409 | 412, answer)) = self.answer() else { return false };
        answer.errors.iter().any(|error| is_of_immutable_tag(&error.code) || is_of_immutable_tag(&error.message))
    }

    /// Whether the failure concerns the login: it is missing, refused, or has no permission.
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

    /// Whether polyarch cannot talk to the registry at all: name, connection, TLS, settings.
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

    /// Whether continuing would trust content or addresses that polyarch must not trust: other bytes than requested, a
    /// manifest with two meanings, a redirect or a token server at a forbidden address.
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

    /// The refusal of Amazon ECR, if the registry is ECR's and refused the request. polyarch recognizes it by ECR's
    /// message, or else by the request.
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

    /// The next step for the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let host = self.host();
        if let Some(refusal) = self.ecr_refusal() {
            let asked = self.0.ecr.as_ref();
            let hint = refusal.hint(host, asked.and_then(|asked| asked.repository.as_ref()));
            // A command that only reads needs a correct name. It creates no repository.
            let is_read = asked.is_some_and(|asked| asked.action == Some(EcrAction::BatchGetImage));
            let is_name = is_read && matches!(refusal, EcrRefusal::RepositoryMissing { .. });
            return Some(if is_name { format!("check the name of the repository, or {hint}") } else { hint });
        }
        let login = if host.is_docker_hub() { "docker login".to_owned() } else { format!("docker login {host}") };
        Some(match self.kind() {
            ErrorKind::TokenServer { server, kind } => match &**kind {
                ErrorKind::Dns(_) => {
                    format!("check the name {server}, the token server of {host}, and the DNS of this machine")
                }
                ErrorKind::Status { status: 500.., .. } => format!("read the log of {server}, then run this again"),
                ErrorKind::Connect(_)
                | ErrorKind::Proxy { .. }
                | ErrorKind::Tls(_)
                | ErrorKind::Interrupted(_)
                | ErrorKind::Timeout { .. } => {
                    format!("check that {server}, the token server of {host}, is up and can be reached from here")
                }
                _ => format!("check the settings of {host}, which names {server} as its token server"),
            },
            ErrorKind::LoginRequired(_) => format!("log in with `{login}`"),
            ErrorKind::LoginRefused(_) => format!("log in again with `{login}`"),
            ErrorKind::Denied(_) => {
                format!(
                    "check that your login has permission for this repository, or log in as another user with `{login}`"
                )
            }
            ErrorKind::NotFound(answer) if answer.has("NAME_UNKNOWN") => {
                "check the name of the repository; create it first if the registry requires that".to_owned()
            }
            ErrorKind::Credential(error) => error.hint(),
            ErrorKind::Dns(_) => format!("check the name {host} and this machine's DNS"),
            ErrorKind::Connect(_) => format!("check that {host} is up and can be reached from here"),
            ErrorKind::Proxy { proxy, .. } => {
                format!("check that {proxy} is up and may reach {host}, or add {host} to NO_PROXY")
            }
            ErrorKind::ProxyLogin { .. } => {
                "set the user and the password in HTTPS_PROXY or HTTP_PROXY: http://USER:PASSWORD@HOST:PORT".to_owned()
            }
            ErrorKind::Tls(cause) if cause.0.contains(CA_AS_SERVER) => {
                "set `ca:` in the plan to the registry's certificate, or copy the certificate into docker's certs.d"
                    .to_owned()
            }
            ErrorKind::Tls(cause) if cause.is_of_our_certificate() => client_certificate(host),
            ErrorKind::Interrupted(cause) if cause.0.contains(NOT_READY) => {
                format!(
                    "run this again; if it fails again, set a client certificate for {host}: `cert:` and `key:` in the plan"
                )
            }
            ErrorKind::Status { status: 400, answer, .. } if answer.says("SSL certificate") => client_certificate(host),
            ErrorKind::Manifest(ManifestError::Schema1) => {
                "build and push the image again; if its source is lost, convert the image with `skopeo copy`".to_owned()
            }
            ErrorKind::Target(TargetError::Private(place)) => {
                format!(
                    "allow this host if you trust it: `may_send_to: [\"{place}\"]` of {host} in the plan, or --may-send-to {host}={place}"
                )
            }
            ErrorKind::Target(TargetError::Downgrade(_)) => format!(
                "configure the proxy in front of {host} to send `X-Forwarded-Proto: https` (nginx: proxy_set_header X-Forwarded-Proto $scheme)"
            ),
            ErrorKind::Tls(cause) if cause.0.contains(NO_TLS) => {
                format!("set `insecure: true` in the plan, or pass --insecure: {host} speaks plain HTTP")
            }
            ErrorKind::Tls(_) => {
                "set `ca:` in the plan to the file of the registry's certificate authority, or pass --ca HOST=FILE"
                    .to_owned()
            }
            ErrorKind::RetryLater { after, .. } => format!("run this again in {}", in_words(*after)),
            ErrorKind::Timeout { .. } | ErrorKind::Interrupted(_) => {
                "run this again; if it fails again, check the registry and the network".to_owned()
            }
            ErrorKind::WebPage => {
                format!("open {host} in a browser: a login portal or a proxy answers instead of the registry")
            }
            ErrorKind::Status { status: 413, .. } => {
                format!("allow larger requests in the server in front of {host} (nginx: client_max_body_size 0)")
            }
            // POST, PUT and PATCH add content. A registry that takes pushes may still refuse DELETE.
            ErrorKind::Status { status: 405, .. } if self.0.request.starts_with('P') => {
                format!("push to another registry, or let {host} take pushes: a read-only registry answers so")
            }
            // The messages of Go's server and of nginx.
            ErrorKind::Status { status: 400, answer, .. } if answer.says("HTTP request") && answer.says("HTTPS") => {
                format!("remove `insecure: true` or --insecure: {host} speaks TLS")
            }
            ErrorKind::Status { status: 500.., .. } | ErrorKind::UploadLost(_) => {
                "read the registry's log, then run this again".to_owned()
            }
            _ => return None,
        })
    }
}

/// A server sends the same alert for a missing client certificate and for one that it does not accept.
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
