//! The live view: a line for each platform at work, and below them how many there are.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use polyarch::run::{Event, EventSink, JobEvent, Report};

use super::ending::ending;
use super::lines::Words;
use super::progress::Display;
use super::rows::Rows;
use super::style::{Color, Lines};

/// Frames a second.
const HZ: u8 = 20;
/// Lines above the bars are written together, this long after each other at the soonest.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Lines that wait at most.
const MAX_PENDING: usize = 1000;
/// Rows of the terminal that the bars leave to the lines above them.
const ROWS_FOR_LINES: usize = 3;

/// The terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Size {
    /// Of stderr; 24 × 80 where it does not say.
    fn of_stderr() -> Self {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let or = |length: u16, default| if length == 0 { default } else { usize::from(length) };
        size.map_or(Self { rows: 24, columns: 80 }, |size| Self {
            rows: or(size.ws_row, 24),
            columns: or(size.ws_col, 80),
        })
    }
}

/// Draws a bar for each job at work; what is worth keeping goes above them.
///
/// Lines are written with the bars taken away, so that the terminal itself wraps and scrolls them, however wide it
/// thinks their characters are. The cursor is never hidden and no mode is set: what is left of a killed run is at
/// most its last picture.
pub(crate) struct Tty<W> {
    out: Lines<W>,
    size: Box<dyn Fn() -> Size + Send>,
    bars: MultiProgress,
    drawn: Vec<ProgressBar>,
    rows: Rows,
    words: Words,
    color: Color,
    pending: Vec<String>,
    flushed: Duration,
}

impl<W> fmt::Debug for Tty<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tty").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Tty<std::io::Stderr> {
    pub(crate) fn stderr(color: Color) -> Self {
        Self::new(ProgressDrawTarget::stderr_with_hz(HZ), std::io::stderr(), Box::new(Size::of_stderr), color)
    }
}

impl<W: Write + Send> Tty<W> {
    /// Draws bars on `target` and writes lines to `out`, which are one terminal.
    fn new(target: ProgressDrawTarget, out: W, size: Box<dyn Fn() -> Size + Send>, color: Color) -> Self {
        Self {
            out: Lines::new(out),
            size,
            bars: MultiProgress::with_draw_target(target),
            drawn: Vec::new(),
            rows: Rows::default(),
            words: Words::new(color),
            color,
            pending: Vec::new(),
            flushed: Duration::ZERO,
        }
    }

    /// Writes the lines that wait, and draws the bars anew.
    fn draw(&mut self, at: Duration) {
        self.flushed = at;
        if !self.pending.is_empty() {
            self.write_pending();
        }
        let size = (self.size)();
        let room = size.rows.saturating_sub(ROWS_FOR_LINES).max(1);
        let lines = self.rows.lines(at, room, size.columns);
        for gone in self.drawn.split_off(lines.len().min(self.drawn.len())) {
            self.bars.remove(&gone);
        }
        while self.drawn.len() < lines.len() {
            self.drawn.push(self.bars.add(bar()));
        }
        for (bar, line) in self.drawn.iter().zip(lines) {
            bar.set_message(line);
        }
    }

    fn write_pending(&mut self) {
        // A terminal that is gone shows nothing; the run goes on.
        let _ = self.bars.clear();
        for line in self.pending.drain(..) {
            self.out.line(&line);
        }
    }

    /// Takes the bars away for good.
    fn close(&mut self) {
        for bar in self.drawn.drain(..) {
            self.bars.remove(&bar);
        }
        self.write_pending();
    }
}

/// A bar that is its message, cut at the terminal's width.
fn bar() -> ProgressBar {
    // The template is ours and right.
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

/// What is a line above the bars: not what the bars say already.
fn is_kept(event: &Event) -> bool {
    let Event::Job { what, .. } = event else { return true };
    !matches!(
        what,
        JobEvent::BuildStarted
            | JobEvent::StepStarted { .. }
            | JobEvent::StepEnded { error: None, .. }
            | JobEvent::PushStarted { .. }
            | JobEvent::Pushed { .. }
            | JobEvent::StillRunning { .. }
    )
}

impl<W: Write + Send> EventSink for Tty<W> {
    fn event(&mut self, at: Duration, event: &Event) {
        self.rows.event(at, event);
        let line = self.words.line(event);
        self.pending.extend(line.filter(|_| is_kept(event)));
        if at >= self.flushed + FLUSH_EVERY || self.pending.len() >= MAX_PENDING {
            self.draw(at);
        }
    }
}

impl<W: Write + Send> Display for Tty<W> {
    fn tick(&mut self, at: Duration) {
        self.draw(at);
    }

    fn finish(&mut self, report: &Report) {
        self.close();
        let width = (self.size)().columns;
        for line in ending(report, self.color, Some(width)) {
            self.out.line(&line);
        }
    }
}

impl<W> Drop for Tty<W> {
    /// Leaves a clean terminal on every way out.
    fn drop(&mut self) {
        let _ = self.bars.clear();
    }
}
