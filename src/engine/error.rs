//! Errors of engines: the engine, the operation and the reason.

use std::io;
use std::sync::Arc;

use crate::auth::AuthError;
use crate::aws::{EcrRefusal, Provider};
use crate::buildkit::{BuildFault, BuildKitError, CacheTarget};
use crate::connect::ConnectError;
use crate::context::ContextError;
use crate::oci::refusal::is_of_expired_token;
use crate::oci::refusal::is_of_immutable_tag;
use crate::oci::{Digest, Platform, Repository, TagRef};
use crate::plan::EngineName;

/// An operation on an engine failed.
#[derive(Debug, thiserror::Error)]
#[error("engine {engine}: cannot {operation}")]
pub struct EngineError {
    /// The engine.
    pub engine: EngineName,
    /// The operation: `connect to unix:///…`, `build linux/arm64`.
    pub operation: String,
    /// The reason.
    #[source]
    pub kind: EngineErrorKind,
}

/// Why an operation on an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineErrorKind {
    /// polyarch cannot reach the engine.
    #[error(transparent)]
    Connect(io::Error),
    /// The engine did not answer within the limit, in seconds.
    #[error("the engine did not answer within {0} s")]
    Timeout(u64),
    /// The connection ended in the middle of an operation.
    #[error("the connection to the engine was lost: {0}")]
    Lost(String),
    /// The other end has no BuildKit that polyarch can use.
    #[error("the engine has no BuildKit: {0}")]
    NoBuildKit(String),
    /// No BuildKit answers at the address.
    #[error("no BuildKit answers: {0}")]
    NotBuildKit(String),
    /// The builder is the BuildKit of a Docker Engine with a graph driver. It cannot push.
    #[error("the builder belongs to a Docker Engine with a graph driver, and cannot push")]
    GraphDriver,
    /// BuildKit without a Docker Engine keeps no images.
    #[error("BuildKit without a Docker Engine keeps no images")]
    NoImages,
    /// The engine refused a request.
    #[error("{}", refusal(*status, message))]
    Refused {
        /// The HTTP status code.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// The build failed.
    #[error("{}", .0.message)]
    Build(Box<BuildFault>),
    /// The engine built the image, but could not export its cache.
    #[error("the engine could not export the cache to {to}: {message}")]
    CacheExport {
        /// The place for the cache.
        to: CacheTarget,
        /// BuildKit's message, without its prefixes.
        message: String,
    },
    /// polyarch could not read the build context.
    #[error(transparent)]
    Context(Arc<ContextError>),
    /// Solve answered, but without the requested image.
    #[error("polyarch cannot identify the image: {0}")]
    NoProof(String),
    /// The image on the engine is of another platform.
    #[error("the engine built {actual}, but the plan asks for {planned} (image {id})")]
    WrongPlatform {
        /// The planned platform.
        planned: Platform,
        /// The platform that the engine shows for the image.
        actual: String,
        /// The image.
        id: Digest,
    },
    /// The push failed.
    #[error("{message}")]
    Push {
        /// The engine's message.
        message: String,
        /// The target of the push, if it is in Amazon ECR.
        ecr: Option<Repository>,
    },
    /// A pull failed: the engine's message.
    #[error("{0}")]
    Pull(String),
    /// polyarch could not get credentials for the target registry.
    #[error(transparent)]
    Credentials(Arc<AuthError>),
    /// The engine stopped reading the context.
    #[error("the engine read nothing of the build context for {seconds} s, after {bytes} bytes of files")]
    UploadStalled {
        /// The bytes of files that the engine read before.
        bytes: u64,
        /// The time without progress, in seconds.
        seconds: u64,
    },
    /// Another build gave this name to an image at the same time, so this build could not.
    #[error("another build gives the name {0} to its image at the same time")]
    NameTaken(TagRef),
    /// A name on the engine does not show the image that it was given to.
    #[error("{0}")]
    NotNamed(String),
    /// The engine reported nothing about a push for the time limit, in seconds.
    #[error("the engine reported no progress for {0} s")]
    Stalled(u64),
}

impl EngineErrorKind {
    /// The same failure, of a push to `repository` in a registry of `provider`.
    pub(super) fn pushing_to(self, repository: &Repository, provider: Provider) -> Self {
        match (self, provider) {
            (Self::Push { message, .. }, Provider::Ecr) => Self::Push { message, ecr: Some(repository.clone()) },
            (kind, _) => kind,
        }
    }
}

