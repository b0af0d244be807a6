//! Stops a run before its end. The request has levels, and functions get it as an argument, never as a global.

use std::time::Duration;

use tokio::sync::watch;

/// How long a registry may take to answer after a stop was requested.
const GRACE: Duration = Duration::from_secs(2);

/// How fast a run must end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// The run continues.
    #[default]
    Run,
    /// The run ends everything that it can end. A registry may still answer a request that moves a final tag. The text
    /// is the reason for the user, such as `interrupted`.
    Stop(String),
    /// The run ends at once. The text is the reason for the user.
    Now(String),
}

/// The half that a run listens to. All clones receive the same request.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Level>);

/// The half that requests a stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Level>);

impl Shutdown {
    /// Creates both halves.
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(Level::Run);
        (Stopper(sender), Self(receiver))
    }

    /// Waits until a stop is requested. Waits for ever if the [`Stopper`] is gone.
    pub async fn stopping(&mut self) -> String {
        self.reached(|level| *level > Level::Run).await
    }

    /// Waits until the run must end at once.
    pub async fn now(&mut self) -> String {
        self.reached(|level| matches!(level, Level::Now(_))).await
    }

    /// Waits as long as a registry may still answer after a stop: 2 s, or until the run must end at once.
    pub async fn grace(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            _ = self.now() => {}
        }
    }

    /// The reason of the stop, if a stop was requested.
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
    /// Requests a stop. The second call requests an end at once.
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
    async fn first_stop_asks_and_second_stop_insists() {
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
