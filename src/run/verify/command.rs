//! Verifies an index or an image as a client reads it: tag → indexes → children → configs. polyarch hashes every byte
//! that it reads, and asks for every layer.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};

use super::index::{Expected, VerifiedEntry, VerifiedIndex, VerifyError, VerifyFault};
use crate::oci::{
    Child, Content, Descriptor, Digest, EntryOverride, ImageIndex, ImageManifest, Platform, PlatformFields,
    RawManifest, Selector,
};
use crate::run::event::failure::chain;
use crate::run::fetch::blobs::{self, BlobToCheck, Fault};
use crate::run::fetch::complete::LOST;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::executables::{self, FOREIGN, Look};
use crate::run::fetch::listing::{Listing, Read};
use crate::run::fetch::revisions;
use crate::run::fetch::walk::AT_ONCE;
use crate::run::publish::options::ElfCheck;
use crate::run::report::NotCheckedReport;
use crate::run::storage::Storage;
use crate::run::storage::error::StorageError;

/// Verifies the index or the image that `selector` names.
///
/// # Errors
/// Fails if the registry does not answer, or if the layout lacks the image. Also fails if the content is wrong or not
/// as expected.
pub async fn verify(storage: &Storage, selector: &Selector, expected: &Expected) -> Result<VerifiedIndex, VerifyError> {
    let listing = Listing::read(storage, selector).await.map_err(VerifyError::of_top)?;
    let mut faults: Vec<_> = plan_fault(&listing.top.content, expected).into_iter().collect();
    let claims = claims(&listing, &mut faults);
    faults.extend(ambiguous(&listing, &claims));
    let (mut children, mut hashed) = prove(storage, &claims, expected, &mut faults).await;
    faults.extend(mixed(&children, expected));
    faults.extend(mistagged(selector, &children, expected));
    let look = match expected.programs {
        ElfCheck::Check => executables::look(storage, &children.iter().collect::<Vec<_>>()).await,
        ElfCheck::Skip => Look::default(),
    };
    hashed.extend(&look.hashed);
    let looked =
        |hint| move |(platform, fault): (_, String)| VerifyFault::untrue(Some(&platform), &fault).with_hint(hint);
    faults.extend(look.foreign.into_iter().map(looked(FOREIGN)));
    faults.extend(look.damaged.into_iter().map(looked(LOST)));
    let attestations = attest(&listing, &mut children, &mut faults);
    let (blobs, missing) = blobs::check(storage, &pieces(&listing, &claims), &hashed).await;
    faults.extend(missing.iter().map(of_blob));
    let top = &listing.top.manifest;
    if !faults.is_empty() {
        return Err(VerifyError::Untrue { index: Some(top.digest().clone()), faults });
    }
    let nested =
        listing.indexes().into_iter().map(|(manifest, _)| manifest.digest()).filter(|one| *one != top.digest());
    Ok(VerifiedIndex {
        index: storage.digest(top.digest().clone()),
        media_type: top.media_type().to_string(),
        indexes: nested.cloned().collect(),
        entries: children.iter().map(VerifiedEntry::of).collect(),
        attestations,
        blobs,
        not_checked: look.not_checked.into_iter().map(NotCheckedReport::from).collect(),
    })
}

fn of_blob(fault: &Fault) -> VerifyFault {
    let (platform, text) = (fault.platform.as_ref(), fault.to_string());
    if fault.is_untrue() {
        VerifyFault::untrue(platform, &text).with_hint(LOST)
    } else {
        VerifyFault::unasked(platform, &text)
    }
}

/// An image, and the claims about it.
struct Claim<'a> {
    /// The name of the image in faults.
    name: String,
    /// The platform in the image's entry. An image outside an index has no entry, so its config names the platform.
    platform: Option<Platform>,
    manifest: &'a RawManifest,
    image: &'a ImageManifest,
}

/// All images, in the order of the index.
fn claims<'a>(listing: &'a Listing, faults: &mut Vec<VerifyFault>) -> Vec<Claim<'a>> {
    if let Read { manifest, content: Content::Image(image) } = &listing.top {
        return vec![Claim { name: "the image".into(), platform: None, manifest, image }];
    }
    let mut claims = Vec::new();
    for (_, index) in listing.indexes() {
        for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
            let name = claimed(entry);
            match listing.get(entry) {
                Err(fault) => faults.push(of_entry(listing, entry, &format!("{name}: {fault}"))),
                Ok(Read { content: Content::Index(_), .. }) => {}
                Ok(Read { manifest, content: Content::Image(image) }) => match entry.platform() {
                    None => faults.push(VerifyFault::untrue(None, &format!("{name}: {}", ConfirmError::NoPlatform))),
                    platform => claims.push(Claim { name, platform, manifest, image }),
                },
            }
        }
    }
    claims
}