impl From<BuildKitError> for EngineErrorKind {
    fn from(error: BuildKitError) -> Self {
        match error {
            BuildKitError::Absent(why) => Self::NoBuildKit(why),
            BuildKitError::Lost(why) => Self::Lost(why),
            BuildKitError::Build(fault) => Self::Build(fault),
            BuildKitError::CacheExport { to, message } => Self::CacheExport { to, message },
            BuildKitError::Context(error) => Self::Context(error),
            BuildKitError::Credentials(error) => Self::Credentials(error),
            BuildKitError::NoProof(why) => Self::NoProof(why),
            BuildKitError::Push(message) => Self::Push { message, ecr: None },
            BuildKitError::UploadStalled { bytes, seconds } => Self::UploadStalled { bytes, seconds },
            BuildKitError::NameTaken(name) => Self::NameTaken(name),
        }
    }
}

impl EngineError {
    /// Whether the engine reports that no registry listens at the address, or that the listener went away. This happens
    /// while one process takes over the registry from another.
    #[must_use]
    pub fn is_registry_away(&self) -> bool {
        match &self.kind {
            EngineErrorKind::Push { message, .. } | EngineErrorKind::Refused { message, .. } => {
                AWAY.iter().any(|words| message.contains(words))
            }
            _ => false,
        }
    }

    /// Whether a second push may succeed, by the registry's message that the engine passes on. The registry may be too
    /// busy. Or another push sends it the same layers or the same tag at the same time. docker-registry 2.8 then does
    /// not find a layer, or answers 500. The engine does not send layers again that arrived.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let EngineErrorKind::Push { message, .. } = &self.kind else { return false };
        MAY_PASS.iter().any(|words| message.contains(words))
    }

    /// Whether polyarch could not name an image or find it by its name. Engines print these messages while another
    /// program names images, because they remove a name before they assign it again.
    #[must_use]
    pub fn is_of_another_naming(&self) -> bool {
        match &self.kind {
            EngineErrorKind::NameTaken(_) | EngineErrorKind::NotNamed(_) => true,
            EngineErrorKind::Refused { status, message } => *status == 404 || message.contains("already exists"),
            // moby, `daemon/containerd/image_push.go` and `distribution/push.go`.
            EngineErrorKind::Push { message, .. } => {
                let says = |words| message.contains(words);
                says("No such image") || says("tag does not exist") || says("does not exist locally")
            }
            _ => false,
        }
    }

    /// Whether a push failed because the tag exists and cannot move, by the registry's message that the engine passes
    /// on.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        matches!(&self.kind, EngineErrorKind::Push { message, .. } if is_of_immutable_tag(message))
    }

    /// Whether a push failed because the registry refused the login, which may have expired during the push. The
    /// messages are those of registries, or of an engine that got a new challenge. Some engines hide ECR's message, so
    /// for ECR this accepts their own messages, too.
    #[must_use]
    pub fn may_be_expired_login(&self) -> bool {
        let EngineErrorKind::Push { message, ecr } = &self.kind else { return false };
        let says = |words| message.contains(words);
        let of_ecr = || EcrRefusal::read_pushed(message).is_some_and(|refusal| refusal.may_be_login());
        is_of_expired_token(message) || says("no basic auth credentials") || ecr.is_some() && of_ecr()
    }

    /// Whether a push failed because Amazon ECR throttles the requests. A later push may succeed.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let EngineErrorKind::Push { message, ecr: Some(_) } = &self.kind else { return false };
        EcrRefusal::read_pushed(message) == Some(EcrRefusal::TooOften)
    }

    /// The next step for the user, in one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.kind {
            EngineErrorKind::Connect(error) => {
                Some(ConnectError::hint_of(error).map_or_else(|| connect_hint(error.kind()), str::to_owned))
            }
            EngineErrorKind::Timeout(_) => {
                Some("run `docker version` to see whether the engine is overloaded or stopped".into())
            }
            EngineErrorKind::Lost(_) => {
                Some("read the engine's log to see why the engine stopped or restarted, then run this again".into())
            }
            EngineErrorKind::NoBuildKit(_) => Some("use Docker Engine 18.09 or newer (API 1.39)".into()),
            EngineErrorKind::NotBuildKit(_) => Some("name the address that buildkitd listens on".into()),
            EngineErrorKind::GraphDriver => {
                Some("name the engine itself: `host: unix:///var/run/docker.sock` in place of `builder:`".into())
            }
            EngineErrorKind::NoImages => Some("use a Docker Engine for this: `host:` in place of `buildkit:`".into()),
            EngineErrorKind::Build(fault) => fault.hint(),
            EngineErrorKind::Context(error) => Some(error.hint().into()),
            EngineErrorKind::Credentials(error) => Some(error.hint()),
            EngineErrorKind::WrongPlatform { .. } => Some(
                "remove `--platform` from `FROM --platform=…` in the Dockerfile: it pins the base image's platform; \
                 nothing was pushed"
                    .into(),
            ),
            EngineErrorKind::NoProof(_) => Some("read the engine's log; nothing was pushed".into()),
            EngineErrorKind::UploadStalled { .. } => {
                Some("check the engine's disk and the network to the engine, and read the engine's log".into())
            }
            EngineErrorKind::CacheExport { to: CacheTarget::Directory(_), .. } => Some(
                "check that `cache` in the plan names a directory that you may write, on a disk with free space; \
                 nothing was pushed"
                    .into(),
            ),
            EngineErrorKind::CacheExport { message, .. } => Some(push_hint(message).unwrap_or_else(|| {
                "check that the registry accepts a cache at the place that `cache` in the plan names; nothing was pushed".into()
            })),
            EngineErrorKind::Push { message, ecr } => {
                let refused = ecr
                    .as_ref()
                    .and_then(|to| Some(EcrRefusal::read_pushed(message)?.hint(to.host(), Some(to.path()))));
                let is_read_only = message.to_ascii_lowercase().contains("method not allowed");
                let read_only =
                    "push to another registry, or let this one take pushes: a read-only registry answers so";
                refused.or_else(|| push_hint(message)).or_else(|| is_read_only.then(|| read_only.into()))
            }
            EngineErrorKind::Pull(message) => pull_hint(message),
            EngineErrorKind::Stalled(_) => Some("check that the engine's host can reach the registry".into()),
            EngineErrorKind::Refused { message, .. } if message.trim().is_empty() => {
                Some("check that a Docker Engine answers at this address, not a proxy".into())
            }
            // Go's net/http, `server.go`: the answer of a server with TLS to a request without TLS.
            EngineErrorKind::Refused { message, .. } if message.contains("to an HTTPS server") => {
                Some("use TLS: add `tls:` to the engine in the plan, or set DOCKER_TLS_VERIFY=1".into())
            }
            EngineErrorKind::NotNamed(_) | EngineErrorKind::NameTaken(_) => {
                Some("run this again; another program may change images on the engine at the same time".into())
            }
            EngineErrorKind::Refused { .. } => None,
        }
    }
}

