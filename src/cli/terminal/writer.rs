//! Writes lines for a reader that may be slow or gone.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use polyarch::run::FailedLines;
use polyarch::text::{Json, Text};

use super::line::Line;
use super::style::Color;

/// A writer whose reader may go away: after the first error the writer writes nothing more.
#[derive(Debug)]
pub(crate) struct Lines<W> {
    out: Option<W>,
}

impl<W: Write> Lines<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: Some(out) }
    }

    pub(crate) fn line(&mut self, line: &Line, color: Color) {
        self.write(&line.render(color));
    }

    /// One document on one line.
    pub(crate) fn json(&mut self, document: &Json) {
        self.write(document);
    }

    /// Opens a group of GitHub Actions. The command is polyarch's own; the `heading` is never a command.
    pub(crate) fn group(&mut self, heading: &Line) {
        self.write(&format!("::group::{}", heading.render(Color::Off)));
    }

    /// Marks lines of a file as failed, where GitHub shows a change (GitHub, "Workflow commands": setting an error
    /// message).
    pub(crate) fn annotation(&mut self, file: &str, at: &FailedLines, message: &str) {
        let (line, end) = (at.line, at.end_line);
        let (file, message) = (property(file), data(message));
        self.write(&format!("::error file={file},line={line},endLine={end}::{message}"));
    }

    /// Closes the group.
    pub(crate) fn end_group(&mut self) {
        self.write("::endgroup::");
    }

    /// Writes a picture for a terminal, which a display composed of rendered lines and of moves of the cursor.
    pub(crate) fn picture(&mut self, picture: &str) {
        self.write_whole(picture);
    }

    /// Writes one line in one call, so that lines of several processes do not mix.
    fn write(&mut self, line: &str) {
        self.write_whole(&format!("{line}\n"));
    }

    fn write_whole(&mut self, text: &str) {
        let written = self.out.as_mut().map(|out| out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        if matches!(written, Some(Err(_))) {
            self.out = None;
        }
    }
}

/// The number of bytes that a reader took so far. It shows whether the reader is slow or does not read at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<AtomicU64>);

impl Pace {
    /// Waits until everything is written. The wait ends earlier if the reader takes nothing for `stalled`, and after
    /// about `most` in all.
    pub(crate) fn wait(&self, ended: &Receiver<()>, stalled: Duration, most: Duration) {
        let began = Instant::now();
        let mut taken = self.bytes();
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(stalled) {
            let now = self.bytes();
            if now == taken || began.elapsed() >= most {
                break;
            }
            taken = now;
        }
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A writer that counts the bytes that its reader takes. It writes in pieces that a pipe takes whole.
#[derive(Debug)]
pub(crate) struct Paced<W> {
    out: W,
    pace: Pace,
}

/// `PIPE_BUF` of Linux.
const PIECE: usize = 4096;

impl<W> Paced<W> {
    pub(crate) fn new(out: W, pace: Pace) -> Self {
        Self { out, pace }
    }
}

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(&bytes[..bytes.len().min(PIECE)])?;
        self.pace.0.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The message of a workflow command, safe and with its own characters escaped (actions/toolkit,
/// `core/src/command.ts`).
fn data(text: &str) -> String {
    Text::line(text).replace('%', "%25")
}

/// The value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_writer_ignores_a_closed_pipe() {
        struct Broken(usize);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                assert_eq!(self.0, 0, "written to a broken pipe again");
                self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Broken(0));
        lines.line(&"one".into(), Color::Off);
        lines.line(&"two".into(), Color::Off);
    }
}
