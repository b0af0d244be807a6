//! Asks registries whether they answer and accept the login, while polyarch already reads the first content.

use std::pin::pin;

use futures::future::{Either, FutureExt as _, select, try_join_all};

use super::registry::Registry;
use super::store::Storage;
use crate::run::event::Failure;

/// Returns the result of `finding`, and at the same time asks the registry of each of `storages` once. The questions take
/// no extra time over a slow link.
///
/// # Errors
/// Fails if a registry does not answer or refuses the login, even if `finding` succeeds. Nothing was started then.
pub(in crate::run) async fn reached<T>(
    storages: impl Iterator<Item = &Storage>,
    finding: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut registries: Vec<&Registry> = Vec::new();
    for storage in storages {
        if let Storage::Repository { registry, .. } = storage
            && registries.iter().all(|known| known.host() != registry.host())
        {
            registries.push(registry);
        }
    }
    both(try_join_all(registries.into_iter().map(Registry::reach)), finding).await
}

/// Returns the result of `finding`, unless `reaching` fails.
async fn both<T, U>(
    reaching: impl Future<Output = Result<U, Failure>>,
    finding: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // `fuse` drops each future as soon as it ends. If one future of a join fails, the join still holds the others. One
    // of the others may hold the lock of a login. The other side would wait for this lock for ever, because no task
    // polls the holder again.
    let (reaching, finding) = (pin!(reaching.fuse()), pin!(finding.fuse()));
    match select(reaching, finding).await {
        Either::Left((reached, finding)) => {
            reached?;
            finding.await
        }
        Either::Right((found, reaching)) => {
            reaching.await?;
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::try_join;
    use tokio::sync::Mutex;

    use super::*;
    use crate::run::event::Phase;
    use crate::run::event::failure::failure;

    #[tokio::test(start_paused = true)]
    async fn failed_check_releases_the_lock_of_a_waiting_one() {
        let login = Mutex::new(());
        let holds = async {
            let _held = login.lock().await;
            std::future::pending::<Result<(), Failure>>().await
        };
        let fails = async {
            tokio::task::yield_now().await;
            Err::<(), _>(failure(Phase::Preflight, "the repository does not exist", None))
        };
        let waits = async {
            tokio::task::yield_now().await;
            drop(login.lock().await);
            Ok(())
        };
        let limit = std::time::Duration::from_secs(1);
        let ended = tokio::time::timeout(limit, both(waits, try_join(holds, fails))).await;
        assert_eq!(ended.expect("no deadlock").unwrap_err().message.to_string(), "the repository does not exist");
    }
}
