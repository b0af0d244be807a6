//! Blobs, as who pulls would ask for them: is it there, and as large as its manifest says.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::stream::{self, StreamExt as _};
use serde::Serialize;

use crate::oci::{Descriptor, Digest, MediaType, Platform};
use crate::registry::BlobHead;
use crate::run::failure::chain;
use crate::run::listing::AT_ONCE;
use crate::run::place::{Place, Seen};

/// A blob of a verified index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, as its manifest says.
    pub media_type: MediaType,
    /// Its size in bytes, as its manifest says.
    pub size: u64,
    /// What is known of it.
    pub checked: Checked,
}

/// How far a blob was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// Read, and it has its digest: configs of images, and all that is in a layout.
    Hashed,
    /// The registry has it, of the size that its manifest says.
    Size,
    /// The registry has it, and does not say how much of it.
    Present,
    /// Not asked for: registries do not hand it on.
    Foreign,
    /// Not known: the registry answers for blobs only with all of them.
    Unanswered,
}

/// A blob, and whose it is.
pub(super) struct Piece<'a> {
    pub(super) blob: &'a Descriptor,
    /// The manifest that names it, in words.
    pub(super) of: String,
    /// The platform of the image that has it, where it is known.
    pub(super) platform: Option<&'a Platform>,
}

/// Why nobody can rely on a blob, in words.
#[derive(Debug)]
pub(super) struct Fault {
    /// The platform of the image that has the blob, where it is known.
    pub(super) platform: Option<Platform>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The place answered: the blob is not there, or not as its manifest says.
    Untrue(String),
    /// The place did not answer.
    Unasked(String),
}

impl Fault {
    fn untrue(piece: &Piece<'_>, text: String) -> Self {
        Self { platform: piece.platform.cloned(), what: What::Untrue(text) }
    }

    pub(super) fn is_untrue(&self) -> bool {
        matches!(self.what, What::Untrue(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (What::Untrue(text) | What::Unasked(text)) = &self.what;
        f.write_str(text)
    }
}

/// Asks for all of `pieces`, each blob once, but for those that were `hashed`. Gives what is known, in the order of
/// `pieces`, and what is wrong.
pub(super) async fn check(
    place: &Place,
    pieces: &[Piece<'_>],
    hashed: &BTreeSet<&Digest>,
) -> (Vec<CheckedBlob>, Vec<Fault>) {
    let (once, mut faults) = once(pieces);
    // The futures are made before they are streamed, so that a task may await this.
    let asking: Vec<_> = once.into_iter().map(|piece| ask(place, piece, hashed)).collect();
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

/// Each blob once. Two manifests that disagree on the size of one cannot both be right.
fn once<'a, 'b>(pieces: &'b [Piece<'a>]) -> (Vec<&'b Piece<'a>>, Vec<Fault>) {
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
                let text = format!("{of} says that {digest} has {size} bytes, another manifest {}", first.get());
                faults.push(Fault::untrue(piece, text));
            }
        }
    }
    (kept, faults)
}

async fn ask(place: &Place, piece: &Piece<'_>, hashed: &BTreeSet<&Digest>) -> Result<CheckedBlob, Fault> {
    let Piece { blob, of, .. } = piece;
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
    match place.look_at(blob).await {
        Ok(Some(Seen::Whole)) => known(Checked::Hashed),
        Ok(Some(Seen::Said(BlobHead::Sized(actual)))) if actual != *size => {
            untrue(format!("the registry has {actual} bytes as {digest}, the manifest says {size}"))
        }
        Ok(Some(Seen::Said(BlobHead::Sized(_)))) => known(Checked::Size),
        Ok(Some(Seen::Said(BlobHead::Present))) => known(Checked::Present),
        Ok(Some(Seen::Said(BlobHead::Unanswered))) => known(Checked::Unanswered),
        Ok(None) => untrue(format!("the registry has not got {digest} ({size} bytes), which the manifest lists")),
        Err(error) if error.is_not_found() || error.is_refusal() => untrue(chain(&error)),
        Err(error) => {
            let what = What::Unasked(format!("{of}: {}", chain(&error)));
            Err(Fault { platform: piece.platform.cloned(), what })
        }
    }
}
