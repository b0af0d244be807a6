//! Where layouts are read and written.

use tokio::task::spawn_blocking;

use super::error::LayoutError;

/// Does `work` on a thread that may block.
///
/// # Errors
/// Those of `work`.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, LayoutError> {
    // A thread that panicked left its message on the log.
    spawn_blocking(work).await.unwrap_or(Err(LayoutError::Ended))
}
