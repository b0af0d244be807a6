//! Results, and nothing else.

use std::io::{self, ErrorKind, Write};

use polyarch::run::{Failure, Phase};

/// How wide the terminal is, in characters; `None`: it is none, or does not say.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Writes `bytes` and an end of line, if they have none. A reader that has gone is no error.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes, if bytes.ends_with(b"\n") { b"" } else { b"\n" })
}

/// Writes `bytes` and nothing else, so that what they are piped to finds their digest.
pub(crate) fn exact(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes, b"")
}

fn write(bytes: &[u8], end: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_write("stdout", &error)),
        _ => Ok(()),
    }
}

/// Writes a JSON document, for people and programs.
pub(crate) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let encoded = serde_json::to_vec_pretty(document).map_err(|error| cannot_write("stdout", &error.into()))?;
    bytes(&encoded)
}

/// A result that could not be written.
pub(crate) fn cannot_write(what: &str, error: &io::Error) -> Failure {
    Failure { phase: Phase::Internal, message: format!("cannot write {what}: {error}"), hint: None }
}
