//! What can go wrong with an engine: which engine, in which operation, why.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::fault::BuildFault;
use crate::auth::AuthError;
use crate::context::ContextError;
use crate::oci::fixed::is_of_fixed_tag;
use crate::oci::spent::is_of_spent_token;
use crate::oci::{Digest, EcrRefusal, Platform, Provider, Reference, Repository, TagRef};
use crate::plan::EngineName;

/// An operation on an engine failed.
#[derive(Debug, thiserror::Error)]
#[error("engine {engine}: {operation}")]
pub struct EngineError {
    /// Which engine.
    pub engine: EngineName,
    /// What was being done: `connect to unix:///…`, `build linux/arm64`.
    pub operation: String,
    /// Why it failed.
    #[source]
    pub kind: EngineErrorKind,
}

/// Why an operation on an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineErrorKind {
    /// The engine cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The engine did not answer within the limit, in seconds.
    #[error("no answer within {0} s")]
    Timeout(u64),
    /// The connection ended in the middle of something.
    #[error("the connection to the engine was lost: {0}")]
    Lost(String),
    /// What answers has no BuildKit that we can drive.
    #[error("it has no BuildKit: {0}")]
    NoBuildKit(String),
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
    /// The image was built, and its cache could not be exported: BuildKit's message.
    #[error("the cache was not exported to {to}: {message}")]
    CacheExport {
        /// Where it was to go.
        to: CacheTarget,
        /// BuildKit's message, without its prefixes.
        message: String,
    },
    /// The build context could not be read.
    #[error(transparent)]
    Context(Arc<ContextError>),
    /// Solve answered, but not with the image that was asked for.
    #[error("the build ended without proof of an image: {0}")]
    NoProof(String),
    /// The image on the engine is of another platform.
    #[error("the engine built {actual}, planned is {planned} ({id})")]
    WrongPlatform {
        /// The planned platform.
        planned: Platform,
        /// What inspecting the image shows.
        actual: String,
        /// The image.
        id: Digest,
    },
    /// The push failed.
    #[error("{message}")]
    Push {
        /// The engine's message.
        message: String,
        /// Where it was to go, if that is Amazon ECR.
        ecr: Option<Repository>,
    },
    /// A pull failed: the engine's message.
    #[error("{0}")]
    Pull(String),
    /// No credentials could be had for the registry that is pushed to.
    #[error(transparent)]
    Credentials(Arc<AuthError>),
    /// The engine stopped reading the context.
    #[error("it took nothing of the context for {seconds} s, after {bytes} bytes of files")]
    UploadStalled {
        /// Bytes of files that it took before.
        bytes: u64,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Another build gave an image this name at the same moment, and this one could not.
    #[error("another build names {0} at the same moment")]
    NameTaken(TagRef),
    /// A name on the engine does not show what it was given to.
    #[error("{0}")]
    NotNamed(String),
    /// Nothing was heard of a push for the limit, in seconds.
    #[error("no progress for {0} s")]
    Stalled(u64),
}

impl EngineErrorKind {
    /// The same failure, of a push to `repository`, which is in a registry of `provider`.
    pub(super) fn pushing_to(self, repository: &Repository, provider: Provider) -> Self {
        match (self, provider) {
            (Self::Push { message, .. }, Provider::Ecr) => Self::Push { message, ecr: Some(repository.clone()) },
            (kind, _) => kind,
        }
    }
}

/// Where a cache is exported to, apart from its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// A registry.
    Registry(Reference),
    /// A directory of this machine.
    Directory(PathBuf),
}

impl fmt::Display for CacheTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

impl EngineError {
    /// Whether nobody listened where the registry should be, or the listener went away in the middle, by the engine's
    /// words. A registry that one process holds after the other is then changing hands.
    #[must_use]
    pub fn is_registry_away(&self) -> bool {
        match &self.kind {
            EngineErrorKind::Push { message, .. } | EngineErrorKind::Refused { message, .. } => {
                AWAY.iter().any(|words| message.contains(words))
            }
            _ => false,
        }
    }

