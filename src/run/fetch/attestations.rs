//! The attestations of images. polyarch fetches them with their image, or leaves them out of the index.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::error::ConfirmError;
use super::found::Found;
use crate::oci::{Child, Descriptor, Digest, RawManifest, Selector};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;
use crate::run::event::Warning;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::fetch::found::Dropped;
use crate::run::storage::Storage;

/// The most attestation manifests that polyarch accepts for one image. BuildKit writes one.
const MAX_ATTESTATIONS: usize = 16;

/// The attestations that an index has for one of its images.
#[derive(Debug, Default)]
pub(in crate::run) struct EntryAttestations<'a> {
    entries: Vec<&'a Descriptor>,
    left_out: Dropped,
}

impl<'a> EntryAttestations<'a> {
    /// The attestations of `image` among `entries`, the entries of an index. Attestations of other images do not
    /// count.
    pub(in crate::run) fn of(image: &Digest, entries: &'a [Descriptor], policy: AttestationPolicy) -> Self {
        let own = entries.iter().filter(|entry| entry.attests().as_ref() == Some(image));
        match policy {
            AttestationPolicy::Keep => {
                let left_out = Dropped { astray: astray(entries), ..Dropped::default() };
                Self { entries: own.collect(), left_out }
            }
            AttestationPolicy::Strip => {
                let stripped = own.map(|entry| entry.digest.clone()).collect();
                Self { entries: Vec::new(), left_out: Dropped { stripped, ..Dropped::default() } }
            }
        }
    }

    /// Fetches the attestations by digest.
    pub(in crate::run) async fn fetch(
        &self,
        storage: &Storage,
        visibility: Visibility,
    ) -> Result<Vec<RawManifest>, ConfirmError> {
        if self.entries.len() > MAX_ATTESTATIONS {
            return Err(ConfirmError::Attestations { count: self.entries.len(), most: MAX_ATTESTATIONS });
        }
        let fetching = self.entries.iter().map(async |entry| {
            let selector = Selector::Digest(entry.digest.clone());
            let manifest = storage.manifest(&selector, visibility).await;
            manifest.map_err(|error| ConfirmError::attestation(&entry.digest, error.into()))
        });
        try_join_all(fetching).await
    }

    /// Verifies that the fetched `manifests` attest `child`, and adds them to `child`.
    pub(in crate::run) fn attest(
        self,
        child: &mut Child,
        manifests: Vec<RawManifest>,
    ) -> Result<Dropped, ConfirmError> {
        for (entry, manifest) in self.entries.into_iter().zip(manifests) {
            let attested = child.attest(manifest, entry);
            attested.map_err(|error| ConfirmError::attestation(&entry.digest, error.into()))?;
        }
        Ok(self.left_out)
    }
}

impl Found {
    /// Removes the fields that a registry among `storages` refuses. All registries get the same index.
    pub(in crate::run) fn leave_out_what_is_refused<'a>(&mut self, storages: impl IntoIterator<Item = &'a Storage>) {
        if !storages.into_iter().all(Storage::takes_features) {
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

/// Warns about the content that the joined index leaves out. Attestations that several images share count once.
pub(in crate::run) async fn warn(found: &[Found], reporter: ImageReporter<'_>) {
    let count = |which: fn(&Dropped) -> &Vec<Digest>| {
        found.iter().flat_map(|found| which(&found.left_out)).collect::<BTreeSet<_>>().len()
    };
    for (count, why) in [
        (count(|left| &left.stripped), "`attestations: strip`"),
        (count(|left| &left.astray), "their image is not in the index"),
    ] {
        if count > 0 {
            let message = format!("attestations left out of the index: {count} ({why})");
            reporter.warn(Warning { image: None, platform: None, message: message.into(), hint: None }).await;
        }
    }
    for found in found.iter().filter(|found| found.left_out.features) {
        let message = "`features` left out of the entry: Amazon ECR refuses an index with `features`".to_owned();
        let platform = Some(found.child.platform().clone());
        reporter.warn(Warning { image: None, platform, message: message.into(), hint: None }).await;
    }
    let annotations: usize = found.iter().map(|found| found.left_out.annotations).sum();
    if annotations > 0 {
        let message = format!("annotations left out of the index: {annotations} (they belong to source indexes)");
        let hint = Some("set annotations of the new index with `--annotation`".into());
        reporter.warn(Warning { image: None, platform: None, message: message.into(), hint }).await;
    }
}
