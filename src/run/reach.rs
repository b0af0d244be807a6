//! Registries are asked whether they are there and take our login, while the first of their content is read already.

use std::pin::pin;

use futures::future::{Either, FutureExt as _, select, try_join_all};

use super::access::Registry;
use super::event::Failure;
use super::place::Place;

/// What `finding` finds, while the registry of each of `places` is asked once: over a slow link that takes no time of its
/// own.
///
/// # Errors
/// A registry that is not there or does not take our login, whatever else is found: nothing was started then.
pub(super) async fn reached<T>(
    places: impl Iterator<Item = &Place>,
    finding: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut registries: Vec<&Registry> = Vec::new();
    for place in places {
        if let Place::Repository { registry, .. } = place
            && registries.iter().all(|known| known.host() != registry.host())
        {
            registries.push(registry);
        }
    }
    both(try_join_all(registries.into_iter().map(Registry::reach)), finding).await
}

/// What `finding` finds, unless `reaching` fails.
async fn both<T, U>(
    reaching: impl Future<Output = Result<U, Failure>>,
    finding: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // `fuse` drops each as soon as it ends. A join of several that ends with the error of one still holds the others.
    // One of those may hold the lock of a login that the other side waits for, and nobody polls it any more.
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
    use crate::run::failure::failure;

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_lets_go_of_a_lock_that_the_other_waits_for() {
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
