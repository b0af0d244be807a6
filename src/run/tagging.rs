//! Puts tags: the only requests that move one.

use tokio::sync::mpsc;

use super::event::{Event, Failure, ImageEvent, Phase};
use super::failure::{failure, of_registry};
use super::shutdown::Shutdown;
use super::standing::Standing;
use crate::oci::{Digest, RawManifest, Repository, Selector, TagRef};
use crate::registry::{Client, RegistryError, Visibility};

/// Where tags are put.
pub(super) struct Tagging<'a> {
    pub(super) client: &'a Client,
    pub(super) repository: &'a Repository,
    /// Whose tags they are.
    pub(super) image: &'a str,
}

impl Tagging<'_> {
    /// Puts `manifest` under every tag that does not have it.
    pub(super) async fn put(
        &self,
        standing: &[Standing],
        manifest: &RawManifest,
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let say = |what| Event::Image { image: self.image.to_owned(), what };
        for Standing { tag, unchanged, .. } in standing {
            let named = self.repository.tag(tag.clone());
            let mut unchanged = *unchanged;
            if !unchanged {
                if let Some(reason) = shutdown.reason() {
                    return Err(failure(Phase::Publish, &format!("{named} was not published: {reason}"), None));
                }
                drop(events.send(say(ImageEvent::Tagging { tag: named.clone() })).await);
                if let Err(error) = self.put_one(&named, manifest).await {
                    // Anything but a refusal leaves open whether the registry took it.
                    let refused = error.answer().is_some_and(|(status, _)| (400..500).contains(&status));
                    match self.settle(&named, manifest, &error).await {
                        Ok(()) => unchanged = true,
                        Err(failure) => {
                            if refused {
                                drop(events.send(say(ImageEvent::TagRefused { tag: named })).await);
                            }
                            return Err(failure);
                        }
                    }
                }
            }
            drop(events.send(say(ImageEvent::Tagged { tag: named, unchanged })).await);
        }
        Ok(())
    }

    async fn put_one(&self, named: &TagRef, manifest: &RawManifest) -> Result<(), RegistryError> {
        self.client.put_manifest(self.repository.path(), &Selector::Tag(named.tag.clone()), manifest).await
    }

    /// Whether a tag that could not be put has the content all the same: registries whose tags are immutable refuse what
    /// is there already, too.
    async fn settle(&self, named: &TagRef, manifest: &RawManifest, error: &RegistryError) -> Result<(), Failure> {
        if error.is_immutable() {
            let selector = Selector::Tag(named.tag.clone());
            let there = self.client.get_manifest(self.repository.path(), &selector, Visibility::Settled).await;
            // What cannot be read says nothing: the refusal is told as it came.
            match there.map(|there| there.digest().clone()) {
                Ok(there) if there == *manifest.digest() => return Ok(()),
                Ok(there) => return Err(immutable(Phase::Publish, named, &there, manifest.digest())),
                Err(_) => {}
            }
        }
        Err(of_registry(Phase::Publish, &format!("publish {named}"), error))
    }
}

/// A tag that has something else and may not move.
pub(super) fn immutable(phase: Phase, named: &TagRef, there: &Digest, ours: &Digest) -> Failure {
    let message = format!("{named} is immutable and has {there}; this run has {ours}");
    let hint = "the registry keeps it as it is: publish this under another tag, or see why its inputs changed";
    failure(phase, &message, Some(hint.into()))
}
