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
