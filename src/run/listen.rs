//! Passes the events of a run and the notices of registries to the event sink.

use std::time::Instant;

use tokio::sync::mpsc;

use super::event::shutdown::Shutdown;
use super::event::{Event, EventSink, Warning};
use super::storage::registry::{Server, while_served};
use crate::registry::Notice;

/// Notices of registries on their way to the run's events. The other end is the
/// [`on_notice`](crate::registry::ClientConfig::on_notice) of the clients.
pub type Notices = mpsc::UnboundedReceiver<Notice>;

/// The services that live as long as a run.
pub struct RunContext {
    /// The server of the embedded registry, if the run uses it.
    pub server: Option<Server>,
    /// Notices of registries during the run.
    pub notices: Notices,
    /// The signal that stops the run early.
    pub shutdown: Shutdown,
}

/// Runs `work` and passes its events to `sink`. After a stop signal, `work` gets a grace period to finish the
/// requests in progress.
pub(super) async fn attend<F: Future<Output = ()> + Send>(
    around: RunContext,
    sink: &mut dyn EventSink,
    work: impl FnOnce(mpsc::Sender<Event>, Shutdown) -> F + Send,
) {
    let (events, heard) = mpsc::channel(64);
    let RunContext { server, notices, shutdown } = around;
    let mut stop = shutdown.clone();
    let attended = async {
        let stopped = events.clone();
        let mut working = Box::pin(work(events, shutdown));
        tokio::select! {
            () = &mut working => return,
            reason = stop.stopping() => drop(stopped.send(Event::Stopping { reason: reason.into() }).await),
        }
        // No further tag is pushed. The registry may still answer a tag that was sent.
        tokio::select! {
            () = working => {}
            () = stop.grace() => {}
        }
    };
    tokio::join!(while_served(server, attended), listen(sink, heard, notices));
}

/// Passes every event to `sink`, one after the other, until the last sender of events is dropped.
pub(super) async fn listen(sink: &mut dyn EventSink, mut events: mpsc::Receiver<Event>, mut notices: Notices) {
    let started = Instant::now();
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => event,
                None => break,
            },
            Some(notice) = notices.recv() => Event::Warning(warning(notice)),
        };
        sink.event(started.elapsed(), &event);
    }
    while let Ok(notice) = notices.try_recv() {
        sink.event(started.elapsed(), &Event::Warning(warning(notice)));
    }
}

fn warning(notice: Notice) -> Warning {
    let message = match notice {
        Notice::Retry(retry) => {
            format!("{}; trying again in {:.1} s", retry.reason, retry.wait.as_secs_f64())
        }
        Notice::Warning { host, text } => format!("registry {host} says: {text}"),
        Notice::WrongDigestHeader { host, claimed, actual } => {
            format!(
                "registry {host} sent digest {claimed} for content with digest {actual}; \
                 polyarch uses the digest of the content"
            )
        }
    };
    Warning { image: None, platform: None, message: message.into(), hint: None }
}
