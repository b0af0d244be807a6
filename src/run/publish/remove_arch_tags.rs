//! Deletes arch tags after the index is published (`arch_tags: remove`). Only the tags are deleted, not their images.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::read_back::gone;
use super::target::{Pushed, Target};
use crate::aws::is_ecr;
use crate::oci::{EncodedIndex, ReferenceError, Repository, Selector, Tag};
use crate::plan::{ArchTags, Image, Plan};
use crate::random;
use crate::registry::{Client, RegistryError, Visibility};
use crate::run::event::failure::{chain, failure, of_registry};
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Failure, ImageEvent, Phase, Warning};
use crate::run::storage::Storage;
use crate::run::storage::registry::Registry;

/// The hint if polyarch cannot delete tags.
const INSTEAD: &str = "set `arch_tags: none` to push no arch tags, or `arch_tags: keep` to keep them";

/// Returns a failure for each storage of `targets` whose registry does not delete tags. To learn this without a change,
/// polyarch asks each registry to delete a tag that does not exist.
pub(in crate::run) async fn refusals(plan: &Plan, targets: &[Target], first: &Registry) -> Vec<Failure> {
    let mut storages = BTreeMap::new();
    // An image that is not joined keeps its arch tags.
    let removes = |image: &Image| image.is_complete() && image.jobs.iter().any(|job| job.arch_tags == ArchTags::Remove);
    for (_, target) in plan.images.iter().zip(targets).filter(|(image, _)| removes(image)) {
        let own = Storage::Repository { registry: first.clone(), repository: target.storage.clone() };
        let own = std::iter::once(own).chain(target.copies.iter().cloned());
        storages.extend(own.map(|storage| (storage.location(), storage)));
    }
    join_all(storages.values().map(refusal)).await.into_iter().flatten().collect()
}

async fn refusal(storage: &Storage) -> Option<Failure> {
    let Storage::Repository { registry, repository } = storage else { return None };
    let refused = |why: &str, hint: &str| {
        Some(failure(
            Phase::Preflight,
            &format!("`arch_tags: remove` does not work in {repository}: {why}"),
            Some(hint.to_owned()),
        ))
    };
    if is_ecr(repository.host()) {
        return refused("ECR deletes an image with its last tag, and deletes no tag of an image in an index", INSTEAD);
    }
    // A repository that does not exist has no tag either. Only the end of the run then shows whether tags can be
    // deleted.
    let tag = match nothing() {
        Ok(tag) => tag,
        Err(error) => return Some(failure(Phase::Internal, &chain(&error), None)),
    };
    let error = registry.client().delete_tag(repository.path(), &tag).await.err()?;
    if is_unsupported(&error) {
        return refused(&format!("the registry does not delete a tag without its image: {}", chain(&error)), INSTEAD);
    }
    if error.is_denied() {
        return refused(
            &format!("the registry does not let this login delete tags: {}", chain(&error)),
            &format!("allow this login to delete tags; or {INSTEAD}"),
        );
    }
    Some(of_registry(Phase::Preflight, &format!("ask whether tags can be deleted in {repository}"), &error))
}

/// Whether the registry deletes only by digest. Such a registry reports this, or takes the tag for a digest.
pub(in crate::run) fn is_unsupported(error: &RegistryError) -> bool {
    error.answer().is_some_and(|(status, answer)| matches!(status, 400 | 405 | 501) || answer.has("UNSUPPORTED"))
}

/// A tag that does not exist.
fn nothing() -> Result<Tag, ReferenceError> {
    format!("polyarch-{}", random::name()).parse()
}

/// Deletes arch tags of `pushed` after this run published the index and read it back. Then proves that the registry
/// deleted only the tags. polyarch keeps a tag in two cases, with a warning:
/// - the registry does not delete the tag;
/// - the tag names another image by now.
///
/// # Errors
/// Fails if the registry lost more than the tags.
pub(in crate::run) async fn remove(
    target: &Target<Storage>,
    index: &EncodedIndex,
    pushed: &[Pushed],
    reporter: ImageReporter<'_>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    // Engines push only to registries, so layouts have no arch tags.
    let Storage::Repository { registry, repository } = &target.storage else { return Ok(()) };
    let removal = Removal { client: registry.client(), repository, target, reporter, shutdown };
    let going: Vec<_> = pushed.iter().filter(|pushed| pushed.arch_tags == ArchTags::Remove).collect();
    // polyarch deletes one tag first. If the registry deletes more than this tag, polyarch does not delete the others.
    let (one, others) = going.split_at(going.len().min(1));
    for some in [one, others] {
        let attempts = join_all(some.iter().map(|pushed| removal.remove(pushed))).await;
        if attempts.contains(&DeleteAttempt::Yes) {
            removal.prove(index).await?;
        }
    }
    Ok(())
}