    /// Whether a push may pass when it is made once more, by the registry's words that the engine passes on. The registry
    /// is too busy to answer, or another push gives it the same layers or the same tag at the moment: docker-registry
    /// 2.8 then does not find a layer, or answers 500. The engine sends layers that arrived no second time.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let EngineErrorKind::Push { message, .. } = &self.kind else { return false };
        MAY_PASS.iter().any(|words| message.contains(words))
    }

    /// Whether an image could not be named or found by its name. The engine's words are those that show while somebody
    /// else names images. Engines take a name away before they give it anew.
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

    /// Whether a push failed because the tag is there and may not move, by the words of the registry that the engine
    /// passes on.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        matches!(&self.kind, EngineErrorKind::Push { message, .. } if is_of_fixed_tag(message))
    }

    /// Whether a push failed because the registry did not take the login, which may have expired meanwhile: by the words of
    /// registries, and by those of an engine that was challenged anew. Of ECR also where engines keep those words to themselves.
    #[must_use]
    pub fn may_be_expired_login(&self) -> bool {
        let EngineErrorKind::Push { message, ecr } = &self.kind else { return false };
        let says = |words| message.contains(words);
        let of_ecr = || EcrRefusal::read_pushed(message).is_some_and(|refusal| refusal.may_be_login());
        is_of_spent_token(message) || says("no basic auth credentials") || ecr.is_some() && of_ecr()
    }

    /// Whether a push failed because Amazon ECR is asked too often: a moment later it may pass.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let EngineErrorKind::Push { message, ecr: Some(_) } = &self.kind else { return false };
        EcrRefusal::read_pushed(message) == Some(EcrRefusal::TooOften)
    }

    /// What to do next, in one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.kind {
            EngineErrorKind::Connect(error) => Some(connect_hint(error.kind())),
            EngineErrorKind::Timeout(_) => Some("is the engine overloaded or stopped? `docker version` shows".into()),
            EngineErrorKind::Lost(_) => {
                Some("the engine stopped or was restarted; its log says why; run again when it is up".into())
            }
            EngineErrorKind::NoBuildKit(_) => Some("Docker Engine 18.09 or newer is needed (API 1.39)".into()),
            EngineErrorKind::Build(fault) => fault.hint(),
            EngineErrorKind::Context(error) => Some(error.hint().into()),
            EngineErrorKind::Credentials(error) => Some(error.hint()),
            EngineErrorKind::WrongPlatform { .. } => Some(
                "a `FROM --platform=…` in the Dockerfile pins the base image's platform; nothing was pushed".into(),
            ),
            EngineErrorKind::NoProof(_) => Some("nothing was pushed; the engine's log may say more".into()),
            EngineErrorKind::UploadStalled { .. } => {
                Some("is the engine's disk full, or the way to it broken? its log may say more".into())
            }
            EngineErrorKind::CacheExport { to: CacheTarget::Directory(_), .. } => Some(
                "nothing was pushed; is it a directory that you may write, with room on its disk? `cache` in the plan names it".into(),
            ),
            EngineErrorKind::CacheExport { message, .. } => Some(push_hint(message).unwrap_or_else(|| {
                "nothing was pushed; does the registry take caches there? `cache` in the plan says where it goes".into()
            })),
            EngineErrorKind::Push { message, ecr } => {
                let refused = ecr.as_ref().and_then(|to| {
                    Some(EcrRefusal::read_pushed(message)?.hint(to.host(), Some(to.path())))
                });
                refused.or_else(|| push_hint(message))
            }
            EngineErrorKind::Pull(message) => pull_hint(message),
            EngineErrorKind::Stalled(_) => Some("is the registry reachable from the engine's host?".into()),
            EngineErrorKind::Refused { message, .. } if message.trim().is_empty() => {
                Some("is it a Docker Engine, and not a proxy, that listens there?".into())
            }
            EngineErrorKind::NotNamed(_) | EngineErrorKind::NameTaken(_) => {
                Some("does something else change images on the engine meanwhile? run again".into())
            }
            EngineErrorKind::Refused { .. } => None,
        }
    }
}

