//! The state that all requests share.

use std::sync::Arc;

use http::StatusCode;
use tokio_util::task::TaskTracker;

use super::refusal::Refusal;
use crate::embedded::store::{Store, StoreError, Uploads};

/// The store, its uploads and the work on them.
#[derive(Debug)]
pub(in crate::embedded) struct Registry {
    pub(super) store: Store,
    pub(super) uploads: Uploads,
    /// The tasks that work on the disk. Each task finishes, even if its client disconnects.
    tasks: TaskTracker,
    id: String,
}

impl Registry {
    /// A registry over `store`, with this `id`.
    pub(in crate::embedded) fn new(store: Store, id: String) -> Self {
        let uploads = Uploads::new(store.uploads());
        Self { store, uploads, tasks: TaskTracker::new(), id }
    }

    /// Waits for all tasks on the disk. No new task begins, because the registry answers no request any more.
    pub(in crate::embedded) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The id of the store.
    pub(in crate::embedded) fn id(&self) -> &str {
        &self.id
    }

    /// Asks the store on a thread for blocking work. If the request is dropped, the store still finishes the work.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.finish(move |registry| question(&registry.store)).await
    }

    /// Does `work` on a thread for blocking work. The work finishes, even if the request is dropped.
    pub(super) async fn finish<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let registry = Arc::clone(self);
        match self.tasks.spawn_blocking(move || work(&registry)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry is shutting down")),
        }
    }
}
