//! Publishes the index of one image: draft → encode → push → read back → verify.

use futures::future::join_all;
use tokio::sync::mpsc;

use super::current_tags::{self, CurrentTag};
use super::gates::Passed;
use super::options::Gates;
use super::published::published;
use super::tagging::Tagging;
use crate::oci::{Child, EncodeError, EncodedIndex, IndexDraft, IndexFormat, Platform, Selector};
use crate::run::event::failure::failure;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent, Phase, Warning};
use crate::run::fetch::complete::{Complete, Incomplete, complete, named, not_answered};
use crate::run::fetch::found::Found;
use crate::run::publish::target::{Pushed, Target};
use crate::run::storage::Storage;

/// Joins an index of exactly the planned platforms.
pub(in crate::run) fn join<P>(target: &Target<P>, found: Vec<Found>) -> Result<EncodedIndex, Failure> {
    encode(draft(target, found)?, IndexFormat::Auto)
}

/// Drafts an index of exactly the planned platforms.
pub(in crate::run) fn draft<P>(target: &Target<P>, found: Vec<Found>) -> Result<IndexDraft, Failure> {
    let children: Vec<Child> = found.into_iter().map(|found| found.child).collect();
    let planned: Vec<Platform> = target.expected.iter().map(|(platform, _)| platform.clone()).collect();
    let draft = IndexDraft::new(&planned, children);
    draft.map_err(|error| failure(Phase::Verify, &error.to_string(), None))
}

/// Encodes the draft.
pub(in crate::run) fn encode(draft: IndexDraft, format: IndexFormat) -> Result<EncodedIndex, Failure> {
    draft.encode(format).map_err(|error| match error {
        EncodeError::NotDocker(_) => failure(
            Phase::Verify,
            &error.to_string(),
            Some("pass `--index-format auto` to publish an OCI index".into()),
        ),
        EncodeError::Manifest(_) => failure(Phase::Verify, &format!("cannot encode the index: {error}"), None),
    })
}

/// Reports the index that polyarch joined for `image`.
pub(in crate::run) async fn tell(image: &str, index: &EncodedIndex, events: &mpsc::Sender<Event>) {
    let manifest = index.manifest();
    let what = ImageEvent::Joined {
        digest: manifest.digest().clone(),
        media_type: manifest.media_type().to_string().into(),
        entries: index.entries(),
    };
    drop(events.send(Event::Image { image: image.to_owned(), what }).await);
}

