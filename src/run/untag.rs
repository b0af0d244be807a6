//! Arch tags that go once the index is published (`arch_tags: remove`): the tags alone, and nothing that they name.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use futures::future::join_all;
use tokio::sync::mpsc;

use super::access::Registry;
use super::event::{Event, Failure, ImageEvent, Phase, Warning};
use super::failure::{chain, failure, of_registry};
use super::place::Place;
use super::publish::{Pushed, Target};
use super::shutdown::Shutdown;
use super::verify::published::gone;
use crate::oci::{EncodedIndex, ReferenceError, Repository, Selector, Tag};
use crate::plan::{ArchTags, Image, Plan};
use crate::registry::{Client, RegistryError, Visibility};

/// What to do where tags cannot be deleted.
const INSTEAD: &str = "`arch_tags: none` makes none in the first place, `arch_tags: keep` leaves them";

/// Why tags could not be deleted where `targets` want that, as far as it can be known without a change: each registry is
/// asked to delete a tag that nothing has.
pub(super) async fn refusals(plan: &Plan, targets: &[Target], first: &Registry) -> Vec<Failure> {
    let mut places = BTreeMap::new();
    // What is not joined keeps its tags.
    let removes = |image: &Image| image.is_complete() && image.jobs.iter().any(|job| job.arch_tags == ArchTags::Remove);
    for (_, target) in plan.images.iter().zip(targets).filter(|(image, _)| removes(image)) {
        let own = Place::Repository { registry: first.clone(), repository: target.place.clone() };
        let own = std::iter::once(own).chain(target.copies.iter().cloned());
        places.extend(own.map(|place| (place.location(), place)));
    }
    join_all(places.values().map(refusal)).await.into_iter().flatten().collect()
}

async fn refusal(place: &Place) -> Option<Failure> {
    let Place::Repository { registry, repository } = place else { return None };
    let refused = |why: &str, hint: &str| {
        Some(failure(Phase::Preflight, &format!("`arch_tags: remove` in {repository}: {why}"), Some(hint.to_owned())))
    };
    if repository.host().is_ecr() {
        return refused(
            "ECR deletes an image with its last tag, and does not let go of the tag of one in an index",
            INSTEAD,
        );
    }
    // A repository that is not there has no tag either: then it shows at the end whether they can be deleted.
    let tag = match nothing() {
        Ok(tag) => tag,
        Err(error) => return Some(failure(Phase::Internal, &chain(&error), None)),
    };
    let error = registry.client().delete_tag(repository.path(), &tag).await.err()?;
    if is_unsupported(&error) {
        return refused(&format!("the registry does not delete tags alone: {}", chain(&error)), INSTEAD);
    }
    if error.is_denied() {
        return refused(
            &format!("tags cannot be deleted: {}", chain(&error)),
            &format!("let this login delete; {INSTEAD}"),
        );
    }
    Some(of_registry(Phase::Preflight, &format!("ask whether tags can be deleted in {repository}"), &error))
}

/// Registries that delete by digest alone say so, or take the tag for a digest.
pub(super) fn is_unsupported(error: &RegistryError) -> bool {
    error.answer().is_some_and(|(status, answer)| matches!(status, 400 | 405 | 501) || answer.has("UNSUPPORTED"))
}

/// A tag that nothing has.
fn nothing() -> Result<Tag, ReferenceError> {
    // The standard library's only source of randomness: each RandomState has keys of its own.
    let half = || RandomState::new().build_hasher().finish();
    format!("polyarch-{:016x}{:016x}", half(), half()).parse()
}

