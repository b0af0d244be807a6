//! Puts tags: the only requests that move one.

use tokio::sync::mpsc;

use super::event::{Event, Failure, ImageEvent, Phase};
use super::failure::{failure, of_place};
use super::place::{Place, PlaceError};
use super::shutdown::Shutdown;
use super::standing::{self, Standing};
use crate::oci::{Digest, Location, MediaType, RawManifest, Selector, Tag, TagRef};
use crate::registry::Visibility;

/// Where tags are put.
pub(super) struct Tagging<'a> {
    pub(super) place: &'a Place,
    /// Whose tags they are.
    pub(super) image: &'a str,
}

/// How content came to be under a tag.
#[derive(PartialEq, Eq)]
enum Put {
    Now,
    /// It was there all the same.
    Known,
}

/// Why it is not.
enum NotPut {
    /// It was refused: nothing moved.
    Refused(Failure),
    /// Nobody knows whether it was taken.
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
    /// Puts `manifest` under every tag that does not have it.
    pub(super) async fn put(
        &self,
        standing: &[Standing],
        manifest: &RawManifest,
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        for Standing { tag, unchanged, .. } in standing {
            let named = self.place.tag(tag.clone());
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

    /// Puts `manifest` under an arch tag that does not have it.
    pub(super) async fn put_arch_tag(
        &self,
        tag: &Tag,
        manifest: &RawManifest,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), Failure> {
        let named = self.place.tag(tag.clone());
        let standing = standing::ask(self.place, std::slice::from_ref(tag), manifest.digest()).await?;
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
        let Err(error) = self.place.put_manifest(&selector, manifest).await else {
            return Ok(Put::Now);
        };
        let not_put = if error.is_settled() { NotPut::Refused } else { NotPut::Unknown };
        self.settle(named, manifest, &error).await.map(|()| Put::Known).map_err(not_put)
    }

    /// Whether a tag that could not be put has the content all the same: registries whose tags are immutable refuse what
    /// is there already, too.
    async fn settle(
        &self,
        named: &TagRef<Location>,
        manifest: &RawManifest,
        error: &PlaceError,
    ) -> Result<(), Failure> {
        if error.is_immutable() {
            let selector = Selector::Tag(named.tag.clone());
            let there = self.place.manifest(&selector, Visibility::Settled).await;
            // What cannot be read says nothing: the refusal is told as it came.
            match there.map(|there| there.digest().clone()) {
                Ok(there) if there == *manifest.digest() => return Ok(()),
                Ok(there) => return Err(immutable(Phase::Publish, named, &there, manifest.digest())),
                Err(_) => {}
            }
        }
        let failure = of_place(Phase::Publish, &format!("publish {named}"), error);
        Err(Failure { hint: failure.hint.or_else(|| not_taken(manifest, error).map(Into::into)), ..failure })
    }
}

/// What to do where a registry does not take a manifest: some take no OCI index.
fn not_taken(manifest: &RawManifest, error: &PlaceError) -> Option<String> {
    let invalid = matches!(error.status(), Some(400 | 405 | 415));
    let hint = "a registry without OCI indexes takes a Docker manifest list, which holds Docker's images without \
                attestations and annotations";
    (invalid && *manifest.media_type() == MediaType::OciIndex).then(|| hint.to_owned())
}

/// A tag that has something else and may not move.
pub(super) fn immutable(phase: Phase, named: &impl std::fmt::Display, there: &Digest, ours: &Digest) -> Failure {
    let message = format!("{named} is immutable and has {there}; this run has {ours}");
    let hint = "the registry keeps it as it is: publish this under another tag, or see why its inputs changed";
    failure(phase, &message, Some(hint.into()))
}
