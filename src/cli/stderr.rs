//! Everything but results.
//!
//! A stderr that nobody reads (Ctrl-S, a pager) blocks who writes to it. That is a thread of its own: neither a run,
//! nor its signals, nor its end wait for it.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use polyarch::run::Failure;

use super::diagnostic;
use super::output::Color;

/// Pieces of text that wait; more are dropped.
const WAITING: usize = 1000;
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(1);

enum Told {
    Text(Vec<u8>),
    /// All before it was written.
    Flush(SyncSender<()>),
}

static WRITER: LazyLock<SyncSender<Told>> = LazyLock::new(|| {
    let (sender, told) = sync_channel(WAITING);
    // Without a thread nothing is shown; the exit code still says how it ended.
    let _ = thread::Builder::new().name("stderr".into()).spawn(move || write(&told));
    sender
});

fn write(told: &Receiver<Told>) {
    while let Ok(told) = told.recv() {
        // Nobody who could be told is left where stderr is closed, or who flushes is gone.
        let _ = match told {
            Told::Text(text) => io::stderr().lock().write_all(&text).is_ok(),
            Told::Flush(written) => written.send(()).is_ok(),
        };
    }
}

/// One piece of text.
pub(crate) fn line(text: &str) {
    let _ = WRITER.try_send(Told::Text(format!("{text}\n").into_bytes()));
}

/// `error: …`, `hint: …`.
pub(crate) fn failure(failure: &Failure, color: Color) {
    line(&diagnostic::message(&failure.message, failure.hint.as_deref(), color));
}

/// Waits a moment until everything was written.
pub(crate) fn flush() {
    let (done, written) = sync_channel(1);
    if WRITER.try_send(Told::Flush(done)).is_ok() {
        let _ = written.recv_timeout(LAST);
    }
}

/// Where the log goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = WRITER.try_send(Told::Text(text.to_owned()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
