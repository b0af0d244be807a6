//! Asks a storage for every blob of manifests before a tag moves to them. Garbage collection or a retention rule may
//! delete layers but keep their manifest (OCI distribution-spec, "Pulling blobs").

use std::collections::BTreeSet;

use super::blobs::{self, BlobToCheck, Checked, CheckedBlob, Fault};
use crate::oci::{Attestation, Child, Content, Digest, ImageManifest, RawManifest};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};
use crate::run::storage::Storage;

/// How many faults one message names.
const NAMED: usize = 3;

/// A manifest, and its name in messages.
pub(in crate::run) struct Named<'a> {
    pub(in crate::run) of: String,
    pub(in crate::run) manifest: &'a RawManifest,
}

/// Blobs that a storage lacks, and blobs about which it did not answer.
#[derive(Debug)]
pub(in crate::run) struct Incomplete {
    /// The faults as text.
    pub(in crate::run) faults: String,
    /// [`Phase::Verify`] if a blob is lost or wrong, [`Phase::Publish`] if the registry gave no answer.
    pub(in crate::run) phase: Phase,
}

impl Incomplete {
    /// The failure to report. `end` is the consequence for the tags.
    pub(in crate::run) fn failure(&self, storage: &Storage, end: &str) -> Failure {
        let hint = (self.phase == Phase::Verify).then(|| LOST.to_owned());
        failure(self.phase, &format!("{}: {}; {end}", storage.location(), self.faults), hint)
    }
}

/// The next step if a registry lost a blob.
pub(in crate::run) const LOST: &str =
    "build and push the image again: garbage collection or a retention rule may have deleted a part of it";

/// The warning about a registry that does not report whether it has some blobs.
pub(in crate::run) fn not_answered(storage: &Storage, blobs: usize) -> Warning {
    let message = format!("{} does not report whether it has {blobs} of the blobs", storage.location());
    let hint = Some("pull the image once to check them: the registry answers only with all bytes of a blob".into());
    Warning { image: None, platform: None, message: message.into(), hint }
}

/// The manifests of images and of their attestations.
pub(in crate::run) fn named(children: &[Child]) -> Vec<Named<'_>> {
    let of = |child: &Child| child.platform().to_string();
    let images = children.iter().map(|child| Named { of: of(child), manifest: child.manifest() });
    let attested = children.iter().flat_map(|child| child.attestations().iter().map(move |one| (child, one)));
    let attested = attested.map(|(child, one): (&Child, &Attestation)| Named {
        of: format!("the attestation of {}", of(child)),
        manifest: one.manifest(),
    });
    images.chain(attested).collect()
}

/// The answers of a storage that lacks no blob.
#[derive(Debug)]
pub(in crate::run) struct Complete {
    /// The blobs that exist in the storage.
    pub(in crate::run) there: BTreeSet<Digest>,
    /// The number of blobs that the registry confirms only with all of their bytes.
    pub(in crate::run) unanswered: usize,
}

/// Asks `storage` for each blob of `manifests` once, except for blobs in `known`. This run saw those in the storage.
///
/// # Errors
/// Fails for blobs that are missing or have another size than in their manifest. Also fails if the storage does not
/// answer.
pub(in crate::run) async fn complete(
    storage: &Storage,
    manifests: &[Named<'_>],
    known: &BTreeSet<Digest>,
) -> Result<Complete, Incomplete> {
    let images = manifests.iter().filter_map(|Named { of, manifest }| match manifest.content() {
        Ok(Content::Image(image)) => Some((of, image)),
        Ok(Content::Index(_)) | Err(_) => None,
    });
    let images: Vec<(&String, ImageManifest)> = images.collect();
    let blobs = images.iter().flat_map(|(of, image)| {
        let blobs = std::iter::once(&image.config).chain(&image.layers);
        blobs.map(|blob| BlobToCheck { blob, of: (*of).clone(), platform: None })
    });
    let unknown: Vec<_> = blobs.filter(|piece| !known.contains(&piece.blob.digest)).collect();
    let (checked, faults) = blobs::check(storage, &unknown, &BTreeSet::new()).await;
    if faults.is_empty() {
        let is_there = |blob: &CheckedBlob| blob.checked != Checked::Unanswered;
        let there: BTreeSet<_> = checked.iter().filter(|blob| is_there(blob)).map(|blob| blob.digest.clone()).collect();
        return Ok(Complete { unanswered: checked.len() - there.len(), there });
    }
    let phase = if faults.iter().any(Fault::is_untrue) { Phase::Verify } else { Phase::Publish };
    // Faults that decide the exit code come first.
    let (untrue, unasked): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.is_untrue());
    let mut texts: Vec<_> = untrue.into_iter().chain(unasked).take(NAMED).map(ToString::to_string).collect();
    if faults.len() > NAMED {
        texts.push(format!("and {} more", faults.len() - NAMED));
    }
    Err(Incomplete { faults: texts.join("; "), phase })
}
