//! Step 3: decides whether the final tags may move, before the first of them moves.

use std::sync::Arc;

use futures::future::join_all;

use super::current_tags::{self, CurrentTag};
use super::gates::Passed;
use super::options::{ElfCheck, Gates};
use super::stage::{Destination, StagedIndex};
use super::target::{Pushed, Target};
use crate::engine::Engine;
use crate::oci::{Digest, EncodedIndex, Selector};
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Failure, Warning};
use crate::run::fetch::complete::{Complete, Incomplete, complete, named, not_answered};
use crate::run::storage::Storage;

/// An index that may be published everywhere.
pub(in crate::run) struct ApprovedIndex {
    pub(super) index: EncodedIndex,
    /// The repositories, in the order in which their tags move.
    pub(super) destinations: Vec<ApprovedDestination>,
    /// The images that get names on their engine.
    pub(super) names: Vec<(Arc<Engine>, Digest)>,
}

/// A repository whose final tags may move.
pub(super) struct ApprovedDestination {
    pub(super) target: Target<Storage>,
    /// The children that this run pushed to the repository under arch tags.
    pub(super) pushed: Vec<Pushed>,
    /// The final tags before they move.
    pub(super) tags: Vec<CurrentTag>,
}

/// Asks every gate of every repository. No tag moves yet.
pub(super) async fn check(
    staged: StagedIndex,
    mut gates: Gates,
    reporter: ImageReporter<'_>,
    shutdown: &Shutdown,
) -> Result<ApprovedIndex, Failure> {
    let StagedIndex { index, destinations, names } = staged;
    let mut approved = Vec::new();
    for Destination { target, pushed } in destinations {
        let tags = check_one((&target, &pushed), &index, gates, reporter, shutdown).await?;
        approved.push(ApprovedDestination { target, pushed, tags });
        // The images are the same everywhere, byte for byte, so polyarch checks their programs only once.
        gates.programs = ElfCheck::Skip;
    }
    Ok(ApprovedIndex { index, destinations: approved, names })
}

/// Reads the tags of one repository, asks the gates, and looks for every blob that the index needs.
async fn check_one(
    (target, pushed): (&Target<Storage>, &[Pushed]),
    index: &EncodedIndex,
    gates: Gates,
    reporter: ImageReporter<'_>,
    shutdown: &Shutdown,
) -> Result<Vec<CurrentTag>, Failure> {
    let tags = current_tags::read(&target.storage, &target.tags, index.manifest().digest()).await?;
    let Passed { warnings, not_checked, hashed } = gates.pass(target, index, &tags, shutdown).await?;
    for warning in warnings {
        reporter.warn(warning).await;
    }
    for event in not_checked {
        reporter.emit(event).await;
    }
    let known = hashed.union(&target.there).cloned().collect();
    let complete = complete(&target.storage, &named(index.children()), &known).await;
    let Complete { unanswered, .. } = complete.map_err(|incomplete| not_complete(target, &tags, &incomplete))?;
    if unanswered > 0 {
        reporter.warn(not_answered(&target.storage, unanswered)).await;
    }
    if tags.iter().any(|tag| !tag.unchanged) {
        warn_of_moved_arch_tags(target, pushed, reporter).await;
    }
    Ok(tags)
}

/// The failure if a repository lacks a part of the index.
fn not_complete(target: &Target<Storage>, tags: &[CurrentTag], incomplete: &Incomplete) -> Failure {
    let names = tags.iter().map(|current| target.storage.tag(current.tag.clone()).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let moves = tags.iter().any(|current| !current.unchanged);
    let end = if moves { format!("{names} not moved") } else { format!("{names} cannot be pulled") };
    incomplete.failure(&target.storage, &end)
}

/// Warns of each arch tag that no longer names the image that this run pushed. The index lists this image by digest.
async fn warn_of_moved_arch_tags(target: &Target<Storage>, pushed: &[Pushed], reporter: ImageReporter<'_>) {
    let reading = pushed.iter().map(|pushed| async {
        let selector = Selector::Tag(pushed.tag.clone());
        target.storage.head(&selector).await
    });
    for (Pushed { tag, platform, top, .. }, head) in pushed.iter().zip(join_all(reading).await) {
        // An error here changes nothing, because the index names the children by digest.
        let Ok(head) = head else { continue };
        if head.flatten().is_some_and(|digest| digest != *top) {
            let message =
                format!("{} points to another image: another run moved the tag", target.storage.tag(tag.clone()));
            let hint = "run `polyarch join` after the other run to publish its image; the final tags list the image of \
                        this run by digest";
            let platform = Some(platform.clone());
            let warning = Warning { image: None, platform, message: message.into(), hint: Some(hint.into()) };
            reporter.warn(warning).await;
        }
    }
}
