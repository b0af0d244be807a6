//! The trait of displays, and the values that all displays share.

use std::ops::AddAssign;
use std::time::Duration;

use polyarch::run::{EventSink, Report};
use serde::Serialize;

/// The number of events that are not shown, because there was no room or no time for them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Lost {
    /// The lines of logs.
    pub(crate) lines: usize,
    /// All other events.
    pub(crate) events: usize,
}

impl AddAssign for Lost {
    fn add_assign(&mut self, more: Self) {
        self.lines += more.lines;
        self.events += more.events;
    }
}

/// Shows a run. Everything goes to stderr; stdout is for results.
pub(crate) trait Display: EventSink {
    /// Shows the passing of time: called a few times a second while no event comes.
    fn tick(&mut self, at: Duration) {
        let _ = at;
    }

    /// Shows the number of lost events: the reader is slower than the run.
    fn lost(&mut self, at: Duration, lost: Lost);

    /// Shows the ending. Before that the display clears its rows from the terminal.
    fn finish(&mut self, report: &Report);
}

/// Whether the lines of a log can be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    None,
    /// With `::group::` (GitHub, "Workflow commands", "Grouping log lines").
    GitHub,
}

/// The treatment of rows that are too wide after the user made the terminal narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrowed {
    /// The terminal breaks such a row into several, as nearly all terminals do.
    Broken,
    /// The terminal cuts the row off: xterm, rxvt, GNU screen, the console of Linux.
    Cut,
}

impl Narrowed {
    /// The number of a terminal's rows that a row of this `width` covers.
    pub(crate) fn rows(self, width: usize, columns: usize) -> usize {
        match self {
            Self::Broken => width.div_ceil(columns.max(1)).max(1),
            Self::Cut => 1,
        }
    }
}
