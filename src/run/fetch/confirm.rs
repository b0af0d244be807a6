//! Proves that the registry has the image that the engine built: fetches its bytes, hashes them and compares the
//! digests.

use std::collections::BTreeSet;

use futures::future::try_join;

use super::attestations::EntryAttestations;
use super::complete::{Named, complete};
use super::flat::Flattener;
use super::found::Dropped;
use super::listing::Read;
use crate::engine::{BuiltImage, ImageStore};
use crate::oci::{
    Child, ChildError, Content, Descriptor, Digest, EntryOverride, ImageManifest, Platform, PlatformFields,
    RawManifest, Selector,
};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::storage::Storage;

/// Fetches the content that `selector` names, and returns it as the child manifest of `platform`.
///
/// An index is reduced to its one image of the platform, with the attestations of that image. containerd's image
/// store pushes such an index if the image has attestations.
pub(in crate::run) async fn find(
    storage: &Storage,
    selector: &Selector,
    visibility: Visibility,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let manifest = storage.manifest(selector, visibility).await?;
    let top = flat(storage, manifest, visibility, platform).await?;
    find_in(storage, &top, visibility, platform, entry, attestations).await
}

/// [`find`]s and [`prove`]s the content of `tag` before a push. If that content may be all of `built`, polyarch asks
/// for its config and its layers at once.
pub(in crate::run) async fn find_current(
    storage: &Storage,
    tag: &Selector,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
    built: &BuiltImage,
) -> Result<Found, ConfirmError> {
    let manifest = storage.manifest(tag, Visibility::Settled).await?;
    let top = flat(storage, manifest, Visibility::Settled, platform).await?;
    let finding = find_in(storage, &top, Visibility::Settled, platform, entry, attestations);
    let (found, there) = tokio::join!(finding, layers_there(storage, &top, built));
    let mut found = found?;
    prove(&found, built)?;
    found.there.extend(there);
    Ok(found)
}

/// The layers of `top` that exist in the storage, if `top` is `built`. [`complete`] reports missing layers later.
async fn layers_there(storage: &Storage, top: &Read, built: &BuiltImage) -> BTreeSet<Digest> {
    let Content::Image(ImageManifest { config, .. }) = &top.content else { return BTreeSet::new() };
    if built.id != config.digest && built.id != *top.manifest.digest() {
        return BTreeSet::new();
    }
    let image = Named { of: String::new(), manifest: &top.manifest };
    let known = BTreeSet::from([config.digest.clone()]);
    complete(storage, &[image], &known).await.map(|complete| complete.there).unwrap_or_default()
}

/// Parses `manifest`. For an index, also expands nested indexes that may list `platform`.
pub(in crate::run) async fn flat(
    storage: &Storage,
    manifest: RawManifest,
    visibility: Visibility,
    platform: &Platform,
) -> Result<Read, ConfirmError> {
    let content = match manifest.content().map_err(ChildError::from)? {
        Content::Index(index) => {
            let wanted = std::slice::from_ref(platform);
            let opening = Flattener { storage, visibility, wanted };
            Content::Index(opening.flatten(index).await?.index)
        }
        image @ Content::Image(_) => image,
    };
    Ok(Read { manifest, content })
}

/// [`find`] in `top`, which was fetched and is [`flat`].
pub(in crate::run) async fn find_in(
    storage: &Storage,
    Read { manifest: top, content }: &Read,
    visibility: Visibility,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let Content::Index(index) = content else {
        let child = image(storage, top.clone(), platform, entry).await?;
        return Ok(Found::read(child, top.digest().clone(), Dropped::default()));
    };
    let chosen = choose(&index.manifests, platform)?;
    let beside = EntryAttestations::of(&chosen.digest, &index.manifests, attestations);
    let found = async {
        let manifest = listed(storage, chosen, visibility).await?;
        let mut child = image(storage, manifest, platform, entry).await?;
        child.listed_as(chosen)?;
        Ok(child)
    };
    let (mut child, manifests) = try_join(found, beside.fetch(storage, visibility)).await?;
    let left_out = beside.attest(&mut child, manifests)?;
    Ok(Found::read(child, top.digest().clone(), left_out))
}

/// The manifest of an entry of an index.
pub(in crate::run) async fn listed(
    storage: &Storage,
    entry: &Descriptor,
    visibility: Visibility,
) -> Result<RawManifest, ConfirmError> {
    let manifest = storage.manifest(&Selector::Digest(entry.digest.clone()), visibility).await;
    manifest.map_err(|error| ConfirmError::part("image", &entry.digest, error))
}

async fn image(
    storage: &Storage,
    manifest: RawManifest,
    platform: &Platform,
    entry: &EntryOverride,
) -> Result<Child, ConfirmError> {
    let config = config_of(storage, &manifest).await?;
    Ok(Child::new(manifest, &config, platform, entry)?)
}

/// Proves that the child in the registry is the image that the engine built.
pub(in crate::run) fn prove(found: &Found, built: &BuiltImage) -> Result<(), ConfirmError> {
    let (proof, held) = match built.store {
        ImageStore::GraphDriver => (found.child.config() == &built.id, found.child.config()),
        ImageStore::Containerd | ImageStore::None => {
            (found.child.manifest().digest() == &built.id || found.top == built.id, found.child.manifest().digest())
        }
    };
    let other = || ConfirmError::Other { built: built.id.clone(), found: held.clone(), named: found.top.clone() };
    if proof { Ok(()) } else { Err(other()) }
}

/// The bytes of an image's config. An index has no config: [`Child::new`] refuses it.
pub(in crate::run) async fn config_of(storage: &Storage, manifest: &RawManifest) -> Result<Vec<u8>, ConfirmError> {
    match manifest.content().map_err(ChildError::from)? {
        Content::Image(image) => {
            let config = storage.config(&image.config).await;
            let config = config.map_err(|error| ConfirmError::part("config", &image.config.digest, error))?;
            // Old tools gave configs other media types. A config that names its platform is the config of an image.
            let names_platform = || PlatformFields::of_config(&config).ok().flatten()?.platform().ok();
            match image.artifact() {
                Some(what) if names_platform().is_none() => Err(ConfirmError::Artifact(what)),
                _ => Ok(config.into()),
            }
        }
        Content::Index(_) => Ok(Vec::new()),
    }
}

/// The only entry of `platform`.
pub(in crate::run) fn choose<'a>(
    entries: &'a [Descriptor],
    platform: &Platform,
) -> Result<&'a Descriptor, ConfirmError> {
    let exact = entries.iter().filter(|entry| entry.platform().as_ref() == Some(platform));
    let mut matching: Vec<_> = exact.collect();
    if matching.is_empty() {
        matching = entries.iter().filter(|entry| entry.platform().is_some_and(|own| platform.covers(&own))).collect();
    }
    match matching[..] {
        [one] => Ok(one),
        _ => Err(ConfirmError::Index { count: matching.len(), platform: platform.clone(), held: held(entries) }),
    }
}

/// The platforms of an index, as text.
pub(in crate::run) fn held(entries: &[Descriptor]) -> String {
    let name = |entry: &Descriptor| {
        entry.platform().map_or_else(|| "an entry without a platform".to_owned(), |platform| platform.to_string())
    };
    let names: Vec<_> = entries.iter().filter(|entry| !entry.is_attestation()).map(name).collect();
    if names.is_empty() { "no image".into() } else { names.join(", ") }
}
