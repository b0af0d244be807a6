//! The blobs that a registry reported as existing. A run asks for each blob once, even if many platforms, images and
//! tags contain it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::error::RegistryError;
use crate::oci::{Digest, RepositoryPath};

/// The facts that a registry reports about a blob without sending it. All of them are claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobHead {
    /// The blob exists, with this size in bytes.
    Sized(u64),
    /// The blob exists, and the registry does not report its size.
    Present,
    /// The registry can send only the whole blob.
    Unanswered,
}

/// The answers about blobs that exist. Absences and errors are not kept, because the client then sends the blob and
/// asks again.
#[derive(Default)]
pub(super) struct KnownBlobs(Mutex<HashMap<(RepositoryPath, Digest), Answer>>);

/// The answer for one blob, as soon as a caller has it.
type Answer = Arc<OnceCell<BlobHead>>;

/// An answer that is not kept.
enum NotKept {
    There,
    Answered(RegistryError),
}

impl KnownBlobs {
    /// The answer of `ask`, or of an earlier caller. A caller that asks at the same time waits for that answer.
    pub(super) async fn once(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        ask: impl Future<Output = Result<Option<BlobHead>, RegistryError>>,
    ) -> Result<Option<BlobHead>, RegistryError> {
        let key = (repository.clone(), digest.clone());
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let asking = async { ask.await.map_err(NotKept::Answered)?.ok_or(NotKept::There) };
        match cell.get_or_try_init(|| asking).await {
            Ok(head) => Ok(Some(*head)),
            Err(NotKept::There) => Ok(None),
            Err(NotKept::Answered(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn existing_blob_is_asked_for_once_and_missing_one_each_time() {
        let (heads, asked) = (KnownBlobs::default(), AtomicUsize::new(0));
        let (repository, digest) = ("web".parse().unwrap(), Digest::of(b"layer"));
        let ask = async |head| {
            let answer = async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(head)
            };
            heads.once(&repository, &digest, answer).await.unwrap()
        };
        assert_eq!(futures::join!(ask(None), ask(None)), (None, None));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let there = Some(BlobHead::Sized(5));
        assert_eq!(futures::join!(ask(there), ask(there)), (there, there));
        assert_eq!(ask(None).await, there);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
