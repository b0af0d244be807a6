//! Publishes an index in all of its repositories: first the images everywhere, then the gates, and then the tags.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::atomic::withheld;
use super::copies;
use super::current_tags::CurrentTag;
use super::options::{ElfCheck, Gates};
use super::remove_arch_tags;
use super::steps::{self};
use super::target::{Pushed, Target};
use crate::engine::Engine;
use crate::oci::{Digest, EncodedIndex, Tag};
use crate::run::event::failure::of_engine;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent, Phase, Warning};
use crate::run::fetch::attestations;
use crate::run::fetch::found::Found;
use crate::run::storage::Storage;
use crate::run::storage::engine_names;
use crate::run::storage::registry::Registry;

/// An image whose platforms are all confirmed in the registry that it was built to.
pub(in crate::run) struct Publication {
    target: Target,
    registry: Registry,
    found: Vec<Found>,
    /// Images that get the final tags on their engine, so that `docker run NAME:TAG` works.
    pub(in crate::run) names: Vec<(Arc<Engine>, Digest)>,
}

/// An index whose images exist in every repository that will show it. No tag names the index yet.
pub(in crate::run) struct StagedIndex {
    pub(in crate::run) index: EncodedIndex,
    /// The repositories, in the order in which their tags move.
    pub(in crate::run) destinations: Vec<Destination>,
    /// The same images as in [`Publication`].
    pub(in crate::run) names: Vec<(Arc<Engine>, Digest)>,
}

/// A repository that will show an index.
pub(in crate::run) struct Destination {
    pub(in crate::run) target: Target<Storage>,
    /// The children that this run pushed to the repository under arch tags.
    pub(in crate::run) pushed: Vec<Pushed>,
}

/// An index that may be published everywhere, and the state of its tags.
pub(in crate::run) struct ApprovedIndex {
    placed: StagedIndex,
    standing: Vec<Vec<CurrentTag>>,
}

impl Publication {
    /// Creates a publication of children that this run read in `registry`. No engine is known to have them.
    pub(in crate::run) fn new(target: Target, found: Vec<Found>, registry: &Registry) -> Self {
        let read_here = found.iter().map(|found| found.child.manifest().digest().clone()).collect();
        let there = found.iter().flat_map(|found| found.there.clone()).collect();
        Self { target: Target { read_here, there, ..target }, registry: registry.clone(), found, names: Vec::new() }
    }

    /// Joins the index, and copies its images to all registries.
    pub(in crate::run) async fn stage(self, events: &mpsc::Sender<Event>) -> Result<StagedIndex, Failure> {
        let Self { target, registry, found, names } = self;
        attestations::warn(&target.image, &found, events).await;
        let pushed = steps::pushed(&target, &found);
        let index = steps::join(&target, found.clone())?;
        steps::tell(&target.image, &index, events).await;
        let target = target.of_registry(&registry);
        let brought = copies::bring(&target, &found, &pushed, events).await?;
        let copy = |(storage, there)| Destination { target: target.copied_to(storage, there), pushed: Vec::new() };
        let copies: Vec<_> = target.copies.iter().zip(brought).map(copy).collect();
        let first = Destination { target, pushed };
        Ok(StagedIndex { index, destinations: std::iter::once(first).chain(copies).collect(), names })
    }
}

/// Why some or all tags of an image did not move.
pub(in crate::run) enum NotMoved {
    Failed(Failure),
    /// Another image is the reason.
    Withheld(String),
}

impl NotMoved {
    /// The event that reports this.
    pub(in crate::run) fn event(self) -> ImageEvent {
        match self {
            Self::Failed(failure) => ImageEvent::Failed(failure),
            Self::Withheld(reason) => ImageEvent::Withheld { reason: reason.into() },
        }
    }
}

/// Moves the final tags of `images`, one image after the other. If a gate refuses one image, no tag moves. Returns the
/// result of each image.
pub(in crate::run) async fn publish(
    images: Vec<StagedIndex>,
    gates: Gates,
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Vec<Result<(), NotMoved>> {
    let names: Vec<_> = images.iter().map(|placed| placed.name().to_owned()).collect();
    let failed = |lost: usize| NotMoved::Withheld(withheld(&format!("{} failed", names[lost])));
    let admitted = join_all(images.into_iter().map(|placed| placed.admit(gates, events, shutdown))).await;
    if let Some(lost) = admitted.iter().position(Result::is_err) {
        let each = |admitted: Result<_, Failure>| Err(admitted.map_or_else(NotMoved::Failed, |_| failed(lost)));
        return admitted.into_iter().map(each).collect();
    }
    let (mut ended, mut lost) = (Vec::new(), None);
    for (nth, admitted) in admitted.into_iter().flatten().enumerate() {
        if let Some(lost) = lost {
            ended.push(Err(failed(lost)));
            continue;
        }
        let put = admitted.put(events, shutdown).await;
        lost = put.is_err().then_some(nth);
        ended.push(put.map_err(NotMoved::Failed));
    }
    ended
}

impl StagedIndex {
    /// The image's name in the plan.
    fn name(&self) -> &str {
        self.destinations.first().map_or("", |destination| &destination.target.image)
    }

    /// Asks every gate of every repository. No tag moves yet.
    pub(in crate::run) async fn admit(
        self,
        mut gates: Gates,
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<ApprovedIndex, Failure> {
        let mut standing = Vec::new();
        for Destination { target, pushed } in &self.destinations {
            standing.push(steps::admit(target, &self.index, pushed, gates, events, shutdown).await?);
            // The images are the same everywhere, byte for byte, so polyarch checks their programs only once.
            gates.programs = ElfCheck::Skip;
        }
        Ok(ApprovedIndex { placed: self, standing })
    }
}

impl ApprovedIndex {
    /// Moves the tags, one repository after the other, and reads each tag back.
    pub(in crate::run) async fn put(self, events: &mpsc::Sender<Event>, shutdown: &Shutdown) -> Result<(), Failure> {
        let Self { placed: StagedIndex { index, destinations, names }, standing } = self;
        for (Destination { target, .. }, standing) in destinations.iter().zip(standing) {
            steps::put(target, &index, standing, events, shutdown).await?;
        }
        let Some(Destination { target, pushed, .. }) = destinations.first() else { return Ok(()) };
        for (engine, id) in &names {
            for tag in &target.tags {
                name_on_engine(target, engine, id, tag, events).await;
            }
        }
        // All registries show the index now, so the arch tags are not needed any more.
        for Destination { target, .. } in &destinations {
            remove_arch_tags::remove(target, &index, pushed, events, shutdown).await?;
        }
        Ok(())
    }
}

/// Names the image on the engine for convenience. An error is only a warning, because the image is published.
async fn name_on_engine(
    target: &Target<Storage>,
    engine: &Engine,
    id: &Digest,
    tag: &Tag,
    events: &mpsc::Sender<Event>,
) {
    let Storage::Repository { repository, .. } = &target.storage else { return };
    let name = repository.path().as_str();
    let event = match engine_names::keep_named(engine, id, name, tag).await {
        Ok(()) => {
            let what = ImageEvent::TaggedOnEngine { name: format!("{name}:{tag}").into() };
            Event::Image { image: target.image.clone(), what }
        }
        Err(error) => {
            let Failure { message, hint, .. } = of_engine(Phase::Publish, &error);
            Event::Warning(Warning { image: Some(target.image.clone()), platform: None, message, hint })
        }
    };
    drop(events.send(event).await);
}
