//! Reads an index back as a stranger would: tag → index → children → configs, every byte hashed.

use futures::future::{join, join_all, join3};
use serde::Serialize;

use super::confirm::{ConfirmError, config_of};
use super::event::{Failure, Phase};
use super::failure::{chain, failure, of_registry};
use super::publish::{FRESH, Target};
use super::standing::Standing;
use crate::oci::{
    Attestation, Child, Content, Descriptor, Digest, DigestRef, EncodedIndex, Entry, EntryOverride, Platform,
    PlatformFields, RawManifest, Repository, Selector,
};
use crate::registry::{Client, ErrorKind, RegistryError, Visibility};

/// An index, or an image alone, of which every image was fetched by digest, hashed, and is of the platform that its
/// entry claims; and every attestation was, and is of one of the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedIndex {
    /// The index by digest.
    pub index: DigestRef,
    /// Its media type.
    pub media_type: String,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// Attestations among its entries.
    pub attestations: usize,
}

/// What is not as it should be: everything, not the first.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The registry did not answer with the index.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It answered, and this is wrong.
    #[error("{}", .0.join("; "))]
    Untrue(Vec<String>),
}

/// What is expected of an index beyond that it is true.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Exactly these platforms, in this order. An entry whose platform the plan overrides is believed.
    pub platforms: Option<Vec<(Platform, EntryOverride)>>,
}

/// Verifies what `selector` names.
///
/// # Errors
/// The registry does not answer, or anything of the index is untrue or not as expected.
pub async fn verify(
    client: &Client,
    repository: &Repository,
    selector: &Selector,
    expected: &Expected,
) -> Result<VerifiedIndex, VerifyError> {
    let top = client.get_manifest(repository.path(), selector, Visibility::Settled).await?;
    read(client, repository, &top, expected).await
}

async fn read(
    client: &Client,
    repository: &Repository,
    top: &RawManifest,
    expected: &Expected,
) -> Result<VerifiedIndex, VerifyError> {
    let untrue = |text: String| VerifyError::Untrue(vec![text]);
    let index = match top.content().map_err(|error| untrue(error.to_string()))? {
        Content::Image(_) => return alone(client, repository, top, expected).await,
        Content::Index(index) => index,
    };
    let (attestations, images): (Vec<_>, Vec<_>) = index.manifests.iter().partition(|entry| entry.is_attestation());
    let mut faults = Vec::new();
    if let Some(planned) = &expected.platforms {
        faults.extend(order_fault(planned, &images));
    }
    let fetching = join_all(images.iter().map(|entry| child(client, repository, entry, expected)));
    let attesting = join_all(attestations.iter().map(|entry| manifest(client, repository, entry)));
    let (fetched, attesting) = join(fetching, attesting).await;
    let mut children = Vec::new();
    for (entry, child) in images.iter().zip(fetched) {
        match child {
            Ok(child) => children.push(child),
            Err(error) => faults.push(format!("{}: {}", claimed(entry), chain(&error))),
        }
    }
    for (entry, manifest) in attestations.iter().zip(attesting) {
        let attested = manifest.and_then(|manifest| attest(entry, manifest, &images, &mut children));
        faults.extend(attested.err().map(|error| format!("the attestation {}: {}", entry.digest, chain(&error))));
    }
    if !faults.is_empty() {
        return Err(VerifyError::Untrue(faults));
    }
    Ok(VerifiedIndex {
        index: repository.digest(top.digest().clone()),
        media_type: top.media_type().to_string(),
        entries: children.iter().map(Entry::of).collect(),
        attestations: attestations.len(),
    })
}

/// An image that is not in an index is its own only entry.
async fn alone(
    client: &Client,
    repository: &Repository,
    top: &RawManifest,
    expected: &Expected,
) -> Result<VerifiedIndex, VerifyError> {
    if expected.platforms.is_some() {
        return Err(VerifyError::Untrue(vec!["it is one image, not an image index".into()]));
    }
    let untrue = |error: &ConfirmError| VerifyError::Untrue(vec![chain(error)]);
    let config = config_of(client, repository, top).await.map_err(|error| untrue(&error))?;
    let fields: PlatformFields = serde_json::from_slice(&config).unwrap_or_default();
    let platform = fields.platform().map_err(|_| VerifyError::Untrue(vec!["its config names no platform".into()]))?;
    let child = Child::new(top.clone(), &config, &platform, &EntryOverride::default());
    let child = child.map_err(|error| untrue(&error.into()))?;
    Ok(VerifiedIndex {
        index: repository.digest(top.digest().clone()),
        media_type: top.media_type().to_string(),
        entries: vec![Entry::of(&child)],
        attestations: 0,
    })
}

/// Fetches the child of an entry and proves that it is what the entry claims.
async fn child(
    client: &Client,
    repository: &Repository,
    entry: &Descriptor,
    expected: &Expected,
) -> Result<Child, ConfirmError> {
    let claimed = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
    let Some(platform) = claimed else { return Err(ConfirmError::NoPlatform) };
    let manifest = manifest(client, repository, entry).await?;
    let config = config_of(client, repository, &manifest).await?;
    let planned = expected.platforms.iter().flatten().find(|(planned, _)| *planned == platform);
    let believed = planned.map(|(_, entry)| entry.clone()).unwrap_or_default();
    Ok(Child::new(manifest, &config, &platform, &believed)?)
}

