//! Whether the engine takes what one transfer has for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long packets may wait for the engine while it takes none.
pub(in crate::engine) const UPLOAD_IDLE: Duration = Duration::from_mins(1);

/// Packets of one transfer, counted. A transfer that has nothing to send waits for nothing.
#[derive(Debug, Default)]
pub(super) struct Backlog(watch::Sender<Counts>);

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Readers that wait for room.
    waiting: usize,
    /// Packets that the connection took.
    taken: u64,
}

impl Backlog {
    /// Runs `send`, which may wait for the engine.
    pub(super) fn waiting<T>(&self, send: impl FnOnce() -> T) -> T {
        self.0.send_modify(|counts| counts.waiting += 1);
        let result = send();
        self.0.send_modify(|counts| counts.waiting -= 1);
        result
    }

    /// The connection took a packet.
    pub(super) fn taken(&self) {
        self.0.send_modify(|counts| counts.taken += 1);
    }

    /// Waits until somebody waited for [`UPLOAD_IDLE`] while nothing was taken.
    pub(super) async fn stalled(&self) {
        let mut counts = self.0.subscribe();
        loop {
            // The sender is ours: it outlives this.
            let Ok(before) = counts.wait_for(|counts| counts.waiting > 0).await.map(|counts| *counts) else { return };
            let moves = counts.wait_for(|counts| counts.taken > before.taken || counts.waiting == 0);
            if timeout(UPLOAD_IDLE, moves).await.is_err() {
                return;
            }
        }
    }
}
