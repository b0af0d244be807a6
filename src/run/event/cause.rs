//! The cause of a failure, for programs that decide by it.

use crate::aws::EcrRefusal;
use crate::ecr::{EcrError, EcrErrorKind};
use crate::engine::{EngineError, EngineErrorKind};
use crate::layout::LayoutError;
use crate::registry::{ErrorKind, RegistryError};
use crate::run::event::phase::Phase;

/// Why a run failed: the part that refused, and its reason. The message of the [`Failure`](super::events::Failure) has
/// the details in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The plan, a file that it names, or an argument of the run.
    Plan,
    /// A registry.
    Registry {
        /// The reason.
        reason: Reason,
        /// The HTTP status of the answer, if the registry answered.
        status: Option<u16>,
    },
    /// An image layout.
    Layout(Reason),
    /// An engine, or the registry that the engine pushed to or pulled from.
    Engine(Reason),
    /// The API of Amazon ECR.
    Ecr(Reason),
    /// The content of an image or an index: polyarch read it, and it is not as planned or not safe.
    Content,
    /// A time limit of the run expired.
    Timeout,
    /// The run was stopped.
    Cancelled,
    /// A fault of polyarch.
    Internal,
    /// Anything else. Later versions may have a name for it.
    Other,
}

/// Why a registry, a layout or an engine did not do a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing exists under the name.
    NotFound,
    /// The login is missing or refused, or it lacks a permission.
    Denied,
    /// polyarch cannot connect: name, address, proxy or certificate.
    Unreachable,
    /// The tag exists and cannot move.
    Immutable,
    /// There were too many requests. A later run may succeed.
    Throttled,
    /// The answer did not come in time.
    Timeout,
    /// polyarch does not trust the answer: it does not match its digest, or redirects to a forbidden address.
    Untrusted,
    /// A step of the Dockerfile failed.
    Build,
    /// Anything else. Later versions may have a name for it.
    Other,
}

impl Cause {
    /// The reason, if a registry, a layout, an engine or Amazon ECR did not do a request.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Registry { reason, .. } | Self::Layout(reason) | Self::Engine(reason) | Self::Ecr(reason) => {
                Some(reason)
            }
            Self::Plan | Self::Content | Self::Timeout | Self::Cancelled | Self::Internal | Self::Other => None,
        }
    }
}

/// The cause of a failure if polyarch itself finds that a registry does not move a tag.
pub(in crate::run) const IMMUTABLE: Cause = Cause::Registry { reason: Reason::Immutable, status: None };

impl From<Phase> for Cause {
    /// The usual cause of a failure in `phase`, if the failure has no other cause.
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Plan => Self::Plan,
            Phase::Verify => Self::Content,
            Phase::Timeout => Self::Timeout,
            Phase::Internal => Self::Internal,
            Phase::Preflight | Phase::Build | Phase::Push | Phase::Publish => Self::Other,
        }
    }
}

impl From<&RegistryError> for Cause {
    fn from(error: &RegistryError) -> Self {
        let status = error.answer().map(|(status, _)| status);
        let reason = match error.kind() {
            _ if error.is_immutable() => Reason::Immutable,
            _ if error.is_not_found() => Reason::NotFound,
            _ if status == Some(429) || error.ecr_refusal() == Some(EcrRefusal::TooOften) => Reason::Throttled,
            _ if error.is_denied() => Reason::Denied,
            _ if error.is_unreachable() => Reason::Unreachable,
            _ if error.is_refusal() => Reason::Untrusted,
            ErrorKind::Timeout { .. } => Reason::Timeout,
            _ => Reason::Other,
        };
        Self::Registry { reason, status }
    }
}

impl From<&LayoutError> for Cause {
    fn from(error: &LayoutError) -> Self {
        Self::Layout(match error {
            _ if error.is_not_found() => Reason::NotFound,
            _ if error.is_refusal() => Reason::Untrusted,
            LayoutError::File { error, .. } | LayoutError::Unread { error, .. }
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Reason::Denied
            }
            LayoutError::Locked(_) => Reason::Timeout,
            _ => Reason::Other,
        })
    }
}

