//! Errors of the rooms below, as failures of a phase.

use super::event::{Failure, Phase};
use super::place::PlaceError;
use crate::engine::{EngineError, EngineErrorKind};
use crate::registry::RegistryError;

/// An error and what caused it, in one line; a cause that its effect quotes already is not repeated.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A failure of `phase`, with safe texts.
pub(super) fn failure(phase: Phase, message: &str, hint: Option<String>) -> Failure {
    Failure { phase, message: message.into(), hint: hint.map(Into::into) }
}

/// What `error` is in `phase`, unless it belongs to another one by its nature.
pub(super) fn of_engine(phase: Phase, error: &EngineError) -> Failure {
    let phase = match &error.kind {
        EngineErrorKind::Context(_) => Phase::Plan,
        EngineErrorKind::WrongPlatform { .. } => Phase::Verify,
        EngineErrorKind::Push { .. } => Phase::Push,
        _ => phase,
    };
    // A fault of the context is the user's: no engine has to do with it.
    let message = match &error.kind {
        EngineErrorKind::Context(context) => chain(context.as_ref()),
        _ => chain(error),
    };
    failure(phase, &message, error.hint())
}

/// What `error` is in `phase`, unless the registry's answer was a refusal of ours.
pub(super) fn of_registry(phase: Phase, doing: &str, error: &RegistryError) -> Failure {
    let phase = if error.is_refusal() { Phase::Verify } else { phase };
    failure(phase, &format!("{doing}: {}", chain(error)), error.hint())
}

/// What `error` is in `phase`, unless it is a refusal of ours.
pub(super) fn of_place(phase: Phase, doing: &str, error: &PlaceError) -> Failure {
    let phase = if error.is_refusal() { Phase::Verify } else { phase };
    failure(phase, &format!("{doing}: {}", chain(error)), error.hint())
}
