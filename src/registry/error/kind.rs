//! The reasons why a request failed.

use std::fmt;
use std::time::Duration;

use super::answer::Answer;
use super::cause::Cause;
use super::target::TargetError;
use crate::auth::AuthError;
use crate::oci::{Digest, ManifestError};

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
    pub(in crate::registry) fn through(self, proxy: Option<String>) -> Self {
        match (self, proxy) {
            (Self::Connect(cause) | Self::Dns(cause), Some(proxy)) if cause.is_of_proxy_login() => {
                Self::ProxyLogin { proxy }
            }
            (Self::Connect(source) | Self::Dns(source), Some(proxy)) => Self::Proxy { proxy, source },
            (kind, _) => kind,
        }
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

/// A wait as a text for people, never shorter than the real wait.
pub(super) fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_wait_is_shown_in_hours_and_days() {
        let said = [0, 119, 120, 121, 7199, 7200, 86400, 172_800].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(said, ["0 s", "119 s", "2 min", "3 min", "120 min", "2 h", "24 h", "2 days"]);
        assert_eq!(in_words(Duration::from_millis(1500)), "2 s");
    }
}
