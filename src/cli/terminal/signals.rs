//! Listens for signals: the first asks for a stop, the second insists, and the third ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use polyarch::run::{Shutdown, Stopper};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::exit;

/// The reason of a stop by docker.
const DOCKER: &str = "docker was stopped";

/// Listens for signals, and keeps the exit code of the first.
pub(crate) struct Signals {
    /// The exit code of the first signal or timeout; 0 if there was none yet.
    code: Arc<AtomicU8>,
    _listening: AbortOnDropHandle<()>,
}

impl Signals {
    /// Begins to listen. With `limit`, a run that takes longer is stopped, too. `docker` is the socket of docker, if docker
    /// started this process: docker then passes no signal on, but closes its socket.
    pub(crate) fn listen(limit: Option<Duration>, docker: Option<&str>) -> io::Result<(Self, Shutdown)> {
        let (stopper, shutdown) = Shutdown::new();
        let code = Arc::new(AtomicU8::new(0));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let docker = docker.map(str::to_owned);
        let heard = code.clone();
        let listening = async move {
            let (mut count, mut by_docker) = (0, false);
            let mut timeout = std::pin::pin!(elapsed(limit));
            let mut docker = std::pin::pin!(closed(docker));
            loop {
                let (code, reason) = tokio::select! {
                    _ = interrupt.recv() => (130, "interrupted".to_owned()),
                    _ = terminate.recv() => (143, "terminated".to_owned()),
                    _ = hangup.recv() => (129, "the terminal was closed".to_owned()),
                    limit = &mut timeout, if count == 0 => (exit::TIMEOUT, format!("timed out after {limit:?}")),
                    () = &mut docker, if count == 0 => (143, DOCKER.to_owned()),
                };
                // Ctrl-C reaches docker and this process: the two are one request.
                if std::mem::replace(&mut by_docker, reason == DOCKER) && count == 1 {
                    continue;
                }
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

/// Waits until docker closes its socket. Without the socket it waits for ever.
async fn closed(docker: Option<String>) {
    let connected = match docker {
        // The name is abstract on Linux: Go writes such a name with `@`, and tokio with a zero.
        Some(name) => {
            UnixStream::connect(name.strip_prefix('@').map_or(name.clone(), |name| format!("\0{name}"))).await
        }
        None => return std::future::pending().await,
    };
    let Ok(mut docker) = connected else { return std::future::pending().await };
    // docker sends nothing.
    while docker.read_u8().await.is_ok() {}
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
