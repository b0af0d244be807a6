//! Registries are asked whether they are there and take our login, while the first of their content is read already.

use std::pin::pin;

use futures::future::{Either, select, try_join_all};

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
    let reaching = pin!(try_join_all(registries.into_iter().map(Registry::reach)));
    match select(reaching, pin!(finding)).await {
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
