//! Writes results, and nothing else.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

use polyarch::run::{Failure, Phase};
use polyarch::text::{Json, Text};

use super::line::Line;
use super::style::Color;

/// The width of the terminal, in characters. `None` means that there is no terminal, or that its width is unknown.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Writes lines. A reader that is gone is not an error.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl Into<Line>>) -> Result<(), Failure> {
    let text: String = lines.into_iter().map(|line| line.into().render(Color::Off) + "\n").collect();
    write(text.as_bytes())
}

/// Whether [`lines`] writes `text` as it is.
pub(crate) fn is_printable(text: &str) -> bool {
    text.lines().all(|line| Line::from(line).render(Color::Off) == line)
}

/// Writes `bytes` of a manifest and nothing else, so that a program behind a pipe finds the manifest's digest. A
/// terminal gets the same values in visible characters.
pub(crate) fn exact(bytes: &[u8]) -> Result<(), Failure> {
    write(&as_shown(bytes))
}

/// Writes like [`exact`], and adds an end of line if there is none.
pub(crate) fn one_of_several(bytes: &[u8]) -> Result<(), Failure> {
    exact(bytes)?;
    if bytes.ends_with(b"\n") { Ok(()) } else { write(b"\n") }
}

fn as_shown(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !io::stdout().is_terminal() {
        return bytes.into();
    }
    let shown = Json::of(bytes).map_or_else(|| Text::lines(bytes).to_string(), |json| json.to_string());
    shown.into_bytes().into()
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_write("stdout", &error)),
        _ => Ok(()),
    }
}

/// Writes a JSON document, for people and programs.
pub(crate) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let document = Json::pretty(document).map_err(|error| cannot_write("stdout", &error.into()))?;
    document_line(&document)
}

/// Writes a JSON document and an end of line.
pub(crate) fn document_line(document: &Json) -> Result<(), Failure> {
    write(format!("{}\n", &**document).as_bytes())
}

/// The failure to write a result.
pub(crate) fn cannot_write(target: &str, error: &io::Error) -> Failure {
    Failure::new(Phase::Internal, format!("cannot write {target}: {error}").into(), None)
}
