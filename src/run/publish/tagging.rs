//! Moves tags in registries and layouts.

use tokio::sync::mpsc;

use super::current_tags::{self, CurrentTag};
use crate::oci::{Digest, Location, MediaType, RawManifest, Selector, Tag, TagRef};
use crate::registry::Visibility;
use crate::run::event::failure::failure;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent, Phase};
use crate::run::storage::Storage;
use crate::run::storage::error::StorageError;
use crate::run::storage::error::of_storage;

/// The storage whose tags move.
pub(in crate::run) struct Tagging<'a> {
    pub(in crate::run) storage: &'a Storage,
    /// The image that the tags belong to.
    pub(in crate::run) image: &'a str,
}

/// How a tag came to name the content.
#[derive(PartialEq, Eq)]
enum Put {
    Now,
    /// The tag named the content already, although the storage refused the request.
    Known,
}

/// Why a tag does not name the content.
enum NotPut {
    /// The storage refused the request, so that nothing moved.
    Refused(Failure),
    /// It is not known whether the storage accepted the request.
    Unknown(Failure),
}

impl From<NotPut> for Failure {
    fn from(not_put: NotPut) -> Self {
        match not_put {
            NotPut::Refused(failure) | NotPut::Unknown(failure) => failure,
        }
    }
}

impl Tagging<'_> {
    /// Moves every tag that does not name `manifest` to it.
    pub(in crate::run) async fn put(
        &self,
        standing: &[CurrentTag],
        manifest: &RawManifest,
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        for CurrentTag { tag, unchanged, .. } in standing {
            let named = self.storage.tag(tag.clone());
            let mut unchanged = *unchanged;
            if !unchanged {
                if let Some(reason) = shutdown.reason() {
                    return Err(failure(Phase::Publish, &format!("{named} was not published: {reason}"), None));
                }
                self.say(ImageEvent::Tagging { tag: named.clone() }, events).await;
                let put = self.put_one(&named, manifest).await;
                if let Err(NotPut::Refused(_)) = &put {
                    self.say(ImageEvent::TagRefused { tag: named.clone() }, events).await;
                }
                unchanged = put? == Put::Known;
            }
            self.say(ImageEvent::Tagged { tag: named, unchanged }, events).await;
        }
        Ok(())
    }

    /// Moves an arch tag to `manifest`, unless the tag names it already.
    pub(super) async fn put_arch_tag(
        &self,
        tag: &Tag,
        manifest: &RawManifest,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), Failure> {
        let named = self.storage.tag(tag.clone());
        let standing = current_tags::ask(self.storage, std::slice::from_ref(tag), manifest.digest()).await?;
        let mut unchanged = standing.iter().all(|tag| tag.unchanged);
        if !unchanged {
            unchanged = self.put_one(&named, manifest).await? == Put::Known;
        }
        self.say(ImageEvent::ArchTagCopied { tag: named, unchanged }, events).await;
        Ok(())
    }

    async fn say(&self, what: ImageEvent, events: &mpsc::Sender<Event>) {
        drop(events.send(Event::Image { image: self.image.to_owned(), what }).await);
    }

    async fn put_one(&self, named: &TagRef<Location>, manifest: &RawManifest) -> Result<Put, NotPut> {
        let selector = Selector::Tag(named.tag.clone());
        let Err(error) = self.storage.put_manifest(&selector, manifest).await else {
            return Ok(Put::Now);
        };
        let not_put = if error.is_settled() { NotPut::Refused } else { NotPut::Unknown };
        self.settle(named, manifest, &error).await.map(|()| Put::Known).map_err(not_put)
    }

    /// Checks whether a tag names the content although the storage refused to move it. Registries with immutable tags
    /// refuse the same content too.
    async fn settle(
        &self,
        named: &TagRef<Location>,
        manifest: &RawManifest,
        error: &StorageError,
    ) -> Result<(), Failure> {
        if error.is_immutable() {
            let selector = Selector::Tag(named.tag.clone());
            let there = self.storage.manifest(&selector, Visibility::Settled).await;
            // If polyarch cannot read the tag, it reports the original refusal.
            match there.map(|there| there.digest().clone()) {
                Ok(there) if there == *manifest.digest() => return Ok(()),
                Ok(there) => return Err(immutable(Phase::Publish, named, &there, manifest.digest())),
                Err(_) => {}
            }
        }
        let failure = of_storage(Phase::Publish, &format!("publish {named}"), error);
        Err(Failure { hint: failure.hint.or_else(|| not_taken(manifest, error).map(Into::into)), ..failure })
    }
}

/// The hint if a registry refuses a manifest. Some registries do not accept OCI indexes.
fn not_taken(manifest: &RawManifest, error: &StorageError) -> Option<String> {
    let invalid = matches!(error.status(), Some(400 | 405 | 415));
    let hint = "publish Docker images without attestations or annotations: polyarch then pushes a Docker manifest \
                list, which a registry without OCI indexes accepts";
    (invalid && *manifest.media_type() == MediaType::OciIndex).then(|| hint.to_owned())
}

/// The failure for an immutable tag that names other content.
pub(in crate::run) fn immutable(phase: Phase, named: &impl std::fmt::Display, there: &Digest, new: &Digest) -> Failure {
    let message = format!("{named} is immutable and has {there}; this run has {new}");
    let hint = "publish this image under another tag, because the registry does not move this tag; even a rebuild of the \
                same inputs has new timestamps";
    failure(phase, &message, Some(hint.into()))
}
