//! Deletes manifests by digest: with the API of Amazon ECR there, with the OCI distribution API elsewhere.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use super::error::CleanError;
use crate::aws::EcrRefusal;
use crate::ecr::{EcrRegistry, NotDeleted};
use crate::oci::{Digest, Repository};
use crate::registry::RegistryError;
use crate::run::event::failure::chain;
use crate::run::event::shutdown::Shutdown;
use crate::run::fetch::walk::AT_ONCE;
use crate::run::images::ListedBy;
use crate::run::publish::remove_arch_tags::is_unsupported;
use crate::run::storage::registry::Registry;
use crate::text::Text;

/// The most images in one request to Amazon ECR.
const MOST_AT_ONCE: usize = 100;

/// The outcome for a manifest that was selected for deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The manifest and all its tags are deleted.
    Deleted,
    /// The manifest is rightly kept. The text gives the reason in one line.
    Kept(Text),
    /// The manifest could not be deleted. The text gives the reason in one line.
    Failed(Text),
}

/// A repository in which polyarch deletes manifests.
pub(super) struct Deleting<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    /// The API of Amazon ECR, if that API listed the repository.
    ecr: Option<&'a EcrRegistry>,
    shutdown: &'a Shutdown,
    pub(super) outcomes: BTreeMap<Digest, Outcome>,
}

impl<'a> Deleting<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        repository: &'a Repository,
        listed_by: &ListedBy,
        shutdown: &'a Shutdown,
    ) -> Self {
        let ecr = registry.ecr().filter(|_| *listed_by == ListedBy::Ecr);
        Self { registry, repository, ecr, shutdown, outcomes: BTreeMap::new() }
    }

    pub(super) fn end(&mut self, digest: Digest, outcome: Outcome) {
        self.outcomes.insert(digest, outcome);
    }

    /// Deletes all `digests`. A manifest that no longer exists counts as deleted.
    ///
    /// # Errors
    /// Nothing can be deleted there, and nothing was deleted so far.
    pub(super) async fn delete(&mut self, digests: Vec<Digest>) -> Result<(), CleanError> {
        match self.ecr {
            Some(ecr) => self.at_ecr(ecr, &digests).await,
            None => self.one_by_one(digests).await,
        }
    }

    async fn at_ecr(&mut self, ecr: &EcrRegistry, digests: &[Digest]) -> Result<(), CleanError> {
        let mut broken: Option<Text> = None;
        for some in digests.chunks(MOST_AT_ONCE) {
            let why =
                broken.clone().map(Outcome::Failed).or(self.shutdown.reason().map(|why| Outcome::Kept(why.into())));
            let failures = match why {
                Some(why) => Err(why),
                None => match ecr.delete(self.repository.path(), some).await {
                    Ok(failures) => Ok(failures),
                    Err(error) if error.is_denied() && self.nothing_is_deleted() => return Err(CleanError::Ecr(error)),
                    Err(error) => Err(Outcome::Failed(broken.insert(chain(&error).into()).clone())),
                },
            };
            for digest in some {
                let outcome = match &failures {
                    Ok(failures) => failures.iter().find(|one| one.digest == *digest).map_or(Outcome::Deleted, left),
                    Err(why) => why.clone(),
                };
                self.end(digest.clone(), outcome);
            }
        }
        Ok(())
    }

    async fn one_by_one(&mut self, digests: Vec<Digest>) -> Result<(), CleanError> {
        // Deletes one manifest alone at first. If the registry does not support deletion, polyarch sends no further
        // requests.
        let mut digests = digests.into_iter();
        if let Some(first) = digests.next() {
            let outcome = match self.one(&first).await {
                Err(error) if (is_unsupported(&error) || error.is_denied()) && self.nothing_is_deleted() => {
                    match error.ecr_refusal() {
                        Some(EcrRefusal::Referenced(_)) => refused(&error),
                        _ => return Err(CleanError::Registry(error)),
                    }
                }
                Err(error) => refused(&error),
                Ok(outcome) => outcome,
            };
            self.end(first, outcome);
        }
        let this = &*self;
        let delete = async |digest: Digest| {
            let outcome = this.one(&digest).await.unwrap_or_else(|error| refused(&error));
            (digest, outcome)
        };
        let ended: Vec<_> = stream::iter(digests).map(delete).buffered(AT_ONCE).collect().await;
        self.outcomes.extend(ended);
        Ok(())
    }

    async fn one(&self, digest: &Digest) -> Result<Outcome, RegistryError> {
        if let Some(reason) = self.shutdown.reason() {
            return Ok(Outcome::Kept(reason.into()));
        }
        self.registry.client().delete_manifest(self.repository.path(), digest).await.map(|()| Outcome::Deleted)
    }

    fn nothing_is_deleted(&self) -> bool {
        !self.outcomes.values().any(|outcome| *outcome == Outcome::Deleted)
    }
}

/// The outcome for a manifest that ECR did not delete. It is kept if an index now lists it, and deleted if it no
/// longer exists.
fn left(NotDeleted { code, reason, .. }: &NotDeleted) -> Outcome {
    match code.as_str() {
        "ImageNotFound" => Outcome::Deleted,
        "ImageReferencedByManifestList" => Outcome::Kept("an index lists it".into()),
        _ => Outcome::Failed(format!("{code}: {reason}").into()),
    }
}

fn refused(error: &RegistryError) -> Outcome {
    match error.ecr_refusal() {
        Some(EcrRefusal::Referenced(_)) => Outcome::Kept("an index lists it".into()),
        _ => Outcome::Failed(chain(error).into()),
    }
}
