//! Listens for signals: the first asks for a stop, the second insists, and the third ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use polyarch::run::{Shutdown, Stopper};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::exit;

/// Listens for signals, and keeps the exit code of the first.
pub(crate) struct Signals {
    /// The exit code of the first signal or timeout; 0 if there was none yet.
    code: Arc<AtomicU8>,
    _listening: AbortOnDropHandle<()>,
}

impl Signals {
    /// Begins to listen. With `limit`, a run that takes longer is stopped, too.
    pub(crate) fn listen(limit: Option<Duration>) -> std::io::Result<(Self, Shutdown)> {
        let (stopper, shutdown) = Shutdown::new();
        let code = Arc::new(AtomicU8::new(0));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let heard = code.clone();
        let listening = async move {
            let mut count = 0;
            let mut timeout = std::pin::pin!(elapsed(limit));
            loop {
                let (code, reason) = tokio::select! {
                    _ = interrupt.recv() => (130, "interrupted".to_owned()),
                    _ = terminate.recv() => (143, "terminated".to_owned()),
                    _ = hangup.recv() => (129, "the terminal was closed".to_owned()),
                    limit = &mut timeout, if count == 0 => (exit::TIMEOUT, format!("timed out after {limit:?}")),
                };
                count += 1;
                // Keeps the code of the first signal.
                let _ = heard.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
                tell(&stopper, &reason, count, code);
            }
        };
        Ok((Self { code, _listening: AbortOnDropHandle::new(tokio::spawn(listening)) }, shutdown))
    }

    /// The exit code of the signal or timeout that ended the run, if there was one.
    pub(crate) fn code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }
}

fn tell(stopper: &Stopper, reason: &str, count: u32, code: u8) {
    if count < 3 {
        return stopper.stop(reason);
    }
    #[expect(
        clippy::exit,
        clippy::disallowed_methods,
        reason = "the user asked three times: a task that hangs must not delay the end"
    )]
    std::process::exit(code.into());
}

async fn elapsed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}
