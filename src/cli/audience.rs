//! Who hears a run: the report, and a display on a thread of its own.
//!
//! A terminal that is not read (Ctrl-S, a pager) blocks the one who writes to it. The display may block; the run,
//! its signals and its heartbeats may not.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use polyarch::run::{Event, EventSink, JobEvent, Report};

use super::output::{self, Display, Progress, Terminal};
use super::stderr;

/// Events that wait for a display that is slower than the run; more are dropped, and counted.
const WAITING: usize = 10_000;
/// How long the display may take for the ending.
const ENDING: Duration = Duration::from_secs(2);
/// How often the display sees the time pass.
const TICK: Duration = Duration::from_millis(200);

/// Takes the events of a run.
pub(crate) struct Audience {
    report: Report,
    started: Instant,
    display: SyncSender<Told>,
    ended: Receiver<()>,
    dropped: usize,
}

enum Told {
    Event(Duration, Box<Event>),
    End(Box<Report>),
}

impl Audience {
    /// Starts the display.
    pub(crate) fn new(progress: Progress, terminal: Terminal) -> Self {
        let (display, told) = mpsc::sync_channel(WAITING);
        let (ending, ended) = mpsc::sync_channel(1);
        let started = Instant::now();
        thread::spawn(move || {
            show(output::display(progress, terminal), &told, started);
            // Nobody waits any more only if the ending took too long.
            let _ = ending.send(());
        });
        Self { report: Report::new(SystemTime::now()), started, display, ended, dropped: 0 }
    }

    /// Tells the end, waits a moment for it to be shown, and hands out the report. A signal's `code` goes before
    /// what the events call for.
    pub(crate) fn end(mut self, code: Option<u8>) -> Report {
        let code = code.unwrap_or_else(|| self.report.exit_code());
        self.report.finish(self.started.elapsed(), code);
        let end = Told::End(Box::new(self.report.clone()));
        // A display that is blocked has a full queue; then the ending is lost with it.
        if self.display.try_send(end).is_ok() {
            let _ = self.ended.recv_timeout(ENDING);
        }
        if self.dropped > 0 {
            stderr::line(&format!("{} lines were not shown: the display was too slow", self.dropped));
        }
        self.report
    }
}

impl EventSink for Audience {
    fn event(&mut self, at: Duration, event: &Event) {
        self.report.event(at, event);
        let told = self.display.try_send(Told::Event(at, Box::new(event.clone())));
        if matches!(told, Err(TrySendError::Full(_))) && matches!(event, Event::Job { what: JobEvent::Log { .. }, .. })
        {
            self.dropped += 1;
        }
    }
}

fn show(mut display: Box<dyn Display>, told: &Receiver<Told>, started: Instant) {
    loop {
        match told.recv_timeout(TICK) {
            Ok(Told::Event(at, event)) => display.event(at, &event),
            Ok(Told::End(report)) => return display.finish(&report),
            Err(RecvTimeoutError::Timeout) => display.tick(started.elapsed()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
