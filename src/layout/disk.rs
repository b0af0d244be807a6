//! Runs the blocking work of layouts.

use tokio::task::spawn_blocking;

use super::error::LayoutError;

/// Does `work` on a thread that may block.
///
/// # Errors
/// The errors of `work`.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, LayoutError> {
    // A panic has left its message in the log.
    spawn_blocking(work).await.unwrap_or(Err(LayoutError::Ended))
}
