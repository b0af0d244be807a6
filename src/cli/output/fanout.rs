//! Hands the events of a run to the report, and to a display on a thread of its own.
//!
//! A terminal that is not read (Ctrl-S, a pager) blocks its writer. The display may block; the run, its signals and its
//! heartbeats may not.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use polyarch::run::{Event, EventSink, Report};

use super::backlog::{Backlog, Message};
use super::display::view::Display;
use crate::cli::args::shared::OutputArgs;
use crate::cli::input::settings::Settings;
use crate::cli::output;
use crate::cli::terminal::writer::Pace;

/// The longest time in which a reader takes nothing while the ending waits for the reader.
const STALLED: Duration = Duration::from_secs(2);
/// The longest time for the whole ending.
const ENDING: Duration = Duration::from_secs(30);
/// The time between two ticks of the display.
const TICK: Duration = Duration::from_millis(200);

/// Takes the events of a run.
pub(crate) struct EventFanout {
    report: Report,
    /// When the program began. A time limit counts from there, so the report does too.
    began: Instant,
    display: Arc<Backlog>,
    ended: Receiver<()>,
    pace: Pace,
}

impl EventFanout {
    /// Starts the display.
    pub(crate) fn new(output: &OutputArgs, settings: &Settings) -> Self {
        let (progress, terminal) = (output.progress, settings.terminal.clone());
        let display = Arc::new(Backlog::default());
        let pace = Pace::default();
        let (ending, ended) = mpsc::sync_channel(1);
        let started = Instant::now();
        let (told, shown) = (display.clone(), pace.clone());
        thread::spawn(move || {
            show(output::display::progress::display(progress, terminal, shown), &told, started);
            // The receiver is gone only if the ending took too long.
            let _ = ending.send(());
        });
        let began = settings.began;
        let since = SystemTime::now().checked_sub(began.elapsed()).unwrap_or_else(SystemTime::now);
        Self { report: Report::new(since), began, display, ended, pace }
    }

    /// Hands the end to the display and waits until the display has shown the end, while a reader takes the lines. Then
    /// returns the report. The `code` of a signal takes precedence over the exit code of the events.
    pub(crate) fn end(mut self, code: Option<u8>) -> Report {
        let code = code.unwrap_or_else(|| self.report.exit_code());
        self.report.finish(self.began.elapsed(), code);
        self.display.end(self.report.clone());
        self.pace.wait(&self.ended, STALLED, ENDING);
        self.report.clone()
    }
}

impl Drop for EventFanout {
    fn drop(&mut self) {
        self.display.leave();
    }
}

impl EventSink for EventFanout {
    fn event(&mut self, at: Duration, event: &Event) {
        self.report.event(at, event);
        self.display.tell(at, event);
    }
}

fn show(mut display: Box<dyn Display>, told: &Backlog, started: Instant) {
    while let Some(next) = told.next(TICK) {
        match next {
            Message::Event(at, event) => display.event(at, &event),
            Message::Lost(at, lost) => display.lost(at, lost),
            Message::End(report) => return display.finish(&report),
            Message::Nothing => display.tick(started.elapsed()),
        }
    }
}
