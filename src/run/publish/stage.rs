//! Step 2: copies the images to every repository that will show the index. No final tag moves here.

use std::collections::HashSet;
use std::sync::Arc;

use super::move_tags;
use super::target::{Pushed, Target};
use crate::engine::Engine;
use crate::oci::{Digest, EncodedIndex, RawManifest, Selector};
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::{Failure, Phase};
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::{Found, manifests};
use crate::run::fetch::whole::listed;
use crate::run::storage::Storage;
use crate::run::storage::transfer::{self, ManifestSet};

/// An index whose images exist in every repository that will show it. No tag names the index yet.
pub(in crate::run) struct StagedIndex {
    pub(in crate::run) index: EncodedIndex,
    /// The repositories, in the order in which their tags move.
    pub(in crate::run) destinations: Vec<Destination>,
    /// Images that get the final tags on their engine, so that `docker run NAME:TAG` works.
    pub(in crate::run) names: Vec<(Arc<Engine>, Digest)>,
}

/// A repository that will show an index.
pub(in crate::run) struct Destination {
    pub(in crate::run) target: Target<Storage>,
    /// The children that this run pushed to the repository under arch tags.
    pub(in crate::run) pushed: Vec<Pushed>,
}

impl StagedIndex {
    /// The image's name in the plan.
    pub(super) fn image(&self) -> &str {
        self.destinations.first().map_or("", |destination| &destination.target.image)
    }
}

/// Copies the images of `found` and the manifests of their arch tags from `target` to all of its copies.
pub(super) async fn stage(
    target: Target<Storage>,
    found: &[Found],
    reporter: ImageReporter<'_>,
) -> Result<Vec<Destination>, Failure> {
    let pushed = pushed(&target, found);
    let mut copies = Vec::new();
    if !target.copies.is_empty() {
        let tops = indexes_of_arch_tags(&target.storage, found, &pushed).await?;
        let mut seen = HashSet::new();
        let images: Vec<_> =
            manifests(found).into_iter().chain(&tops).filter(|manifest| seen.insert(manifest.digest())).collect();
        for storage in &target.copies {
            let set = ManifestSet { from: &target.storage, manifests: images.clone() };
            copies.push(copy_to(target.copied_to(storage), &[set], reporter).await?);
            copy_arch_tags(storage, &pushed, &images, reporter).await?;
        }
    }
    Ok(std::iter::once(Destination { target, pushed }).chain(copies).collect())
}

/// Copies the images of `sets` to the repository of `target`.
pub(in crate::run) async fn copy_to(
    mut target: Target<Storage>,
    sets: &[ManifestSet<'_>],
    reporter: ImageReporter<'_>,
) -> Result<Destination, Failure> {
    target.there.extend(transfer::transfer(sets, &target.storage, reporter).await?);
    Ok(Destination { target, pushed: Vec::new() })
}

async fn copy_arch_tags(
    to: &Storage,
    pushed: &[Pushed],
    images: &[&RawManifest],
    reporter: ImageReporter<'_>,
) -> Result<(), Failure> {
    for Pushed { tag, top, .. } in pushed {
        if let Some(manifest) = images.iter().find(|manifest| manifest.digest() == top) {
            move_tags::copy_arch_tag(to, tag, manifest, reporter).await?;
        }
    }
    Ok(())
}

/// The indexes that arch tags name, each after all manifests that it lists. The images of `found` are not read again.
async fn indexes_of_arch_tags(from: &Storage, found: &[Found], pushed: &[Pushed]) -> Result<Vec<RawManifest>, Failure> {
    let known: HashSet<&Digest> = manifests(found).into_iter().map(RawManifest::digest).collect();
    let mut tops = Vec::new();
    for Pushed { top, .. } in pushed.iter().filter(|pushed| !known.contains(&pushed.top)) {
        tops.extend(whole(from, top).await.map_err(|error| unread(from, top, &error))?);
    }
    Ok(tops)
}

/// The index with this digest, after all manifests that it lists.
async fn whole(from: &Storage, top: &Digest) -> Result<Vec<RawManifest>, ConfirmError> {
    let selector = Selector::Digest(top.clone());
    let top = from.manifest(&selector, Visibility::Settled).await?;
    let mut all = listed(from, &top).await?;
    all.push(top);
    Ok(all)
}

fn unread(from: &Storage, top: &Digest, error: &ConfirmError) -> Failure {
    let phase = if error.is_refusal() { Phase::Verify } else { Phase::Publish };
    let message = format!("read {}: {}", from.digest(top.clone()), chain(error));
    failure(phase, &message, error.hint()).because(error)
}

/// Each child with its arch tag. `found` has the children in the order in which their builds ended.
fn pushed<P>(target: &Target<P>, found: &[Found]) -> Vec<Pushed> {
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
    use crate::oci::{Child, EntryOverride, Platform};
    use crate::plan::ArchTags;
    use crate::plan::AttestationPolicy;
    use crate::run::fetch::found::Dropped;
    use crate::run::publish::target::Base;
    use std::collections::BTreeSet;

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