/// Deletes the arch tags of `pushed` that are to go, of an index that this run published and read back, and proves that
/// nothing but the tags went. A tag that cannot be deleted, or names something else by now, stays and is warned of.
///
/// # Errors
/// The registry lost more than the tags.
pub(super) async fn remove(
    target: &Target<Place>,
    index: &EncodedIndex,
    pushed: &[Pushed],
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    // Engines push to registries alone.
    let Place::Repository { registry, repository } = &target.place else { return Ok(()) };
    let untagging = Untagging { client: registry.client(), repository, target, events, shutdown };
    let going: Vec<_> = pushed.iter().filter(|pushed| pushed.arch_tags == ArchTags::Remove).collect();
    // One first: a registry that takes more than the tag is not given another one.
    let (one, others) = going.split_at(going.len().min(1));
    for some in [one, others] {
        let asked = join_all(some.iter().map(|pushed| untagging.remove(pushed))).await;
        if asked.contains(&Asked::Yes) {
            untagging.prove(index).await?;
        }
    }
    Ok(())
}

/// Whether the registry was asked to delete a tag: also what it refuses may have had an effect.
#[derive(PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

struct Untagging<'a> {
    client: &'a Client,
    repository: &'a Repository,
    target: &'a Target<Place>,
    events: &'a mpsc::Sender<Event>,
    shutdown: &'a Shutdown,
}

impl Untagging<'_> {
    async fn remove(&self, pushed: &Pushed) -> Asked {
        if let Some(reason) = self.shutdown.reason() {
            self.stays(pushed, &reason, None).await;
            return Asked::No;
        }
        let path = self.repository.path();
        let there = self.client.get_manifest(path, &Selector::Tag(pushed.tag.clone()), Visibility::Settled).await;
        match there {
            Ok(there) if *there.digest() == pushed.top => {}
            Ok(there) => {
                let why = format!("it was moved by somebody else meanwhile, to {}", there.digest());
                self.stays(pushed, &why, None).await;
                return Asked::No;
            }
            Err(error) if error.is_not_found() => return Asked::No,
            Err(error) => {
                self.stays(pushed, &chain(&error), error.hint()).await;
                return Asked::No;
            }
        }
        match self.client.delete_tag(path, &pushed.tag).await {
            Ok(()) => {
                let tag = self.target.place.tag(pushed.tag.clone());
                let (image, what) = (self.target.image.clone(), ImageEvent::ArchTagRemoved { tag });
                drop(self.events.send(Event::Image { image, what }).await);
            }
            Err(error) => {
                let hint = if is_unsupported(&error) { Some(INSTEAD.to_owned()) } else { error.hint() };
                self.stays(pushed, &chain(&error), hint).await;
            }
        }
        Asked::Yes
    }

    async fn stays(&self, pushed: &Pushed, why: &str, hint: Option<String>) {
        let warning = Warning {
            image: Some(self.target.image.clone()),
            platform: Some(pushed.platform.clone()),
            message: format!("{} stays: {why}", self.repository.tag(pushed.tag.clone())).into(),
            hint: hint.map(Into::into),
        };
        drop(self.events.send(Event::Warning(warning)).await);
    }

    /// Reads the index and all that it lists by digest.
    async fn prove(&self, index: &EncodedIndex) -> Result<(), Failure> {
        let lost = gone(self.target, index).await;
        if lost.is_empty() {
            return Ok(());
        }
        let named = self.repository.digest(index.manifest().digest().clone());
        let told: Vec<_> = lost.iter().map(|(what, error)| format!("{what}: {}", chain(error))).collect();
        let message = format!("{named} cannot be read back now that an arch tag is deleted: {}", told.join("; "));
        let taken = lost.iter().any(|(_, error)| error.is_not_found());
        let hint = "the registry deletes images with their tags: publish it again with `arch_tags: keep` or `none`";
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
    async fn ecr_is_refused_by_name_without_being_asked() {
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
        let refused = refusal(&Place::Repository { registry, repository }).await.unwrap();
        assert_eq!(refused.phase, Phase::Preflight);
        assert!(refused.message.starts_with(&format!("`arch_tags: remove` in {host}/hello: ECR ")), "{refused:?}");
        assert!(refused.hint.unwrap().contains("`arch_tags: none`"));
    }
}
