//! Errors of the rooms below, as failures of a phase.

use super::event::{FailedLines, Failure, Phase};
use super::misnamed::Misnamed;
use super::place::PlaceError;
use crate::engine::{ASK_FOR_ITS_DIRECTORY, EngineError, EngineErrorKind, Excerpt, UNASKABLE};
use crate::registry::RegistryError;
use crate::text::Text;

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
    Failure { phase, message: message.into(), hint: hint.map(Into::into), source: None }
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

/// A build of a Dockerfile that failed: `file` is its name, `read` reads it.
pub(super) fn of_build(file: Text, read: impl FnOnce() -> Option<Vec<u8>>, error: &EngineError) -> Failure {
    let failure = of_engine(Phase::Build, error);
    let EngineErrorKind::Build(fault) = &error.kind else { return failure };
    let text = read();
    if let Some(excerpt) =
        text.as_ref().filter(|_| fault.may_be_of_a_name()).and_then(|text| Excerpt::of_control_characters(text))
    {
        let (message, hint) = (format!("engine {}: {UNASKABLE}", error.engine), ASK_FOR_ITS_DIRECTORY);
        let source = Some(Box::new(lines_of(file, &excerpt)));
        return Failure { message: message.into(), hint: Some(hint.into()), source, ..failure };
    }
    let misnamed = text.as_ref().and_then(|text| Misnamed::of(&fault.message, text));
    let hint = misnamed.as_ref().map(|misnamed| misnamed.hint.as_str().into()).or_else(|| failure.hint.clone());
    let failure = Failure { hint, ..failure };
    let of_step = || Excerpt::of_step(text.as_ref()?, fault.step.as_ref()?);
    let of_name = || misnamed.and_then(|Misnamed { lines, .. }| Excerpt::of_lines(text.as_ref()?, lines.0, lines.1));
    let Some(excerpt) = fault.at.clone().or_else(of_step).or_else(of_name) else { return failure };
    let source = Some(Box::new(lines_of(file, &excerpt)));
    // The platform stands before the message, and the step below it: the engine is all that is missing.
    let message = format!("engine {}: {}", error.engine, fault.beside_its_step()).into();
    Failure { message, source, ..failure }
}

/// Lines of `file`, as a failure shows them.
pub(super) fn lines_of(file: Text, excerpt: &Excerpt) -> FailedLines {
    let (line, end_line) = excerpt.marked;
    let text = excerpt.lines.iter().map(Text::line).collect();
    FailedLines { file, line, end_line, first: excerpt.first, text }
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