/// The engine's message. Without a message, another program may have answered.
fn refusal(status: u16, message: &str) -> String {
    if message.trim().is_empty() {
        format!("the engine answered with status {status} and no message")
    } else {
        message.into()
    }
}

fn connect_hint(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "start Docker, or name another engine: DOCKER_HOST, `docker context use` or `engines:` in the plan".into()
        }
        io::ErrorKind::PermissionDenied => {
            "add your user to the socket's group (often `docker`), or use sudo: you lack permission for this socket"
                .into()
        }
        _ => "name another engine: DOCKER_HOST, `docker context use` or `engines:` in the plan".into(),
    }
}

/// Messages of a registry that is busy, or that gets the same content from another push at the same time.
const MAY_PASS: &[&str] = &[
    "blob unknown to registry",
    "digest invalid",
    "digest did not match",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "429 Too Many Requests",
    // distribution, `registry/client/errors.go`: an answer without a document.
    "HTTP 429",
    "toomanyrequests",
    "connection reset by peer",
    "unexpected EOF",
];

/// Messages of an engine about a registry that closed its connections. Most come from Go's net/http. The last three
/// concern an upload that began at another registry than the one that answers (distribution-spec,
/// `BLOB_UPLOAD_UNKNOWN`).
const AWAY: &[&str] = &[
    "connection refused",
    "EOF",
    "connection reset by peer",
    "broken pipe",
    "server closed idle connection",
    "use of closed network connection",
    "transport connection broken",
    "blob upload unknown",
    "there is no such upload",
    "404 Not Found",
];

/// The hints for a push also fit a pull. Only the permission has another name.
fn pull_hint(message: &str) -> Option<String> {
    push_hint(message).map(|hint| hint.replace("may push to", "may pull from"))
}

fn push_hint(message: &str) -> Option<String> {
    if is_of_immutable_tag(message) {
        return Some("publish under another tag: the registry does not move this tag".into());
    }
    let message = message.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if any(&["no basic auth", "unauthorized", "authentication required", "denied"]) {
        return Some("log in with `docker login` as a user that may push to this repository".into());
    }
    if any(&["http: server gave http response to https client", "x509", "certificate"]) {
        return Some(
            "make the engine trust this registry: copy its CA into /etc/docker/certs.d, or add the registry to \
             `insecure-registries` in the engine's daemon.json"
                .into(),
        );
    }
    if any(&["connection refused", "no such host", "i/o timeout", "no route to host"]) {
        return Some("check that the engine's host can reach the registry, then run this again".into());
    }
    if any(&["no space left", "507 insufficient storage"]) {
        return Some("free space on the registry's disk".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: EngineErrorKind) -> EngineError {
        EngineError { engine: "default".parse().unwrap(), operation: "connect".into(), kind }
    }

    #[test]
    fn refusal_without_a_message_shows_its_status() {
        let error = error(EngineErrorKind::Refused { status: 403, message: String::new() });
        assert_eq!(error.kind.to_string(), "the engine answered with status 403 and no message");
        assert!(error.hint().is_some());
    }
}
