//! `polyarch copy`: copies an image, or an index with all its images, to another storage. The bytes do not change.

use std::collections::BTreeSet;

use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::event::failure::{chain, failure};
use super::event::image_reporter::ImageReporter;
use super::event::shutdown::Shutdown;
use super::event::{Event, EventSink, Failure, ImageEvent, Phase, PlannedImage};
use super::fetch::complete::{Complete, Named, complete, not_answered};
use super::fetch::confirm::{self, choose, config_of};
use super::fetch::error::ConfirmError;
use super::fetch::walk::AT_ONCE;
use super::listen::{RunContext, attend};
use super::preflight::repositories;
use super::publish::current_tags::{self, CurrentTag};
use super::publish::move_tags::move_tags;
use super::publish::read_back::unread;
use super::publish::target::FRESH;
use super::storage::error::StorageError;
use super::storage::reach::reached;
use super::storage::transfer::{self, ManifestSet};
use super::storage::{Source, Storage};
use crate::oci::{Child, Content, Digest, EntryOverride, Location, Platform, RawManifest, Selector, TagRef};
use crate::registry::Visibility;
use crate::run::fetch::whole::{by_digest, fetch, listed};

/// The input of `polyarch copy`.
#[derive(Debug, Clone)]
pub struct Copying {
    /// The reference to copy.
    pub source: Source,
    /// The target: a tag, or a digest. A digest must be the digest of the source.
    pub target: Source,
    /// Copies only the image of this platform from an index.
    pub platform: Option<Platform>,
}

/// Copies, and verifies that the target has the same digest. The events report the result.
pub async fn copy(what: Copying, around: RunContext, sink: &mut dyn EventSink) {
    attend(around, sink, async |events, shutdown| {
        let images = vec![PlannedImage { image: what.name(), tags: what.tags(), copies: Vec::new() }];
        drop(events.send(Event::Started { images, jobs: Vec::new() }).await);
        if let Err(failure) = what.run(&events, &shutdown).await {
            ImageReporter { image: &what.name(), events: &events }.emit(ImageEvent::Failed(failure)).await;
        }
    })
    .await;
}

impl Copying {
    fn name(&self) -> String {
        self.source.to_string()
    }

    fn tags(&self) -> Vec<TagRef<Location>> {
        let Source { storage, selector } = &self.target;
        match selector {
            Selector::Tag(tag) => vec![storage.tag(tag.clone())],
            Selector::Digest(_) => Vec::new(),
        }
    }

    async fn run(&self, events: &mpsc::Sender<Event>, shutdown: &Shutdown) -> Result<(), Failure> {
        let reading = async { self.read().await.map_err(|error| self.unread(&error)) };
        let to = repositories::are_there(std::iter::once(&self.target.storage));
        let both = [&self.source.storage, &self.target.storage].into_iter();
        let ((top, listed), ()) = reached(both, try_join(reading, to)).await?;
        self.check(top.digest())?;
        let Source { storage: to, selector } = &self.target;
        // An index is pushed last, with its tag: until then the target does not show it.
        let own = (!top.media_type().is_index()).then_some(&top);
        let set = ManifestSet { from: &self.source.storage, manifests: own.into_iter().chain(&listed).collect() };
        let name = self.name();
        let reporter = ImageReporter { image: &name, events };
        let known = transfer::transfer(&[set], to, reporter).await?;
        self.complete(own.into_iter().chain(&listed), &known, reporter).await?;
        let read = match selector {
            Selector::Tag(tag) => {
                let tags = std::slice::from_ref(tag);
                let tags = current_tags::read(to, tags, top.digest()).await?;
                move_tags(to, &tags, &top, reporter, shutdown).await?;
                let before = tags.iter().filter(|tag| !tag.unchanged).find_map(CurrentTag::digest);
                to.moved(tag, before).await
            }
            Selector::Digest(_) => {
                transfer::put(&top, to).await?;
                to.manifest(selector, FRESH).await
            }
        };
        self.verify(read, top.digest(), &listed).await?;
        let index = to.digest(top.digest().clone());
        reporter.emit(ImageEvent::Verified { index }).await;
        Ok(())
    }

