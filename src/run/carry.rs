//! Images from one repository to another: blobs first, then the manifests that name them, byte for byte, by digest.
//! No tag moves here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::event::{Event, Failure, ImageEvent, Phase, Warning};
use super::failure::{failure, of_registry};
use super::place::Place;
use crate::oci::{Content, Descriptor, RawManifest, Selector};
use crate::registry::{Arrival, BlobSource};

/// Blobs, and manifests, that are under way at once. A blob is two requests, and both may be to one registry: no
/// registry has more than eight at a time.
const AT_ONCE: usize = 4;
/// How often it is said how far it is.
const TOLD: Duration = Duration::from_secs(5);

/// Manifests, images before the indexes that list them, and where they are.
pub(super) struct Load<'a> {
    pub(super) from: &'a Place,
    pub(super) manifests: Vec<&'a RawManifest>,
}

/// A blob that is to be brought.
struct Piece<'a> {
    from: &'a Place,
    blob: Descriptor,
}

/// What came of the blobs.
#[derive(Default)]
struct Arrivals {
    present: usize,
    mounted: usize,
    copied: usize,
}

/// Brings all of `loads` to `to`, and says so of `image`. What is in that repository already stays as it is.
pub(super) async fn carry(
    loads: &[Load<'_>],
    to: &Place,
    image: &str,
    events: &mpsc::Sender<Event>,
) -> Result<(), Failure> {
    let loads: Vec<_> = loads.iter().filter(|load| load.from.repository != to.repository).collect();
    let all: Vec<_> = loads.iter().flat_map(|load| load.manifests.iter().map(|one| (load.from, *one))).collect();
    if all.is_empty() {
        return Ok(());
    }
    let absent = stream::iter(&all).map(async |(from, manifest)| {
        let there = is_there(manifest, to).await?;
        Ok::<_, Failure>((!there).then_some((*from, *manifest)))
    });
    let absent: Vec<_> = absent.buffered(AT_ONCE).try_collect().await?;
    let absent: Vec<_> = absent.into_iter().flatten().collect();
    let (pieces, foreign) = pieces(&absent)?;
    if foreign > 0 {
        drop(events.send(Event::Warning(not_copied(image, foreign))).await);
    }
    let moved = AtomicU64::new(0);
    let arrivals = bring_all(&pieces, to, image, &moved, events).await?;
    put_all(&absent, to).await?;
    let copied = ImageEvent::Copied {
        to: to.repository.to_string(),
        manifests: absent.len(),
        manifests_present: all.len() - absent.len(),
        blobs: arrivals.copied,
        blobs_mounted: arrivals.mounted,
        blobs_present: arrivals.present,
        bytes: moved.load(Ordering::Relaxed),
    };
    drop(events.send(Event::Image { image: image.to_owned(), what: copied }).await);
    Ok(())
}

async fn is_there(manifest: &RawManifest, to: &Place) -> Result<bool, Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let head = to.client().head_manifest(to.repository.path(), &selector).await;
    let doing = || format!("ask for {}", to.repository.digest(manifest.digest().clone()));
    Ok(head.map_err(|error| of_registry(Phase::Publish, &doing(), &error))?.is_some())
}

/// The blobs of the manifests, each once, and how many of them nobody may hand on.
fn pieces<'a>(manifests: &[(&'a Place, &RawManifest)]) -> Result<(Vec<Piece<'a>>, usize), Failure> {
    let (mut pieces, mut seen, mut foreign) = (Vec::new(), BTreeSet::new(), 0);
    for (from, manifest) in manifests {
        let content = manifest.content().map_err(|error| {
            failure(Phase::Verify, &format!("{}: {error}", from.repository.digest(manifest.digest().clone())), None)
        })?;
        let Content::Image(content) = content else { continue };
        for blob in std::iter::once(content.config).chain(content.layers) {
            if !seen.insert(blob.digest.clone()) {
                continue;
            }
            if blob.is_distributable() { pieces.push(Piece { from, blob }) } else { foreign += 1 }
        }
    }
    Ok((pieces, foreign))
}

async fn bring_all(
    pieces: &[Piece<'_>],
    to: &Place,
    image: &str,
    moved: &AtomicU64,
    events: &mpsc::Sender<Event>,
) -> Result<Arrivals, Failure> {
    let total = pieces.iter().map(|piece| piece.blob.size).sum();
    let mut bringing = stream::iter(pieces).map(|piece| bring(piece, to, moved)).buffer_unordered(AT_ONCE);
    let mut arrivals = Arrivals::default();
    let mut told = tokio::time::interval_at(tokio::time::Instant::now() + TOLD, TOLD);
    loop {
        let arrival = tokio::select! {
            arrival = bringing.next() => arrival,
            _ = told.tick() => {
                let (to, bytes) = (to.repository.to_string(), moved.load(Ordering::Relaxed));
                let what = ImageEvent::Copying { to, bytes, total };
                drop(events.send(Event::Image { image: image.to_owned(), what }).await);
                continue;
            }
        };
        match arrival.transpose()? {
            Some(Arrival::Present) => arrivals.present += 1,
            Some(Arrival::Mounted) => arrivals.mounted += 1,
            Some(Arrival::Copied) => arrivals.copied += 1,
            None => return Ok(arrivals),
        }
    }
}

async fn bring(piece: &Piece<'_>, to: &Place, moved: &AtomicU64) -> Result<Arrival, Failure> {
    let source = BlobSource { client: piece.from.client(), repository: piece.from.repository.path() };
    let arrival = to.client().copy_blob(to.repository.path(), &piece.blob, source, moved).await;
    arrival.map_err(|error| {
        let blob = piece.from.repository.digest(piece.blob.digest.clone());
        of_registry(Phase::Publish, &format!("copy {blob} to {}", to.repository), &error)
    })
}

/// Puts manifests by digest: images at once, then each index after what it lists.
async fn put_all(manifests: &[(&Place, &RawManifest)], to: &Place) -> Result<(), Failure> {
    let (indexes, images): (Vec<_>, Vec<_>) =
        manifests.iter().map(|(_, manifest)| *manifest).partition(|manifest| manifest.media_type().is_index());
    let putting = stream::iter(images).map(|manifest| put(manifest, to));
    putting.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for index in indexes {
        put(index, to).await?;
    }
    Ok(())
}

/// Puts a manifest by its digest.
pub(super) async fn put(manifest: &RawManifest, to: &Place) -> Result<(), Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let put = to.client().put_manifest(to.repository.path(), &selector, manifest).await;
    let doing = || format!("put {}", to.repository.digest(manifest.digest().clone()));
    put.map_err(|error| of_registry(Phase::Publish, &doing(), &error))
}

fn not_copied(image: &str, layers: usize) -> Warning {
    Warning {
        image: Some(image.to_owned()),
        platform: None,
        message: format!("layers that may not be handed on were not copied: {layers}"),
        hint: Some("who pulls the image gets them from where its manifest says".into()),
    }
}