impl From<&EngineError> for Cause {
    fn from(error: &EngineError) -> Self {
        Self::Engine(match &error.kind {
            EngineErrorKind::Context(_) => return Self::Plan,
            EngineErrorKind::WrongPlatform { .. } | EngineErrorKind::NoProof(_) => return Self::Content,
            EngineErrorKind::Connect(_) | EngineErrorKind::Lost(_) => Reason::Unreachable,
            EngineErrorKind::Timeout(_) | EngineErrorKind::Stalled(_) | EngineErrorKind::UploadStalled { .. } => {
                Reason::Timeout
            }
            EngineErrorKind::Refused { status: 404, .. } => Reason::NotFound,
            EngineErrorKind::Refused { status: 401 | 403, .. } | EngineErrorKind::Credentials(_) => Reason::Denied,
            EngineErrorKind::Build(_) => Reason::Build,
            EngineErrorKind::Push { .. } if error.is_immutable() => Reason::Immutable,
            EngineErrorKind::Push { .. } if error.is_throttled() => Reason::Throttled,
            EngineErrorKind::Push { .. } if error.may_be_expired_login() => Reason::Denied,
            _ => Reason::Other,
        })
    }
}

impl From<&EcrError> for Cause {
    fn from(error: &EcrError) -> Self {
        Self::Ecr(match &error.kind {
            EcrErrorKind::NoRepository => Reason::NotFound,
            EcrErrorKind::Denied { .. } | EcrErrorKind::CredentialsRefused(_) => Reason::Denied,
            _ if error.is_of_credentials() => Reason::Denied,
            EcrErrorKind::Throttled(_) => Reason::Throttled,
            EcrErrorKind::Unreachable(_) => Reason::Unreachable,
            EcrErrorKind::Timeout(_) => Reason::Timeout,
            _ => Reason::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(kind: EngineErrorKind) -> Cause {
        Cause::from(&EngineError { engine: "default".parse().unwrap(), operation: "push".into(), kind })
    }

    #[test]
    fn causes_of_engines_name_the_reason() {
        let push = |message: &str| engine(EngineErrorKind::Push { message: message.to_owned(), ecr: None });
        let refused = |status| engine(EngineErrorKind::Refused { status, message: String::new() });
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let reasons = [
            (push("the tag is immutable"), Reason::Immutable),
            (push("no basic auth credentials"), Reason::Denied),
            (push("unknown"), Reason::Other),
            (refused(404), Reason::NotFound),
            (refused(403), Reason::Denied),
            (engine(EngineErrorKind::Connect(io)), Reason::Unreachable),
            (engine(EngineErrorKind::Stalled(60)), Reason::Timeout),
        ];
        for (cause, reason) in reasons {
            assert_eq!(cause, Cause::Engine(reason));
        }
        assert_eq!(engine(EngineErrorKind::NoProof("no digest".into())), Cause::Content);
    }

    #[test]
    fn causes_of_layouts_and_aws_name_the_reason() {
        let layout = |error: &LayoutError| Cause::from(error).reason();
        assert_eq!(layout(&LayoutError::NoLayout("there".into())), Some(Reason::NotFound));
        assert_eq!(layout(&LayoutError::Twice), Some(Reason::Untrusted));
        assert_eq!(layout(&LayoutError::Ended), Some(Reason::Other));
        let ecr = |kind| Cause::from(&EcrError { doing: "log in".into(), kind }).reason();
        assert_eq!(ecr(EcrErrorKind::NoRepository), Some(Reason::NotFound));
        assert_eq!(ecr(EcrErrorKind::NoCredentials), Some(Reason::Denied));
        assert_eq!(ecr(EcrErrorKind::Unreachable("no route".into())), Some(Reason::Unreachable));
    }

    #[test]
    fn failure_without_a_cause_has_that_of_its_phase() {
        assert_eq!(Cause::from(Phase::Plan), Cause::Plan);
        assert_eq!(Cause::from(Phase::Push), Cause::Other);
        assert_eq!(Cause::from(Phase::Timeout).reason(), None);
    }
}
