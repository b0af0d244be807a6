//! Runs a builder's work, and records its events in a report.

use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::registry::Notice;
use crate::run::{Event, EventSink, Failure, Report, RunContext, Shutdown};

/// The report of a run, and the caller's function for its events.
struct Record<F> {
    report: Report,
    began: Instant,
    on_event: F,
}

impl<F: FnMut(Duration, &Event) + Send> EventSink for Record<F> {
    fn event(&mut self, at: Duration, event: &Event) {
        self.report.event(at, event);
        (self.on_event)(at, event);
    }
}

/// Prepares a run and does it. A stop during the preparation ends it, since nothing was started.
pub(super) async fn record<T>(
    shutdown: Option<Shutdown>,
    on_event: impl FnMut(Duration, &Event) + Send,
    prepare: impl FnOnce(mpsc::UnboundedSender<Notice>) -> BoxFuture<'static, Result<T, Vec<Failure>>>,
    work: impl for<'a> FnOnce(T, RunContext, &'a mut dyn EventSink) -> BoxFuture<'a, ()>,
) -> Report {
    // A run whose stopper is gone does not stop.
    let shutdown = shutdown.unwrap_or_else(|| Shutdown::new().1);
    let (notify, notices) = mpsc::unbounded_channel();
    let mut record = Record { report: Report::new(SystemTime::now()), began: Instant::now(), on_event };
    let mut stop = shutdown.clone();
    let prepared = tokio::select! {
        biased;
        reason = stop.stopping() => {
            record.event(record.began.elapsed(), &Event::Stopping { reason: reason.into() });
            return record.end();
        }
        prepared = prepare(notify) => prepared,
    };
    match prepared {
        Ok(run) => work(run, RunContext { server: None, notices, shutdown }, &mut record).await,
        Err(failures) => {
            for failure in failures {
                record.event(record.began.elapsed(), &Event::Failed(failure));
            }
        }
    }
    record.end()
}

impl<F> Record<F> {
    fn end(mut self) -> Report {
        let code = self.report.exit_code();
        self.report.finish(self.began.elapsed(), code);
        self.report
    }
}
