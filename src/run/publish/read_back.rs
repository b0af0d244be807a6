//! Step 5: reads the index back from one repository, right after its tags moved.

use std::sync::Arc;

use futures::future::{join_all, join3};

use super::current_tags::CurrentTag;
use super::target::{FRESH, Target};
use crate::engine::Engine;
use crate::oci::{Attestation, Child, Digest, EncodedIndex, Selector, Tag};
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure, of_engine};
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::{Failure, ImageEvent, Phase, Warning};
use crate::run::fetch::error::ConfirmError;
use crate::run::storage::Storage;
use crate::run::storage::engine_names;
use crate::run::storage::error::{StorageError, of_storage};

/// Verifies the published index. The verification is not needed if no tag had to move and this run read all children in
/// this repository.
pub(super) async fn read_back(
    target: &Target<Storage>,
    index: &EncodedIndex,
    before: &[CurrentTag],
    reporter: ImageReporter<'_>,
) -> Result<(), Failure> {
    let moved = before.iter().any(|tag| !tag.unchanged);
    if moved || !target.has_read(index) {
        prove(target, index, before).await?;
    }
    let index = target.storage.digest(index.manifest().digest().clone());
    reporter.emit(ImageEvent::Verified { index }).await;
    Ok(())
}

/// Proves that every final tag names `index`, and that each manifest exists under its digest. polyarch verified the
/// children before it joined them, and it asked for their blobs before the tags moved. `before` has the old state of
/// the tags, because a registry may show that state for a moment.
async fn prove(target: &Target<Storage>, index: &EncodedIndex, before: &[CurrentTag]) -> Result<(), Failure> {
    let digest = index.manifest().digest();
    let tags = join_all(before.iter().map(|tag| shows(target, tag, digest)));
    let children = join_all(index.children().iter().map(|one| listed(target, one)));
    let attestations = index.children().iter().flat_map(Child::attestations);
    let attestations = join_all(attestations.map(|one| attested(target, one)));
    let (tags, children, attestations) = join3(tags, children, attestations).await;
    tags.into_iter().collect::<Result<(), _>>()?;
    let faults: Vec<_> = children.into_iter().chain(attestations).filter_map(Result::err).collect();
    if !faults.is_empty() {
        return Err(failure(
            Phase::Verify,
            &format!("polyarch cannot read the published index back: {}", faults.join("; ")),
            None,
        ));
    }
    Ok(())
}

/// The manifests of `index`, and the index itself, that the repository no longer returns. Each has its name and the
/// error. This run read all of them in the repository before.
pub(in crate::run) async fn gone(target: &Target<Storage>, index: &EncodedIndex) -> Vec<(String, StorageError)> {
    let children = index.children();
    let top = std::iter::once(("the index".to_owned(), index.manifest().digest()));
    let images = children.iter().map(|child| (child.platform().to_string(), child.manifest().digest()));
    let attested = children.iter().flat_map(Child::attestations);
    let attested = attested.map(|one| ("an attestation".to_owned(), one.manifest().digest()));
    let reading = top.chain(images).chain(attested).map(async |(what, digest)| {
        let selector = Selector::Digest(digest.clone());
        let read = target.storage.manifest(&selector, Visibility::Settled).await;
        Some((what, read.err()?))
    });
    join_all(reading).await.into_iter().flatten().collect()
}

async fn shows(target: &Target<Storage>, before: &CurrentTag, digest: &Digest) -> Result<(), Failure> {
    let named = target.storage.tag(before.tag.clone());
    let old = before.digest().filter(|_| !before.unchanged);
    let read = target.storage.moved(&before.tag, old).await;
    let read = read.map_err(|error| unread(&named, digest, &error))?;
    if read.digest() == digest {
        return Ok(());
    }
    let message = format!("{named} points to {}, but this run published {digest}", read.digest());
    let hint = "run this again only if this run is newer: another run moved the tag after this run";
    Err(failure(Phase::Verify, &message, Some(hint.into())))
}

async fn listed(target: &Target<Storage>, child: &Child) -> Result<(), String> {
    let read = async {
        let selector = Selector::Digest(child.manifest().digest().clone());
        target.storage.manifest(&selector, FRESH).await?;
        Ok::<_, ConfirmError>(())
    };
    read.await.map_err(|error| format!("{}: {}", child.platform(), chain(&error)))
}

async fn attested(target: &Target<Storage>, attestation: &Attestation) -> Result<(), String> {
    let digest = attestation.manifest().digest();
    let read = target.storage.manifest(&Selector::Digest(digest.clone()), FRESH).await;
    read.map(drop).map_err(|error| format!("the attestation {digest}: {}", chain(&error)))
}

/// The failure if polyarch cannot read a tag back after the tag moved.
pub(in crate::run) fn unread(named: &impl std::fmt::Display, new: &Digest, error: &StorageError) -> Failure {
    let Some(old) = error.stale() else {
        return of_storage(Phase::Verify, &format!("read {named} back"), error);
    };
    let message = format!("{named} still shows {old}, as before this run, but this run published {new}");
    let hint = "run `polyarch verify` later: the registry may be slow, or another run may have moved the tag back";
    failure(Phase::Verify, &message, Some(hint.into()))
}

/// Gives `images` the final tags on their engines.
pub(super) async fn name_on_engines(
    target: &Target<Storage>,
    images: &[(Arc<Engine>, Digest)],
    reporter: ImageReporter<'_>,
) {
    for (engine, id) in images {
        for tag in &target.tags {
            name_on_engine(target, engine, id, tag, reporter).await;
        }
    }
}

/// Names the image on the engine for convenience. An error is only a warning, because the image is published.
async fn name_on_engine(
    target: &Target<Storage>,
    engine: &Engine,
    id: &Digest,
    tag: &Tag,
    reporter: ImageReporter<'_>,
) {
    let Storage::Repository { repository, .. } = &target.storage else { return };
    let name = repository.path().as_str();
    match engine_names::keep_named(engine, id, name, tag).await {
        Ok(()) => reporter.emit(ImageEvent::TaggedOnEngine { name: format!("{name}:{tag}").into() }).await,
        Err(error) => {
            let Failure { message, hint, .. } = of_engine(Phase::Publish, &error);
            reporter.warn(Warning { image: None, platform: None, message, hint }).await;
        }
    }
}