/// Decides whether final tags may move, before the first of them moves. polyarch reads the tags, asks the gates, and
/// looks for every blob that the index needs.
pub(in crate::run) async fn admit(
    target: &Target<Storage>,
    index: &EncodedIndex,
    pushed: &[Pushed],
    gates: Gates,
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Result<Vec<CurrentTag>, Failure> {
    let standing = current_tags::ask(&target.storage, &target.tags, index.manifest().digest()).await?;
    let Passed { told, hashed } = gates.pass(target, index, &standing, shutdown).await?;
    for event in told {
        drop(events.send(event).await);
    }
    let known = hashed.union(&target.there).cloned().collect();
    let complete = complete(&target.storage, &named(index.children()), &known).await;
    let Complete { unanswered, .. } = complete.map_err(|incomplete| not_complete(target, &standing, &incomplete))?;
    if unanswered > 0 {
        let warning = Warning { image: Some(target.image.clone()), ..not_answered(&target.storage, unanswered) };
        drop(events.send(Event::Warning(warning)).await);
    }
    if standing.iter().any(|tag| !tag.unchanged) {
        warn_of_moved_tags(target, pushed, events).await;
    }
    Ok(standing)
}

/// Pushes the index under its final tags, and then verifies the published index. The verification is not needed if no
/// tag had to move and this run read all children in this storage.
pub(in crate::run) async fn put(
    target: &Target<Storage>,
    index: &EncodedIndex,
    standing: Vec<CurrentTag>,
    events: &mpsc::Sender<Event>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let tagging = Tagging { storage: &target.storage, image: &target.image };
    let moves = standing.iter().any(|tag| !tag.unchanged);
    tagging.put(&standing, index.manifest(), events, shutdown).await?;
    let verified = if moves || !target.has_read(index) {
        published(target, index, &standing).await?
    } else {
        target.storage.digest(index.manifest().digest().clone())
    };
    let what = ImageEvent::Verified { index: verified };
    drop(events.send(Event::Image { image: target.image.clone(), what }).await);
    Ok(())
}

/// The failure if a repository lacks a part of the index.
fn not_complete(target: &Target<Storage>, standing: &[CurrentTag], incomplete: &Incomplete) -> Failure {
    let tags = standing.iter().map(|standing| target.storage.tag(standing.tag.clone()).to_string());
    let tags = tags.collect::<Vec<_>>().join(", ");
    let moves = standing.iter().any(|standing| !standing.unchanged);
    let end = if moves { format!("{tags} not moved") } else { format!("{tags} cannot be pulled") };
    incomplete.failure(&target.storage, &end)
}

/// Warns of each arch tag that no longer names the image that this run pushed. The index lists this image by digest.
async fn warn_of_moved_tags(target: &Target<Storage>, pushed: &[Pushed], events: &mpsc::Sender<Event>) {
    let asking = pushed.iter().map(|pushed| async {
        let selector = Selector::Tag(pushed.tag.clone());
        target.storage.head(&selector).await
    });
    for (Pushed { tag, platform, top, .. }, head) in pushed.iter().zip(join_all(asking).await) {
        // An error here changes nothing, because the index names the children by digest.
        let Ok(head) = head else { continue };
        if head.flatten().is_some_and(|digest| digest != *top) {
            let warning = Warning {
                image: Some(target.image.clone()),
                platform: Some(platform.clone()),
                message: format!(
                    "{} points to another image: another run moved the tag",
                    target.storage.tag(tag.clone())
                )
                .into(),
                hint: Some(
                    "run `polyarch join` after the other run to publish its image; the final tags list the image of \
                     this run by digest"
                        .into(),
                ),
            };
            drop(events.send(Event::Warning(warning)).await);
        }
    }
}

/// Each child with its arch tag. `found` has the children in the order in which their builds ended.
pub(in crate::run) fn pushed<P>(target: &Target<P>, found: &[Found]) -> Vec<Pushed> {
    let storages = target.expected.iter().zip(&target.arch_tags);
    let tagged = storages.filter(|(_, (_, arch_tags))| arch_tags.are_pushed());
    let pushed = tagged.filter_map(|((platform, _), (tag, arch_tags))| {
        let found = found.iter().find(|found| platform.covers(found.child.platform()))?;
        let (tag, platform, top) = (tag.clone(), platform.clone(), found.top.clone());
        Some(Pushed { tag, platform, top, arch_tags: *arch_tags })
    });
    pushed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::EntryOverride;
    use crate::oci::{Digest, RawManifest};
    use crate::plan::ArchTags;
    use crate::plan::AttestationPolicy;
    use crate::run::fetch::found::Dropped;
    use crate::run::publish::target::Base;
    use std::collections::BTreeSet;
    use std::collections::HashSet;

    fn found(arch: &str) -> Found {
        let config = format!(r#"{{"architecture":"{arch}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(config.as_bytes()),
                "size": config.len(),
            },
            "layers": [],
        });
        let manifest = RawManifest::new(manifest.to_string().into_bytes(), None).unwrap();
        let top = manifest.digest().clone();
        let platform = format!("linux/{arch}").parse().unwrap();
        let child = Child::new(manifest, config.as_bytes(), &platform, &EntryOverride::default()).unwrap();
        Found { child, top, left_out: Dropped::default(), there: BTreeSet::new() }
    }

    #[test]
    fn child_is_compared_with_its_own_arch_tag_in_any_order() {
        let platform = |text: &str| (text.parse::<Platform>().unwrap(), EntryOverride::default());
        let target = Target {
            image: "hello".into(),
            storage: "127.0.0.1:5000/hello:1.0".parse::<crate::oci::Reference>().unwrap().repository,
            expected: vec![platform("linux/amd64"), platform("linux/arm64")],
            arch_tags: ["1.0-amd64", "1.0-arm64"].map(|tag| (tag.parse().unwrap(), ArchTags::Keep)).to_vec(),
            tags: vec!["1.0".parse().unwrap()],
            attestations: AttestationPolicy::Keep,
            read_here: HashSet::new(),
            there: BTreeSet::new(),
            copies: Vec::new(),
            base: Base::Nothing,
        };
        let found = [found("arm64"), found("amd64")];
        let pairs = pushed(&target, &found).into_iter().map(|pushed| format!("{} {}", pushed.tag, pushed.platform));
        assert_eq!(pairs.collect::<Vec<_>>(), ["1.0-amd64 linux/amd64", "1.0-arm64 linux/arm64"]);
    }
}
