//! Everything but results.

use std::io::Write;

use polyarch::run::Failure;

use super::diagnostic;
use super::output::Color;

/// One piece of text. Nobody who could be told is left where stderr is closed.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// `error: …`, `hint: …`.
pub(crate) fn failure(failure: &Failure, color: Color) {
    line(&diagnostic::message(&failure.message, failure.hint.as_deref(), color));
}
