//! Copies an image to other registries: its platforms, their attestations and the arch tags. The source is the
//! registry that the image was built for. No final tag moves here.

use std::collections::{BTreeSet, HashSet};

use tokio::sync::mpsc;

use super::tagging::Tagging;
use super::target::{Pushed, Target};
use crate::oci::{Digest, RawManifest, Selector};
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Event, Failure, Phase};
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::fetch::found::manifests;
use crate::run::fetch::whole::listed;
use crate::run::storage::Storage;
use crate::run::storage::transfer::{self, ManifestSet};

/// Copies all found parts of an image, and the manifests of its arch tags, to every copy of `target`. Returns the
/// digests of blobs that exist in each copy.
pub(in crate::run) async fn bring(
    target: &Target<Storage>,
    found: &[Found],
    pushed: &[Pushed],
    events: &mpsc::Sender<Event>,
) -> Result<Vec<BTreeSet<Digest>>, Failure> {
    if target.copies.is_empty() {
        return Ok(Vec::new());
    }
    let (from, children) = (&target.storage, manifests(found));
    let known: HashSet<&Digest> = children.iter().map(|manifest| manifest.digest()).collect();
    let mut tops = Vec::new();
    for Pushed { top, .. } in pushed {
        if !known.contains(top) {
            tops.extend(whole(from, top).await.map_err(|error| unread(from, top, &error))?);
        }
    }
    let mut seen = HashSet::new();
    let all = children.iter().copied().chain(&tops).filter(|manifest| seen.insert(manifest.digest()));
    let all: Vec<&RawManifest> = all.collect();
    let mut brought = Vec::new();
    for to in &target.copies {
        let load = ManifestSet { from, manifests: all.clone() };
        brought.push(transfer::transfer(&[load], to, &target.image, events).await?);
        let tagging = Tagging { storage: to, image: &target.image };
        for Pushed { tag, top, .. } in pushed {
            let named = all.iter().copied().find(|manifest| manifest.digest() == top);
            if let Some(manifest) = named {
                tagging.put_arch_tag(tag, manifest, events).await?;
            }
        }
    }
    Ok(brought)
}

/// The index that an arch tag names, after all manifests that it lists.
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
    failure(phase, &message, error.hint())
}