/// Whether polyarch asked the registry to delete a tag. A refused request may have an effect too.
#[derive(PartialEq, Eq)]
enum DeleteAttempt {
    Yes,
    No,
}

struct Removal<'a> {
    client: &'a Client,
    repository: &'a Repository,
    target: &'a Target<Storage>,
    reporter: ImageReporter<'a>,
    shutdown: &'a Shutdown,
}

impl Removal<'_> {
    async fn remove(&self, pushed: &Pushed) -> DeleteAttempt {
        if let Some(reason) = self.shutdown.reason() {
            self.keep(pushed, &reason, None).await;
            return DeleteAttempt::No;
        }
        let path = self.repository.path();
        let named = self.client.get_manifest(path, &Selector::Tag(pushed.tag.clone()), Visibility::Settled).await;
        match named {
            Ok(named) if *named.digest() == pushed.top => {}
            Ok(named) => {
                let why = format!("another run moved it to {}", named.digest());
                self.keep(pushed, &why, None).await;
                return DeleteAttempt::No;
            }
            Err(error) if error.is_not_found() => return DeleteAttempt::No,
            Err(error) => {
                self.keep(pushed, &chain(&error), error.hint()).await;
                return DeleteAttempt::No;
            }
        }
        match self.client.delete_tag(path, &pushed.tag).await {
            Ok(()) => {
                let tag = self.target.storage.tag(pushed.tag.clone());
                self.reporter.emit(ImageEvent::ArchTagRemoved { tag }).await;
            }
            Err(error) => {
                let hint = if is_unsupported(&error) { Some(INSTEAD.to_owned()) } else { error.hint() };
                self.keep(pushed, &chain(&error), hint).await;
            }
        }
        DeleteAttempt::Yes
    }

    async fn keep(&self, pushed: &Pushed, why: &str, hint: Option<String>) {
        let warning = Warning {
            image: None,
            platform: Some(pushed.platform.clone()),
            message: format!("{} was not deleted: {why}", self.repository.tag(pushed.tag.clone())).into(),
            hint: hint.map(Into::into),
        };
        self.reporter.warn(warning).await;
    }

    /// Reads the index and everything that it lists, by digest.
    async fn prove(&self, index: &EncodedIndex) -> Result<(), Failure> {
        let lost = gone(self.target, index).await;
        if lost.is_empty() {
            return Ok(());
        }
        let named = self.repository.digest(index.manifest().digest().clone());
        let faults: Vec<_> = lost.iter().map(|(name, error)| format!("{name}: {}", chain(error))).collect();
        let message =
            format!("{named} cannot be read any more, after polyarch deleted an arch tag: {}", faults.join("; "));
        let taken = lost.iter().any(|(_, error)| error.is_not_found());
        let hint = "publish again with `arch_tags: keep` or `none`: the registry deletes images with their tags";
        Err(failure(Phase::Verify, &message, taken.then(|| hint.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::Anonymous;
    use crate::oci::RegistryHost;
    use crate::plan::NamedRegistry;
    use crate::registry::{Backoff, ClientConfig, Proxies, Timeouts};

    #[tokio::test]
    async fn arch_tag_removal_is_refused_for_ecr_without_a_request() {
        let host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        let config = ClientConfig {
            user_agent: "test".into(),
            backoff: Backoff::STANDARD,
            timeouts: Timeouts::STANDARD,
            proxies: Proxies::default(),
            on_notice: Arc::new(|_| {}),
        };
        let named = NamedRegistry { ecr: None, ..host.parse::<RegistryHost>().unwrap().into() };
        let registry = Registry::named(&named, &[], config, Arc::new(Anonymous), None).unwrap();
        let repository = registry.repository(&"hello".parse().unwrap()).unwrap();
        let refused = refusal(&Storage::Repository { registry, repository }).await.unwrap();
        assert_eq!(refused.phase, Phase::Preflight);
        assert!(
            refused.message.starts_with(&format!("`arch_tags: remove` does not work in {host}/hello: ECR ")),
            "{refused:?}"
        );
        assert!(refused.hint.unwrap().contains("`arch_tags: none`"));
    }
}