/// Fetches the manifest of an entry.
async fn manifest(client: &Client, repository: &Repository, entry: &Descriptor) -> Result<RawManifest, ConfirmError> {
    let manifest = client.get_manifest(repository.path(), &Selector::Digest(entry.digest.clone()), FRESH).await?;
    if manifest.size() != entry.size {
        return Err(ConfirmError::Size { claimed: entry.size, actual: manifest.size() });
    }
    Ok(manifest)
}

/// Proves that `manifest` is an attestation of an image of the index. What is wrong with that image is told of it.
fn attest(
    entry: &Descriptor,
    manifest: RawManifest,
    images: &[&Descriptor],
    children: &mut [Child],
) -> Result<(), ConfirmError> {
    let image = entry.attests().filter(|image| images.iter().any(|entry| entry.digest == *image));
    let image = image.ok_or(ConfirmError::Astray)?;
    let child = children.iter_mut().find(|child| *child.manifest().digest() == image);
    Ok(child.map_or(Ok(()), |child| child.attest(manifest, entry))?)
}

fn order_fault(planned: &[(Platform, EntryOverride)], entries: &[&Descriptor]) -> Option<String> {
    let planned: Vec<_> = planned.iter().map(|(platform, _)| platform.to_string()).collect();
    let found: Vec<_> = entries.iter().map(|entry| claimed(entry)).collect();
    (planned != found).then(|| format!("it holds {}, planned is {}", found.join(", "), planned.join(", ")))
}

fn claimed(entry: &Descriptor) -> String {
    let platform = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
    platform.map_or_else(|| entry.digest.to_string(), |platform| platform.to_string())
}

/// Proves that every final tag names `index`, and that all of it can be fetched. Its children were proven to be true
/// before they were joined: now each manifest is there by its digest, and so is each config that this run has not read
/// in this repository before.
/// `before` is how the tags stood until they were put: for a moment a registry may still show that.
pub(super) async fn published(
    client: &Client,
    target: &Target,
    index: &EncodedIndex,
    before: &[Standing],
) -> Result<DigestRef, Failure> {
    let digest = index.manifest().digest();
    let tags = join_all(before.iter().map(|tag| shows(client, target, tag, digest)));
    let children = join_all(index.children().iter().map(|one| listed(client, target, one)));
    let attestations = index.children().iter().flat_map(Child::attestations);
    let attestations = join_all(attestations.map(|one| attested(client, target, one)));
    let (tags, children, attestations) = join3(tags, children, attestations).await;
    tags.into_iter().collect::<Result<(), _>>()?;
    let faults: Vec<_> = children.into_iter().chain(attestations).filter_map(Result::err).collect();
    if !faults.is_empty() {
        return Err(failure(Phase::Verify, &format!("the published index: {}", faults.join("; ")), None));
    }
    Ok(target.repository.digest(digest.clone()))
}

async fn shows(client: &Client, target: &Target, before: &Standing, digest: &Digest) -> Result<(), Failure> {
    let named = target.repository.tag(before.tag.clone());
    let old = before.digest().filter(|_| !before.unchanged);
    let read = client.get_moved(target.repository.path(), &before.tag, old).await;
    let read = read.map_err(|error| unread(&named, digest, &error))?;
    if read.digest() == digest {
        return Ok(());
    }
    let message = format!("{named} shows {}, this run published {digest}", read.digest());
    let hint = "another run overtook this one, and its index stays; run again only if this one is newer";
    Err(failure(Phase::Verify, &message, Some(hint.into())))
}

async fn listed(client: &Client, target: &Target, child: &Child) -> Result<(), String> {
    let read = async {
        let selector = Selector::Digest(child.manifest().digest().clone());
        let manifest = client.get_manifest(target.repository.path(), &selector, FRESH).await?;
        if !target.read_here.contains(manifest.digest()) {
            config_of(client, &target.repository, &manifest).await?;
        }
        Ok::<_, ConfirmError>(())
    };
    read.await.map_err(|error| format!("{}: {}", child.platform(), chain(&error)))
}

async fn attested(client: &Client, target: &Target, attestation: &Attestation) -> Result<(), String> {
    let digest = attestation.manifest().digest();
    let read = client.get_manifest(target.repository.path(), &Selector::Digest(digest.clone()), FRESH).await;
    read.map(drop).map_err(|error| format!("the attestation {digest}: {}", chain(&error)))
}

/// Why what was put could not be read back.
pub(super) fn unread(named: &impl std::fmt::Display, ours: &Digest, error: &RegistryError) -> Failure {
    let ErrorKind::Stale(old) = error.kind() else {
        return of_registry(Phase::Verify, &format!("read {named} back"), error);
    };
    let message = format!("{named} still shows {old}, as before it was put; this run published {ours}");
    let hint =
        "the registry is slow to show it, or another run put the old one back: `polyarch verify` says what it shows";
    failure(Phase::Verify, &message, Some(hint.into()))
}
