//! Detects an engine that stops reading a transfer.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long packets may wait while the engine reads none.
pub(in crate::buildkit) const UPLOAD_IDLE: Duration = Duration::from_mins(1);

/// A count of the packets of one transfer. A transfer with nothing to send never stalls.
#[derive(Debug, Default)]
pub(super) struct Backlog(watch::Sender<Counts>);

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// The readers that wait for space.
    waiting: usize,
    /// The packets that the connection took.
    taken: u64,
}

impl Backlog {
    /// Runs `send`, which may have to wait for the engine.
    pub(super) fn waiting<T>(&self, send: impl FnOnce() -> T) -> T {
        self.0.send_modify(|counts| counts.waiting += 1);
        let result = send();
        self.0.send_modify(|counts| counts.waiting -= 1);
        result
    }

    /// Counts a packet that the connection took.
    pub(super) fn taken(&self) {
        self.0.send_modify(|counts| counts.taken += 1);
    }

    /// Waits until a reader has waited for [`UPLOAD_IDLE`] while the connection took nothing.
    pub(super) async fn stalled(&self) {
        let mut counts = self.0.subscribe();
        loop {
            // `self` owns the sender, so the sender exists as long as this function runs.
            let Ok(before) = counts.wait_for(|counts| counts.waiting > 0).await.map(|counts| *counts) else { return };
            let moves = counts.wait_for(|counts| counts.taken > before.taken || counts.waiting == 0);
            if timeout(UPLOAD_IDLE, moves).await.is_err() {
                return;
            }
        }
    }
}
