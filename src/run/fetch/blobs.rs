//! Checks blobs as a client would ask for them: each blob must exist and have the size in its manifest.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use super::walk::AT_ONCE;
use crate::oci::{Descriptor, Digest, MediaType, Platform};
use crate::registry::BlobHead;
use crate::run::event::failure::chain;
use crate::run::storage::{BlobCheck, Storage};

/// A blob of a verified index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedBlob {
    /// The digest of the blob.
    pub digest: Digest,
    /// The media type in the manifest.
    pub media_type: MediaType,
    /// The size in bytes in the manifest.
    pub size: u64,
    /// How closely polyarch checked the blob.
    pub checked: Checked,
}

/// How closely polyarch checked a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Checked {
    /// polyarch read the blob, and its digest is right. This holds for configs of images and for all blobs of a layout.
    Hashed,
    /// The registry has the blob with the size in the manifest.
    Size,
    /// The registry has the blob, but does not report its size.
    Present,
    /// polyarch did not ask for the blob, because registries do not distribute it.
    Foreign,
    /// It is not known whether the registry has the blob. The registry answers only with all bytes of a blob.
    Unanswered,
}

/// A blob, and the manifest that names it.
pub(in crate::run) struct BlobToCheck<'a> {
    pub(in crate::run) blob: &'a Descriptor,
    /// The name of the manifest in messages.
    pub(in crate::run) of: String,
    /// The platform of the image with the blob, if it is known.
    pub(in crate::run) platform: Option<&'a Platform>,
}

/// Why clients cannot rely on a blob.
#[derive(Debug)]
pub(in crate::run) struct Fault {
    /// The platform of the image with the blob, if it is known.
    pub(in crate::run) platform: Option<Platform>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The storage answered: the blob is missing or differs from its manifest.
    Untrue(String),
    /// The storage did not answer.
    Unasked(String),
}

impl Fault {
    fn untrue(piece: &BlobToCheck<'_>, text: String) -> Self {
        Self { platform: piece.platform.cloned(), what: What::Untrue(text) }
    }

    pub(in crate::run) fn is_untrue(&self) -> bool {
        matches!(self.what, What::Untrue(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (What::Untrue(text) | What::Unasked(text)) = &self.what;
        f.write_str(text)
    }
}

/// Asks for each blob of `pieces` once, except for blobs in `hashed`. Returns the checked blobs in the order of
/// `pieces`, and the faults.
pub(in crate::run) async fn check(
    storage: &Storage,
    pieces: &[BlobToCheck<'_>],
    hashed: &BTreeSet<&Digest>,
) -> (Vec<CheckedBlob>, Vec<Fault>) {
    let (once, mut faults) = once(pieces);
    // The futures exist before the stream. Otherwise a spawned task could not await this function.
    let asking: Vec<_> = once.into_iter().map(|piece| ask(storage, piece, hashed)).collect();
    let asking = stream::iter(asking);
    let mut checked = Vec::new();
    for known in asking.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match known {
            Ok(blob) => checked.push(blob),
            Err(fault) => faults.push(fault),
        }
    }
    (checked, faults)
}

/// Returns each blob once. If two manifests disagree on the size of a blob, one of them is wrong.
fn once<'a, 'b>(pieces: &'b [BlobToCheck<'a>]) -> (Vec<&'b BlobToCheck<'a>>, Vec<Fault>) {
    let (mut seen, mut kept, mut faults) = (BTreeMap::new(), Vec::new(), Vec::new());
    for piece in pieces {
        let Descriptor { digest, size, .. } = piece.blob;
        match seen.entry(digest) {
            Entry::Vacant(vacant) => {
                vacant.insert(size);
                kept.push(piece);
            }
            Entry::Occupied(first) if *first.get() == size => {}
            Entry::Occupied(first) => {
                let of = &piece.of;
                let text =
                    format!("{of} specifies {size} bytes for {digest}, but another manifest specifies {}", first.get());
                faults.push(Fault::untrue(piece, text));
            }
        }
    }
    (kept, faults)
}

async fn ask(storage: &Storage, piece: &BlobToCheck<'_>, hashed: &BTreeSet<&Digest>) -> Result<CheckedBlob, Fault> {
    let BlobToCheck { blob, of, .. } = piece;
    let Descriptor { digest, size, media_type, .. } = *blob;
    let known =
        |checked| Ok(CheckedBlob { digest: digest.clone(), media_type: media_type.clone(), size: *size, checked });
    if hashed.contains(digest) {
        return known(Checked::Hashed);
    }
    if !blob.is_distributable() {
        return known(Checked::Foreign);
    }
    let untrue = |text: String| Err(Fault::untrue(piece, format!("{of}: {text}")));
    match storage.look_at(blob).await {
        Ok(Some(BlobCheck::Whole)) => known(Checked::Hashed),
        Ok(Some(BlobCheck::Said(BlobHead::Sized(actual)))) if actual != *size => {
            untrue(format!("{digest} has {actual} bytes in the registry, but {size} bytes in the manifest"))
        }
        Ok(Some(BlobCheck::Said(BlobHead::Sized(_)))) => known(Checked::Size),
        Ok(Some(BlobCheck::Said(BlobHead::Present))) => known(Checked::Present),
        Ok(Some(BlobCheck::Said(BlobHead::Unanswered))) => known(Checked::Unanswered),
        Ok(None) => untrue(format!("the registry does not have {digest} ({size} bytes), which the manifest lists")),
        Err(error) if error.is_not_found() || error.is_refusal() => untrue(chain(&error)),
        Err(error) => {
            let what = What::Unasked(format!("{of}: {}", chain(&error)));
            Err(Fault { platform: piece.platform.cloned(), what })
        }
    }
}
