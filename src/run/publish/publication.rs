//! Publishes one image in all of its repositories, step by step:
//!
//! 1. `draft`: the children become an index.
//! 2. `stage`: every repository gets the images of the index.
//! 3. `check`: the gates of every repository decide.
//! 4. `move_tags`: the final tags of a repository move to the index.
//! 5. `read_back`: polyarch reads that repository. At the end it deletes arch tags that the plan removes.
//!
//! `join` of references edits the index between steps 1 and 2, so it calls these two itself and enters at step 3.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::atomic::withheld;
use super::check::{self, ApprovedDestination, ApprovedIndex};
use super::draft;
use super::move_tags::move_tags;
use super::options::Gates;
use super::read_back;
use super::remove_arch_tags;
use super::stage::{self, StagedIndex};
use super::target::Target;
use crate::engine::Engine;
use crate::oci::Digest;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent};
use crate::run::fetch::attestations;
use crate::run::fetch::found::Found;
use crate::run::storage::Storage;
use crate::run::storage::registry::Registry;

/// An image whose platforms are all confirmed in the registry that it was built to.
pub(in crate::run) struct Publication {
    target: Target<Storage>,
    found: Vec<Found>,
    /// Images that get the final tags on their engine, so that `docker run NAME:TAG` works.
    pub(in crate::run) names: Vec<(Arc<Engine>, Digest)>,
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

impl Publication {
    /// Creates a publication of children that this run read in `registry`. No engine is known to have them.
    pub(in crate::run) fn new(target: Target, found: Vec<Found>, registry: &Registry) -> Self {
        let read_here = found.iter().map(|found| found.child.manifest().digest().clone()).collect();
        let there = found.iter().flat_map(|found| found.there.clone()).collect();
        let target = Target { read_here, there, ..target }.of_registry(registry);
        Self { target, found, names: Vec::new() }
    }

    /// Steps 1 and 2. Other images may have to get this far before a tag moves.
    pub(in crate::run) async fn stage(self, events: &mpsc::Sender<Event>) -> Result<StagedIndex, Failure> {
        let Self { target, found, names } = self;
        let image = target.image.clone();
        let reporter = ImageReporter { image: &image, events };
        attestations::warn(&found, reporter).await;
        let index = draft::index(&target, found.clone())?;
        draft::report(&index, reporter).await;
        let destinations = stage::stage(target, &found, reporter).await?;
        Ok(StagedIndex { index, destinations, names })
    }
}

/// Steps 3 to 5 for `images`, whose tags move together: one image after the other. If a gate refuses one image, no tag
/// moves. Returns the result of each image.
pub(in crate::run) async fn publish(
    images: Vec<StagedIndex>,
    gates: Gates,
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Vec<Result<(), NotMoved>> {
    let names: Vec<_> = images.iter().map(|staged| staged.image().to_owned()).collect();
    let reporter = |image: usize| ImageReporter { image: &names[image], events };
    let failed = |lost: usize| NotMoved::Withheld(withheld(&format!("{} failed", names[lost])));
    let checking = images.into_iter().enumerate();
    let checking = checking.map(|(nth, staged)| check::check(staged, gates, reporter(nth), shutdown));
    let checked = join_all(checking).await;
    if let Some(lost) = checked.iter().position(Result::is_err) {
        let each = |checked: Result<_, Failure>| Err(checked.map_or_else(NotMoved::Failed, |_| failed(lost)));
        return checked.into_iter().map(each).collect();
    }
    let (mut ended, mut lost) = (Vec::new(), None);
    for (nth, approved) in checked.into_iter().flatten().enumerate() {
        if let Some(lost) = lost {
            ended.push(Err(failed(lost)));
            continue;
        }
        let moved = finish(&approved, reporter(nth), shutdown).await;
        lost = moved.is_err().then_some(nth);
        ended.push(moved.map_err(NotMoved::Failed));
    }
    ended
}

/// Steps 4 and 5, one repository after the other.
async fn finish(
    ApprovedIndex { index, destinations, names }: &ApprovedIndex,
    reporter: ImageReporter<'_>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    for ApprovedDestination { target, tags, .. } in destinations {
        move_tags(&target.storage, tags, index.manifest(), reporter, shutdown).await?;
        read_back::read_back(target, index, tags, reporter).await?;
    }
    let Some(ApprovedDestination { target, pushed, .. }) = destinations.first() else { return Ok(()) };
    read_back::name_on_engines(target, names, reporter).await;
    // All registries show the index now, so the arch tags are not needed any more.
    for ApprovedDestination { target, .. } in destinations {
        remove_arch_tags::remove(target, index, pushed, reporter, shutdown).await?;
    }
    Ok(())
}