/// The engine's words; where it has none, something else may have answered.
fn refusal(status: u16, message: &str) -> String {
    if message.trim().is_empty() {
        format!("it answered with status {status} and said nothing")
    } else {
        message.into()
    }
}

fn connect_hint(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "is Docker running? DOCKER_HOST, `docker context use` or `engines:` in the plan name another engine".into()
        }
        io::ErrorKind::PermissionDenied => {
            "you may not use this socket: join its group (often `docker`), or use sudo".into()
        }
        _ => "DOCKER_HOST, `docker context use` or `engines:` in the plan name another engine".into(),
    }
}

/// The architectures that `tonistiigi/binfmt` has emulators of (its README).
const EMULATED: [&str; 10] =
    ["amd64", "386", "arm64", "arm", "riscv64", "s390x", "ppc64le", "mips64", "mips64le", "loong64"];

/// What helps where an engine on `own` cannot run programs of `platform`.
pub(super) fn emulation_hint(own: &Platform, platform: &Platform) -> String {
    if own.os() != platform.os() {
        return format!("the engine runs {} programs alone: build {platform} on another engine", own.os());
    }
    if own.architecture() == platform.architecture() {
        return format!("the engine does not list {platform}: use a newer engine, or one with a newer processor");
    }
    if !EMULATED.contains(&platform.architecture()) {
        return format!("no emulator of {platform} is known: build it on an engine on such a processor");
    }
    binfmt_hint(platform)
}

/// How to make a kernel run programs of another architecture.
pub(super) fn binfmt_hint(platform: &Platform) -> String {
    format!(
        "the engine's host cannot run {platform} programs: install emulation there with \
         `apt-get install qemu-user-static binfmt-support`, or \
         `docker run --privileged --rm tonistiigi/binfmt --install {}`",
        platform.architecture()
    )
}

/// The words of a registry that is busy, or that another push gives the same content at the moment.
const MAY_PASS: &[&str] = &[
    "blob unknown to registry",
    "digest invalid",
    "digest did not match",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "429 Too Many Requests",
    // distribution, `registry/client/errors.go`: the answer has no document.
    "HTTP 429",
    "toomanyrequests",
    "connection reset by peer",
    "unexpected EOF",
];

/// The words of an engine about a registry whose connections ended; most are those of Go's net/http. The last ones are
/// about an upload that began at another registry than the one that answers (distribution-spec, `BLOB_UPLOAD_UNKNOWN`).
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

/// What keeps an engine from pushing keeps it from pulling; and there is an account that may only push elsewhere.
fn pull_hint(message: &str) -> Option<String> {
    push_hint(message).map(|hint| hint.replace("may push to", "may pull from"))
}

fn push_hint(message: &str) -> Option<String> {
    if is_of_fixed_tag(message) {
        return Some("the registry keeps this tag as it is: publish under another tag".into());
    }
    let message = message.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if any(&["no basic auth", "unauthorized", "authentication required", "denied"]) {
        return Some("log in with `docker login`, with an account that may push to this repository".into());
    }
    if any(&["http: server gave http response to https client", "x509", "certificate"]) {
        return Some("the engine must trust this registry: its CA in /etc/docker/certs.d, or `insecure-registries` of its daemon.json".into());
    }
    if any(&["connection refused", "no such host", "i/o timeout", "no route to host"]) {
        return Some("the engine cannot reach the registry from its host; run again when it can".into());
    }
    if any(&["no space left", "507 insufficient storage"]) {
        return Some("the registry's disk is full".into());
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
    fn a_refusal_without_words_says_its_status() {
        let error = error(EngineErrorKind::Refused { status: 403, message: String::new() });
        assert_eq!(error.kind.to_string(), "it answered with status 403 and said nothing");
        assert!(error.hint().is_some());
    }
}
