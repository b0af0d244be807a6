//! Stopping before the end: an argument with levels, never a global.

use std::time::Duration;

use tokio::sync::watch;

/// How long what was sent may be answered after a stop was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// How fast a run is to end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// It is not.
    #[default]
    Run,
    /// Stop what can be stopped; let what was sent to a registry under a final tag be answered. With the reason, for
    /// a person: `interrupted`.
    Stop(String),
    /// Leave at once.
    Now(String),
}

/// The end that a run listens to. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Level>);

/// The end that asks for the stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Level>);

impl Shutdown {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(Level::Run);
        (Stopper(sender), Self(receiver))
    }

    /// Waits until a stop is asked for; for ever, if nobody can ask any more.
    pub async fn stopping(&mut self) -> String {
        self.reached(|level| *level > Level::Run).await
    }

    /// Waits until the run must end at once.
    pub async fn now(&mut self) -> String {
        self.reached(|level| matches!(level, Level::Now(_))).await
    }

    /// The moment that a request which was sent before the stop has to be answered: 2 s, or until the run must end
    /// at once.
    pub async fn grace(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            _ = self.now() => {}
        }
    }

    /// Why a stop was asked for, if it was.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &*self.0.borrow() {
            Level::Run => None,
            Level::Stop(reason) | Level::Now(reason) => Some(reason.clone()),
        }
    }

    async fn reached(&mut self, level: impl FnMut(&Level) -> bool) -> String {
        if self.0.wait_for(level).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.reason().unwrap_or_default()
    }
}

impl Stopper {
    /// Asks for a stop; asked again, for one at once.
    pub fn stop(&self, reason: &str) {
        self.0.send_modify(|level| {
            *level = match level {
                Level::Run => Level::Stop(reason.to_owned()),
                Level::Stop(_) | Level::Now(_) => Level::Now(reason.to_owned()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_asks_and_the_second_insists() {
        let (stopper, mut shutdown) = Shutdown::new();
        assert_eq!(shutdown.reason(), None);
        stopper.stop("interrupted");
        assert_eq!(shutdown.stopping().await, "interrupted");
        let mut other = shutdown.clone();
        let insisting = tokio::spawn(async move { other.now().await });
        stopper.stop("interrupted again");
        assert_eq!(insisting.await.unwrap(), "interrupted again");
    }
}
