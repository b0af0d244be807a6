//! Converts errors of the rooms below into failures of a phase.

use super::events::{FailedLines, Failure};
use super::misnamed::Misnamed;
use super::phase::Phase;
use crate::engine::{ASK_FOR_ITS_DIRECTORY, EngineError, EngineErrorKind, Excerpt, UNASKABLE};
use crate::registry::RegistryError;
use crate::text::Text;
pub(in crate::run) use crate::text::chain;

/// A failure of `phase`. The texts are sanitised.
pub(in crate::run) fn failure(phase: Phase, message: &str, hint: Option<String>) -> Failure {
    Failure::new(phase, message.into(), hint.map(Into::into))
}

/// Converts `error` into a failure of `phase`. Some kinds of errors always belong to another phase.
pub(in crate::run) fn of_engine(phase: Phase, error: &EngineError) -> Failure {
    let phase = match &error.kind {
        EngineErrorKind::Context(_) => Phase::Plan,
        EngineErrorKind::WrongPlatform { .. } => Phase::Verify,
        EngineErrorKind::Push { .. } => Phase::Push,
        _ => phase,
    };
    // An engine has no part in a fault of the context, so the message does not name the engine.
    let message = match &error.kind {
        EngineErrorKind::Context(context) => chain(context.as_ref()),
        _ => chain(error),
    };
    failure(phase, &message, error.hint()).because(error)
}

/// The failure of a build. `file` is the name of the Dockerfile, and `read` reads it.
pub(in crate::run) fn of_build(file: Text, read: impl FnOnce() -> Option<Vec<u8>>, error: &EngineError) -> Failure {
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
    // The display prints the platform before the message and the step after it. The message adds only the engine.
    let message = format!("engine {}: {}", error.engine, fault.beside_its_step()).into();
    Failure { message, source, ..failure }
}

/// Converts an excerpt of `file` into the lines of a failure.
pub(in crate::run) fn lines_of(file: Text, excerpt: &Excerpt) -> FailedLines {
    let (line, end_line) = excerpt.marked;
    let text = excerpt.lines.iter().map(Text::line).collect();
    FailedLines { file, line, end_line, first: excerpt.first, text }
}

/// Converts `error` into a failure of `phase`, or of `Verify` if polyarch refused the answer.
pub(in crate::run) fn of_registry(phase: Phase, doing: &str, error: &RegistryError) -> Failure {
    let phase = if error.is_refusal() { Phase::Verify } else { phase };
    failure(phase, &format!("cannot {doing}: {}", chain(error)), error.hint()).because(error)
}