    /// Checks that the target has all blobs before a tag moves. The check also runs if the source is the same
    /// repository and polyarch copied nothing.
    async fn complete(
        &self,
        manifests: impl Iterator<Item = &RawManifest>,
        known: &BTreeSet<Digest>,
        reporter: ImageReporter<'_>,
    ) -> Result<(), Failure> {
        let to = &self.target.storage;
        let named = manifests.map(|manifest| Named { of: manifest.digest().to_string(), manifest });
        let complete = complete(to, &named.collect::<Vec<_>>(), known).await;
        let end = format!("{} not copied", self.target);
        let Complete { unanswered, .. } = complete.map_err(|incomplete| incomplete.failure(to, &end))?;
        if unanswered > 0 {
            reporter.warn(not_answered(to, unanswered)).await;
        }
        Ok(())
    }

    /// Refuses a target digest that differs from the digest of the source.
    fn check(&self, digest: &Digest) -> Result<(), Failure> {
        match &self.target.selector {
            Selector::Digest(named) if named != digest => {
                Err(failure(Phase::Verify, &format!("{} is {digest}, not {named}", self.source), None))
            }
            _ => Ok(()),
        }
    }

    /// The manifest to copy, and all manifests that it lists. Children come before their indexes.
    async fn read(&self) -> Result<(RawManifest, Vec<RawManifest>), ConfirmError> {
        let storage = &self.source.storage;
        let mut top = fetch(storage, &self.source.selector, Visibility::Settled).await?;
        if let Some(platform) = &self.platform {
            top = of_platform(storage, top, platform).await?;
        }
        let listed = listed(storage, &top).await?;
        Ok((top, listed))
    }

    fn unread(&self, error: &ConfirmError) -> Failure {
        let missing = if error.is_missing() { " does not exist" } else { "" };
        let refused = error.is_missing() || error.is_refusal();
        let phase = if refused { Phase::Verify } else { Phase::Publish };
        failure(phase, &format!("{}{missing}: {}", self.source, chain(error)), error.hint()).because(error)
    }

    /// Verifies that the target returns the digest of the source, and all manifests that an index lists.
    async fn verify(
        &self,
        read: Result<RawManifest, StorageError>,
        digest: &Digest,
        listed: &[RawManifest],
    ) -> Result<(), Failure> {
        let to = &self.target.storage;
        let read = read.map_err(|error| unread(&self.target, digest, &error))?;
        if read.digest() != digest {
            let message = format!("{} points to {}, but this run copied {digest}", self.target, read.digest());
            let hint = Some("run this again: another run may have moved this tag".into());
            return Err(failure(Phase::Verify, &message, hint));
        }
        let reading = listed.iter().map(|manifest| async move {
            let selector = Selector::Digest(manifest.digest().clone());
            fetch(to, &selector, FRESH).await.map(drop).map_err(|error| {
                let child = to.digest(manifest.digest().clone());
                let message = format!("cannot read {child} back: {}", chain(&error));
                failure(Phase::Verify, &message, error.hint()).because(&error)
            })
        });
        // The futures exist before the stream. Otherwise a spawned task could not await this function.
        let reading: Vec<_> = reading.collect();
        stream::iter(reading).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// The image of `platform`: an entry of an index, or `top` itself if it is an image of that platform.
async fn of_platform(storage: &Storage, top: RawManifest, platform: &Platform) -> Result<RawManifest, ConfirmError> {
    let top = confirm::flat(storage, top, Visibility::Settled, platform).await?;
    let top = match &top.content {
        Content::Index(index) => by_digest(storage, choose(&index.manifests, platform)?.digest.clone()).await?,
        Content::Image(_) => top.manifest,
    };
    let config = config_of(storage, &top).await?;
    Child::new(top.clone(), &config, platform, &EntryOverride::default())?;
    Ok(top)
}
