//! The one who hears a run: events of its tasks, and what registries say meanwhile.

use std::time::Instant;

use tokio::sync::mpsc;

use super::access::{Server, while_served};
use super::event::{Event, EventSink, Warning};
use super::shutdown::Shutdown;
use crate::registry::Notice;

/// What registries say beside their answers, on its way to the run's events. The other end is the
/// [`on_notice`](crate::registry::ClientConfig::on_notice) of the clients.
pub type Notices = mpsc::UnboundedReceiver<Notice>;

/// What lives as long as a run.
pub struct Surroundings {
    /// How the embedded registry, if it is that, is served while the run lasts.
    pub server: Option<Server>,
    /// What registries say meanwhile.
    pub notices: Notices,
    /// What ends the run before its end.
    pub shutdown: Shutdown,
}

/// Does `work`, and hands what it tells to `sink`. When it is to stop, it has a moment for what was begun.
pub(super) async fn attend(
    around: Surroundings,
    sink: &mut dyn EventSink,
    work: impl AsyncFnOnce(mpsc::Sender<Event>, Shutdown),
) {
    let (events, heard) = mpsc::channel(64);
    let Surroundings { server, notices, shutdown } = around;
    let mut stop = shutdown.clone();
    let attended = async {
        let stopped = events.clone();
        let mut working = Box::pin(work(events, shutdown));
        tokio::select! {
            () = &mut working => return,
            reason = stop.stopping() => drop(stopped.send(Event::Stopping { reason: reason.into() }).await),
        }
        // No tag is sent any more; one that was has a moment to be answered.
        tokio::select! {
            () = working => {}
            () = stop.grace() => {}
        }
    };
    tokio::join!(while_served(server, attended), listen(sink, heard, notices));
}

/// Hands everything to `sink`, one after the other, until the last sender of events is gone.
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
            format!("registry {host} says that the digest of {actual} is {claimed}; the bytes count")
        }
    };
    Warning { image: None, platform: None, message: message.into(), hint: None }
}
