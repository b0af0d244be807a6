//! What was just published, read back.

use futures::future::{join_all, join3};

use crate::oci::{Attestation, Child, Digest, DigestRef, EncodedIndex, Location, Selector};
use crate::registry::Visibility;
use crate::run::confirm::ConfirmError;
use crate::run::event::{Failure, Phase};
use crate::run::failure::{chain, failure, of_place};
use crate::run::place::{Place, PlaceError};
use crate::run::publish::{FRESH, Target};
use crate::run::standing::Standing;

/// Proves that every final tag names `index`, and that all of it can be fetched. Its children were proven to be true
/// before they were joined, and their blobs were asked for before the tags moved. Now each manifest is there by its
/// digest. `before` is how the tags stood until they were put: for a moment a registry may still show that.
pub(in crate::run) async fn published(
    target: &Target<Place>,
    index: &EncodedIndex,
    before: &[Standing],
) -> Result<DigestRef<Location>, Failure> {
    let digest = index.manifest().digest();
    let tags = join_all(before.iter().map(|tag| shows(target, tag, digest)));
    let children = join_all(index.children().iter().map(|one| listed(target, one)));
    let attestations = index.children().iter().flat_map(Child::attestations);
    let attestations = join_all(attestations.map(|one| attested(target, one)));
    let (tags, children, attestations) = join3(tags, children, attestations).await;
    tags.into_iter().collect::<Result<(), _>>()?;
    let faults: Vec<_> = children.into_iter().chain(attestations).filter_map(Result::err).collect();
    if !faults.is_empty() {
        return Err(failure(Phase::Verify, &format!("the published index: {}", faults.join("; ")), None));
    }
    Ok(target.place.digest(digest.clone()))
}

/// What `index` lists, and itself, as far as the repository does not give it out any more: what each is, and why. All of
/// it was read there before.
pub(in crate::run) async fn gone(target: &Target<Place>, index: &EncodedIndex) -> Vec<(String, PlaceError)> {
    let children = index.children();
    let top = std::iter::once(("the index".to_owned(), index.manifest().digest()));
    let images = children.iter().map(|child| (child.platform().to_string(), child.manifest().digest()));
    let attested = children.iter().flat_map(Child::attestations);
    let attested = attested.map(|one| ("an attestation".to_owned(), one.manifest().digest()));
    let reading = top.chain(images).chain(attested).map(async |(what, digest)| {
        let selector = Selector::Digest(digest.clone());
        let read = target.place.manifest(&selector, Visibility::Settled).await;
        Some((what, read.err()?))
    });
    join_all(reading).await.into_iter().flatten().collect()
}

async fn shows(target: &Target<Place>, before: &Standing, digest: &Digest) -> Result<(), Failure> {
    let named = target.place.tag(before.tag.clone());
    let old = before.digest().filter(|_| !before.unchanged);
    let read = target.place.moved(&before.tag, old).await;
    let read = read.map_err(|error| unread(&named, digest, &error))?;
    if read.digest() == digest {
        return Ok(());
    }
    let message = format!("{named} shows {}, this run published {digest}", read.digest());
    let hint = "another run overtook this one, and its index stays; run again only if this one is newer";
    Err(failure(Phase::Verify, &message, Some(hint.into())))
}

async fn listed(target: &Target<Place>, child: &Child) -> Result<(), String> {
    let read = async {
        let selector = Selector::Digest(child.manifest().digest().clone());
        target.place.manifest(&selector, FRESH).await?;
        Ok::<_, ConfirmError>(())
    };
    read.await.map_err(|error| format!("{}: {}", child.platform(), chain(&error)))
}

async fn attested(target: &Target<Place>, attestation: &Attestation) -> Result<(), String> {
    let digest = attestation.manifest().digest();
    let read = target.place.manifest(&Selector::Digest(digest.clone()), FRESH).await;
    read.map(drop).map_err(|error| format!("the attestation {digest}: {}", chain(&error)))
}

/// Why what was put could not be read back.
pub(in crate::run) fn unread(named: &impl std::fmt::Display, ours: &Digest, error: &PlaceError) -> Failure {
    let Some(old) = error.stale() else {
        return of_place(Phase::Verify, &format!("read {named} back"), error);
    };
    let message = format!("{named} still shows {old}, as before it was put; this run published {ours}");
    let hint =
        "the registry is slow to show it, or another run put the old one back: `polyarch verify` says what it shows";
    failure(Phase::Verify, &message, Some(hint.into()))
}
