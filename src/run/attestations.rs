//! The attestations of images: fetched with them, or left out.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::confirm::{ConfirmError, Found};
use super::event::{Event, Warning};
use super::place::Place;
use crate::oci::{Child, Descriptor, Digest, RawManifest, Selector};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;

/// Most attestation manifests of one image that are taken; BuildKit writes one.
const MAX_ATTESTATIONS: usize = 16;

/// What an index has of an image, or beside it, that will not be in the joined index.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOut {
    /// How many annotations its entry, or the index itself, has.
    pub(super) annotations: usize,
    /// The image's entry has `features`, which one of the registries does not take.
    features: bool,
    /// They are the image's, and `strip` was said.
    stripped: Vec<Digest>,
    /// They name no image of their index.
    astray: Vec<Digest>,
}

/// What an index has beside one of its images.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    entries: Vec<&'a Descriptor>,
    left_out: LeftOut,
}

impl<'a> Beside<'a> {
    /// The attestations of `image` among `entries`, the entries of an index; those of its other images are theirs.
    pub(super) fn of(image: &Digest, entries: &'a [Descriptor], policy: AttestationPolicy) -> Self {
        let own = entries.iter().filter(|entry| entry.attests().as_ref() == Some(image));
        match policy {
            AttestationPolicy::Keep => {
                let left_out = LeftOut { astray: astray(entries), ..LeftOut::default() };
                Self { entries: own.collect(), left_out }
            }
            AttestationPolicy::Strip => {
                let stripped = own.map(|entry| entry.digest.clone()).collect();
                Self { entries: Vec::new(), left_out: LeftOut { stripped, ..LeftOut::default() } }
            }
        }
    }

    /// Fetches them by digest.
    pub(super) async fn fetch(&self, place: &Place, visibility: Visibility) -> Result<Vec<RawManifest>, ConfirmError> {
        if self.entries.len() > MAX_ATTESTATIONS {
            return Err(ConfirmError::Attestations { count: self.entries.len(), most: MAX_ATTESTATIONS });
        }
        let fetching = self.entries.iter().map(async |entry| {
            let selector = Selector::Digest(entry.digest.clone());
            let manifest = place.manifest(&selector, visibility).await;
            manifest.map_err(|error| ConfirmError::attestation(&entry.digest, error.into()))
        });
        try_join_all(fetching).await
    }

    /// Proves that `manifests`, as they were fetched, are attestations of `child`, which takes them.
    pub(super) fn attest(self, child: &mut Child, manifests: Vec<RawManifest>) -> Result<LeftOut, ConfirmError> {
        for (entry, manifest) in self.entries.into_iter().zip(manifests) {
            let attested = child.attest(manifest, entry);
            attested.map_err(|error| ConfirmError::attestation(&entry.digest, error.into()))?;
        }
        Ok(self.left_out)
    }
}

impl Found {
    /// Leaves out the fields for which a registry among `places` would refuse the whole index. All of them get the same
    /// index.
    pub(super) fn leave_out_what_is_refused<'a>(&mut self, places: impl IntoIterator<Item = &'a Place>) {
        if !places.into_iter().all(Place::takes_features) {
            self.left_out.features |= self.child.leave_out_features();
        }
    }
}

/// The attestations that name no image of their index.
fn astray(entries: &[Descriptor]) -> Vec<Digest> {
    let images: BTreeSet<_> = entries.iter().filter(|entry| !entry.is_attestation()).map(|e| &e.digest).collect();
    let attestations = entries.iter().filter(|entry| entry.is_attestation());
    let of_none = attestations.filter(|entry| !entry.attests().is_some_and(|image| images.contains(&image)));
    of_none.map(|entry| entry.digest.clone()).collect()
}

/// Says what of the images the index leaves out, once, though several images may be of one index.
pub(super) async fn warn(image: &str, found: &[Found], events: &mpsc::Sender<Event>) {
    let count = |which: fn(&LeftOut) -> &Vec<Digest>| {
        found.iter().flat_map(|found| which(&found.left_out)).collect::<BTreeSet<_>>().len()
    };
    for (count, why) in [
        (count(|left| &left.stripped), "`attestations: strip`"),
        (count(|left| &left.astray), "they name no image beside them"),
    ] {
        if count > 0 {
            let message = format!("attestations left out of the index: {count} ({why})");
            let warning =
                Warning { image: Some(image.to_owned()), platform: None, message: message.into(), hint: None };
            drop(events.send(Event::Warning(warning)).await);
        }
    }
    for found in found.iter().filter(|found| found.left_out.features) {
        let message = "`features` left out of its entry: Amazon ECR refuses an index that has them".to_owned();
        let (image, platform) = (Some(image.to_owned()), Some(found.child.platform().clone()));
        drop(events.send(Event::Warning(Warning { image, platform, message: message.into(), hint: None })).await);
    }
    let annotations: usize = found.iter().map(|found| found.left_out.annotations).sum();
    if annotations > 0 {
        let message = format!("annotations left out of the index: {annotations} (indexes among the sources have them)");
        let hint = Some("what is to be in it is said with `--annotation`".into());
        drop(
            events
                .send(Event::Warning(Warning {
                    image: Some(image.to_owned()),
                    platform: None,
                    message: message.into(),
                    hint,
                }))
                .await,
        );
    }
}
