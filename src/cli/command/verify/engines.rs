//! Lets engines pull the verified images, for `--pull`.

use std::collections::BTreeSet;
use std::sync::Arc;

use polyarch::auth::CredentialSource;
use polyarch::run::{Engines, Failure, Pulling, Shutdown, Storage};

use super::outcome::Verified;

/// The engines that pull the verified images, and the credentials for registries.
pub(super) struct Pullers {
    pub(crate) engines: Engines,
    pub(crate) credentials: Arc<dyn CredentialSource>,
}

impl Pullers {
    /// Lets the engines pull every verified index once, even if it has several tags.
    pub(crate) async fn pull(&self, verified: &mut [Verified], shutdown: &Shutdown) {
        let mut seen = BTreeSet::new();
        for Verified { subject, result, pulled, not_pulled } in verified {
            // polyarch refused layouts before it read anything.
            let (Ok(index), Storage::Repository { registry, repository }) = (&*result, &subject.source.storage) else {
                continue;
            };
            if !seen.insert(index.index.clone()) {
                continue;
            }
            let pulling = Pulling {
                engines: &self.engines,
                registry,
                image: repository.digest(index.index.digest.clone()),
                credentials: &self.credentials,
                index,
                expected: &subject.expected,
            };
            let (images, failures): (_, Vec<Failure>) = pulling.run(shutdown).await;
            *pulled = Some(images);
            *not_pulled = failures;
        }
    }
}
