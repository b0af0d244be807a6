//! Limits the concurrent requests of polyarch to one registry.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The most concurrent requests to a registry. A blob that is being copied counts as one request at each of its two
/// registries.
const AT_ONCE: usize = 8;

/// The slots for requests to one registry, in the order of the callers.
pub(in crate::registry) struct Slots(Semaphore);

/// One or more slots, which are free again when this value is dropped. The semaphore is never closed.
pub(in crate::registry) type Slot<'a> = Option<SemaphorePermit<'a>>;

impl Slots {
    pub(in crate::registry) const fn new() -> Self {
        Self(Semaphore::const_new(AT_ONCE))
    }

    /// A slot for one request.
    pub(in crate::registry) async fn one(&self) -> Slot<'_> {
        self.0.acquire().await.ok()
    }

    /// A slot at each of two registries, which may be the same one. All callers take the two slots in the same order,
    /// and no caller requests further slots. So transfers in both directions never wait for each other in a circle.
    pub(in crate::registry) async fn both<'a>(&'a self, other: &'a Self) -> [Slot<'a>; 2] {
        if std::ptr::eq(self, other) {
            return [self.0.acquire_many(2).await.ok(), None];
        }
        let (first, second) =
            if std::ptr::from_ref(self) < std::ptr::from_ref(other) { (self, other) } else { (other, self) };
        [first.one().await, second.one().await]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_between_registries_never_deadlock() {
        let (here, there) = (Slots::new(), Slots::new());
        let transfer = async |from: &Slots, to: &Slots| {
            let _places = from.both(to).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let all = join_all((0..30).map(|n| match n % 3 {
            0 => Box::pin(transfer(&here, &there)) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
            1 => Box::pin(transfer(&there, &here)),
            _ => Box::pin(transfer(&here, &here)),
        }));
        assert!(timeout(Duration::from_mins(1), all).await.is_ok(), "they wait for each other");
        assert_eq!([here.0.available_permits(), there.0.available_permits()], [AT_ONCE; 2]);
    }
}
