//! Writes everything except results.
//!
//! If the reader of stderr stops (Ctrl-S, a pager), the writer blocks. So the writer is a thread of its own. Neither a
//! run, nor its signals, nor its end wait for that thread. If the reader is too slow, logged lines are dropped first,
//! and counted.

use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use polyarch::run::Failure;

use super::diagnostic;
use super::line::Line;
use super::style::Color;
use super::writer::{Lines, Pace, Paced};

/// The number of logged lines that wait at most; more are dropped.
const WAITING: usize = 1000;
/// The longest time in which a reader takes nothing while the last lines wait.
const STALLED: Duration = Duration::from_secs(1);
/// The longest time for all the last lines.
const LAST: Duration = Duration::from_secs(30);

enum Message {
    Lines(Vec<Line>, Color),
    /// A line that is dropped if too many wait.
    Logged(Line, Color),
    /// Answers after all earlier lines are written.
    Flush(Sender<()>),
}

struct Writer {
    told: Sender<Message>,
    pace: Pace,
    logged: AtomicUsize,
    dropped: AtomicUsize,
}

static WRITER: LazyLock<Writer> = LazyLock::new(|| {
    let (sender, told) = channel();
    let pace = Pace::default();
    let taken = pace.clone();
    // Without a thread stderr stays empty; the exit code still shows the result.
    let _ = thread::Builder::new().name("stderr".into()).spawn(move || write(&told, taken));
    Writer { told: sender, pace, logged: AtomicUsize::new(0), dropped: AtomicUsize::new(0) }
});

fn write(told: &Receiver<Message>, pace: Pace) {
    let mut out = Lines::new(Paced::new(io::stderr(), pace));
    while let Ok(told) = told.recv() {
        match told {
            Message::Lines(lines, color) => lines.iter().for_each(|line| out.line(line, color)),
            Message::Logged(line, color) => {
                WRITER.logged.fetch_sub(1, Ordering::Relaxed);
                out.line(&line, color);
            }
            // The thread that waits may be gone.
            Message::Flush(written) => drop(written.send(())),
        }
    }
}

/// Writes one line.
pub(crate) fn line(line: impl Into<Line>) {
    lines(vec![line.into()], Color::Off);
}

/// Writes some lines.
pub(crate) fn lines(lines: Vec<Line>, color: Color) {
    let _ = WRITER.told.send(Message::Lines(lines, color));
}

/// `error: …`, `hint: …`.
pub(crate) fn failure(failure: &Failure, color: Color) {
    lines(diagnostic::message(&failure.message, failure.hint.as_deref()), color);
}

/// Writes a line of the log.
pub(crate) fn log(line: Line, color: Color) {
    if WRITER.logged.fetch_add(1, Ordering::Relaxed) < WAITING {
        let _ = WRITER.told.send(Message::Logged(line, color));
    } else {
        WRITER.logged.fetch_sub(1, Ordering::Relaxed);
        WRITER.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until everything is written, unless the reader stops.
pub(crate) fn flush() {
    let dropped = WRITER.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        line(format!("{dropped} warnings were not shown: the reader is too slow"));
    }
    let (done, written) = channel();
    if WRITER.told.send(Message::Flush(done)).is_err() {
        return;
    }
    WRITER.pace.wait(&written, STALLED, LAST);
}