/// A fault of the content that `entry` names: the content is wrong, or the storage did not answer.
fn of_entry(listing: &Listing, entry: &Descriptor, message: &str) -> VerifyFault {
    let platform = entry.platform();
    if listing.is_unanswered(entry) {
        VerifyFault::unasked(platform.as_ref(), message)
    } else {
        VerifyFault::untrue(platform.as_ref(), message)
    }
}

/// Faults of an index that lists several images of one platform, or that lists no image. A client would pull any one of
/// several images.
fn ambiguous(listing: &Listing, claims: &[Claim<'_>]) -> Vec<VerifyFault> {
    if claims.is_empty()
        && listing.indexes().iter().all(|(_, index)| index.manifests.iter().all(Descriptor::is_attestation))
    {
        return vec![VerifyFault::untrue(None, "it lists no image")];
    }
    let mut of: Vec<(&Platform, Vec<&Digest>)> = Vec::new();
    for Claim { platform, manifest, .. } in claims {
        let (Some(platform), digest) = (platform, manifest.digest()) else { continue };
        match of.iter_mut().find(|(known, _)| *known == platform) {
            Some((_, digests)) if digests.contains(&digest) => {}
            Some((_, digests)) => digests.push(digest),
            None => of.push((platform, vec![digest])),
        }
    }
    let several = of.into_iter().filter(|(_, digests)| digests.len() > 1);
    let told = several.map(|(platform, digests)| {
        let digests = digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        VerifyFault::untrue(
            Some(platform),
            &format!("{platform}: the index has several images of this platform: {digests}"),
        )
        .with_hint("join again with one image of each platform: a client pulls any one of these images")
    });
    told.collect()
}

/// A fault if images of one plan name several commits. One of them is from an earlier pipeline.
fn mixed(children: &[Child], expected: &Expected) -> Option<VerifyFault> {
    let built = children.iter().filter(|child| expected.built.iter().any(|one| one.covers(child.platform())));
    let fault = VerifyFault::untrue(None, &revisions::mixed(built)?);
    Some(fault.with_hint("build and push the older images again, then join"))
}

/// Faults of images whose architecture differs from the suffix of their tag. A plan may choose its tags freely, so
/// there is no such check with a plan.
fn mistagged(selector: &Selector, children: &[Child], expected: &Expected) -> Vec<VerifyFault> {
    let (Selector::Tag(tag), None) = (selector, &expected.platforms) else { return Vec::new() };
    let other = children.iter().map(Child::platform).filter(|platform| tag.contradicts(platform));
    let told = other.map(|platform| {
        let message = format!("{platform}: the tag ends in the name of another architecture");
        VerifyFault::untrue(Some(platform), &message).with_hint("push an image of the architecture that the tag names")
    });
    told.collect()
}

/// Fetches each config once, and proves that each image matches its claims. Also returns the digests of all configs,
/// whether they were good or have a fault in `faults`.
async fn prove<'a>(
    storage: &Storage,
    claims: &[Claim<'a>],
    expected: &Expected,
    faults: &mut Vec<VerifyFault>,
) -> (Vec<Child>, BTreeSet<&'a Digest>) {
    let mut by_config: BTreeMap<&Digest, Vec<(usize, &Claim<'a>)>> = BTreeMap::new();
    for (at, claim) in claims.iter().enumerate() {
        by_config.entry(&claim.image.config.digest).or_default().push((at, claim));
    }
    let asked = by_config.keys().copied().collect();
    let proving = by_config.into_values().map(|sharing| prove_sharing(storage, sharing, expected));
    // The futures exist before the stream. Otherwise a spawned task could not await this function.
    let proving = stream::iter(proving.collect::<Vec<_>>()).buffered(AT_ONCE);
    let mut all: Vec<_> = proving.collect::<Vec<_>>().await.into_iter().flatten().collect();
    all.sort_by_key(|(at, _)| *at);
    let mut children = Vec::new();
    for (_, child) in all {
        match child {
            Ok(child) => children.push(child),
            Err(fault) => faults.push(fault),
        }
    }
    (children, asked)
}

/// Fetches the config of images that share it. Returns the place and the image of each claim.
async fn prove_sharing(
    storage: &Storage,
    sharing: Vec<(usize, &Claim<'_>)>,
    expected: &Expected,
) -> Vec<(usize, Result<Child, VerifyFault>)> {
    let Some((_, first)) = sharing.first() else { return Vec::new() };
    let config = storage.config(&first.image.config).await;
    let child = |(at, claim): (usize, &Claim<'_>)| (at, proven(claim, config.as_deref(), expected));
    sharing.into_iter().map(child).collect()
}

/// The image of `claim`, if polyarch could read its `config` and the two agree.
fn proven(claim: &Claim<'_>, config: Result<&[u8], &StorageError>, expected: &Expected) -> Result<Child, VerifyFault> {
    let (name, platform) = (&claim.name, claim.platform.as_ref());
    let config = config.map_err(|error| {
        let message = format!("{name}: {}", chain(error));
        let answered = error.is_not_found() || error.is_refusal();
        let fault =
            if answered { VerifyFault::untrue(platform, &message) } else { VerifyFault::unasked(platform, &message) };
        fault.because(error)
    })?;
    child(claim, config, expected).map_err(|fault| VerifyFault::untrue(platform, &format!("{name}: {fault}")))
}

fn child(claim: &Claim<'_>, config: &[u8], expected: &Expected) -> Result<Child, String> {
    let said = PlatformFields::of_config(config).map_err(|error| chain(&error))?;
    let said = said.and_then(|said| said.platform().ok());
    let platform = claim.platform.clone().or(said).ok_or("its config names no platform")?;
    let planned = expected.platforms.iter().flatten().find(|(planned, _)| planned.covers(&platform));
    let believed = planned.map_or_else(EntryOverride::default, |(_, entry)| entry.clone());
    // An entry may require a version or features of its operating system that the config does not name.
    Child::new(claim.manifest.clone(), config, &platform.base(), &believed).map_err(|error| chain(&error))
}

/// Proves that every attestation belongs to an image of its index. Returns the number of attestations.
fn attest(listing: &Listing, children: &mut [Child], faults: &mut Vec<VerifyFault>) -> usize {
    let mut count = 0;
    for (_, index) in listing.indexes() {
        for entry in index.manifests.iter().filter(|entry| entry.is_attestation()) {
            count += 1;
            if let Err(fault) = attested(listing, index, entry, children) {
                faults.push(of_entry(listing, entry, &format!("the attestation {}: {fault}", entry.digest)));
            }
        }
    }
    count
}

fn attested(listing: &Listing, index: &ImageIndex, entry: &Descriptor, children: &mut [Child]) -> Result<(), String> {
    let manifest = &listing.get(entry)?.manifest;
    let is_listed = |image: &Digest| index.manifests.iter().any(|one| !one.is_attestation() && one.digest == *image);
    let image = entry.attests().filter(is_listed).ok_or_else(|| chain(&ConfirmError::Astray))?;
    // An image with a fault is not among the children, and its fault is already reported.
    let child = children.iter_mut().find(|child| *child.manifest().digest() == image);
    child.map_or(Ok(()), |child| child.attest(manifest.clone(), entry)).map_err(|error| chain(&error))
}

/// The blobs of all manifests.
fn pieces<'a>(listing: &'a Listing, claims: &'a [Claim<'a>]) -> Vec<BlobToCheck<'a>> {
    let claims: BTreeMap<_, _> = claims.iter().map(|claim| (claim.manifest.digest(), claim)).collect();
    let mut pieces = Vec::new();
    for Read { manifest, content } in listing.manifests() {
        let Content::Image(image) = content else { continue };
        let digest = manifest.digest();
        let claim = claims.get(digest);
        let of = claim.map_or_else(|| format!("the attestation {digest}"), |claim| claim.name.clone());
        let platform = claim.and_then(|claim| claim.platform.as_ref());
        let blobs = std::iter::once(&image.config).chain(&image.layers);
        pieces.extend(blobs.map(|blob| BlobToCheck { blob, of: of.clone(), platform }));
    }
    pieces
}

fn plan_fault(top: &Content, expected: &Expected) -> Option<VerifyFault> {
    let planned = expected.platforms.as_ref()?;
    let Content::Index(index) = top else {
        return Some(VerifyFault::untrue(None, "it is one image, not an image index"));
    };
    let entries: Vec<_> = index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
    let is_planned = |(entry, (planned, _)): (&&Descriptor, &(Platform, EntryOverride))| {
        entry.platform().is_some_and(|own| planned.covers(&own))
    };
    if entries.len() == planned.len() && entries.iter().zip(planned).all(is_planned) {
        return None;
    }
    let found: Vec<_> = entries.into_iter().map(claimed).collect();
    let planned: Vec<_> = planned.iter().map(|(platform, _)| platform.to_string()).collect();
    let message = format!("it contains {}, but the plan has {}", found.join(", "), planned.join(", "));
    Some(VerifyFault::untrue(None, &message).with_hint("publish the plan's image again, or correct `platforms:`"))
}

fn claimed(entry: &Descriptor) -> String {
    entry.platform().map_or_else(|| entry.digest.to_string(), |platform| platform.to_string())
}
