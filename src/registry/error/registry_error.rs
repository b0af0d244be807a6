//! Why a registry did not carry out a request.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::answer::Answer;
use super::kind::{ErrorKind, Waiting};
use crate::aws::{EcrAction, EcrAnswer, EcrRefusal};
use crate::oci::refusal::is_of_immutable_tag;
use crate::oci::{RegistryHost, RepositoryPath};

/// A request that failed: the registry, the request and the reason.
///
/// No credential, no query and no user information of a URL is in it. Its text names the registry and the reason; the
/// request and the codes of the answer are for [`RegistryError::request`] and [`RegistryError::answer`], and for the log.
#[derive(Debug)]
pub struct RegistryError(pub(super) Box<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    host: RegistryHost,
    pub(in crate::registry) request: String,
    kind: ErrorKind,
    /// The number of attempts and their total time, if the registry throttled the request.
    tried: Option<(u32, Duration)>,
    pub(super) ecr: Option<EcrRequest>,
}

/// The request to an Amazon ECR registry.
#[derive(Debug)]
pub(in crate::registry) struct EcrRequest {
    pub(in crate::registry) repository: Option<RepositoryPath>,
    pub(in crate::registry) action: Option<EcrAction>,
}

impl RegistryError {
    /// `request` is `METHOD URL`, redacted.
    pub(in crate::registry) fn new(
        host: &RegistryHost,
        request: impl Into<String>,
        kind: impl Into<ErrorKind>,
    ) -> Self {
        let (host, request, kind) = (host.clone(), request.into(), kind.into());
        Self(Box::new(Inner { host, request, kind, tried: None, ecr: None }))
    }

    /// The same failure with another kind.
    pub(in crate::registry) fn map_kind(mut self, map: impl FnOnce(ErrorKind) -> ErrorKind) -> Self {
        self.0.kind = map(std::mem::replace(&mut self.0.kind, ErrorKind::Host));
        self
    }

    /// The same failure after this number of attempts in this time. Only throttled requests show these numbers.
    pub(in crate::registry) fn after(mut self, attempts: u32, within: Duration) -> Self {
        let is_throttled = matches!(self.kind(), ErrorKind::Status { status: 429, .. });
        self.0.tried = (is_throttled && attempts > 1).then_some((attempts, within));
        self
    }

    /// The same failure, of an Amazon ECR registry.
    pub(in crate::registry) fn of_ecr(mut self, asked: EcrRequest) -> Self {
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
        let is_named = matches!(self.0.kind, ErrorKind::TokenServer { .. } | ErrorKind::Target(_));
        let is_home = place == self.0.host.as_str() || place == self.0.host.api();
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
    pub(in crate::registry) fn is_of_head(&self) -> bool {
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
