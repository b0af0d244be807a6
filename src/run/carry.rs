//! Images from one repository to another: blobs first, then the manifests that name them, byte for byte, by digest.
//! No tag moves here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::event::{Copied, Event, Failure, ImageEvent, JobEvent, JobId, Phase, Transfer, Warning};
use super::failure::{failure, of_place};
use super::place::Place;
use crate::oci::{Content, Descriptor, Digest, RawManifest, Selector};
use crate::registry::Arrival;

/// Blobs, and manifests, that are under way at once. More would only wait for the registry's client, which has eight
/// places: a blob takes two of them where both repositories are of one registry.
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
    /// The blobs that the target has with another size, as far as it said before they were sent.
    doubtful: BTreeSet<Digest>,
}

/// Who is told of what is under way.
pub(super) struct Told<'a> {
    pub(super) of: Of<'a>,
    pub(super) events: &'a mpsc::Sender<Event>,
}

/// What is brought.
pub(super) enum Of<'a> {
    /// All of an image.
    Image(&'a str),
    /// A platform of one.
    Job(&'a JobId),
}

impl Told<'_> {
    async fn so_far(&self, to: &Place, bytes: u64, total: u64) {
        drop(
            self.events
                .send(match self.of {
                    Of::Image(image) => {
                        let what = ImageEvent::Copying { to: to.location().to_string().into(), bytes, total };
                        Event::Image { image: image.to_owned(), what }
                    }
                    Of::Job(job) => {
                        let what = JobEvent::Progress { of: Transfer::Copy, bytes, total: Some(total) };
                        Event::Job { job: job.clone(), what }
                    }
                })
                .await,
        );
    }

    async fn not_copied(&self, layers: usize) {
        let (image, platform) = match self.of {
            Of::Image(image) => (image.to_owned(), None),
            Of::Job(job) => (job.image.clone(), Some(job.platform.clone())),
        };
        let warning = Warning {
            image: Some(image),
            platform,
            message: format!("layers that may not be handed on were not copied: {layers}").into(),
            hint: Some("who pulls the image gets them from where its manifest says".into()),
        };
        drop(self.events.send(Event::Warning(warning)).await);
    }
}

/// The result of bringing manifests to a place.
pub(super) struct Brought {
    /// The figures.
    pub(super) copied: Copied,
    /// The blobs, each of which was there or was put.
    pub(super) there: BTreeSet<Digest>,
}

/// Brings all of an image by [`bring`], and reports the figures if any part was elsewhere. Gives the blobs that are
/// there.
pub(super) async fn carry(
    loads: &[Load<'_>],
    to: &Place,
    image: &str,
    events: &mpsc::Sender<Event>,
) -> Result<BTreeSet<Digest>, Failure> {
    let Brought { copied, there } = bring(loads, to, &Told { of: Of::Image(image), events }).await?;
    if copied.manifests + copied.manifests_present > 0 {
        let what = ImageEvent::Copied(copied);
        drop(events.send(Event::Image { image: image.to_owned(), what }).await);
    }
    Ok(there)
}

/// Brings all of `loads` to `to`. Content that the repository has already stays as it is. A manifest that is there
/// proves nothing of its blobs. polyarch asks for each blob, and sends it again where the registry lost it.
pub(super) async fn bring(loads: &[Load<'_>], to: &Place, told: &Told<'_>) -> Result<Brought, Failure> {
    let loads: Vec<_> = loads.iter().filter(|load| load.from != to).collect();
    let all: Vec<_> = loads.iter().flat_map(|load| load.manifests.iter().map(|one| (load.from, *one))).collect();
    // Futures before they are streamed: a closure in the stream would bind all of this to one lifetime, and no task could
    // have it.
    let asking: Vec<_> = all.iter().map(|(_, manifest)| is_there(manifest, to)).collect();
    let there: Vec<bool> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
    let absent: Vec<_> = all.iter().zip(there).filter(|(_, there)| !there).map(|(one, _)| *one).collect();
    let (pieces, foreign) = pieces(&all)?;
    if foreign > 0 {
        told.not_copied(foreign).await;
    }
    let moved = AtomicU64::new(0);
    let arrivals = bring_all(&pieces, to, &moved, told).await?;
    put_all(&absent, to).await?;
    let there = pieces.iter().map(|piece| &piece.blob.digest).filter(|blob| !arrivals.doubtful.contains(blob));
    let there = there.cloned().collect();
    let copied = Copied {
        to: to.location().to_string().into(),
        manifests: absent.len(),
        manifests_present: all.len() - absent.len(),
        blobs: arrivals.copied,
        blobs_mounted: arrivals.mounted,
        blobs_present: arrivals.present,
        bytes: moved.load(Ordering::Relaxed),
    };
    Ok(Brought { copied, there })
}

async fn is_there(manifest: &RawManifest, to: &Place) -> Result<bool, Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let head = to.head(&selector).await;
    let doing = || format!("ask for {}", to.named(&selector));
    Ok(head.map_err(|error| of_place(Phase::Publish, &doing(), &error))?.is_some())
}

/// The blobs of the manifests, each once, and how many of them nobody may hand on.
fn pieces<'a>(manifests: &[(&'a Place, &RawManifest)]) -> Result<(Vec<Piece<'a>>, usize), Failure> {
    let (mut pieces, mut seen, mut foreign) = (Vec::new(), BTreeSet::new(), 0);
    for (from, manifest) in manifests {
        let content = manifest.content().map_err(|error| {
            failure(Phase::Verify, &format!("{}: {error}", from.digest(manifest.digest().clone())), None)
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

async fn bring_all(pieces: &[Piece<'_>], to: &Place, moved: &AtomicU64, told: &Told<'_>) -> Result<Arrivals, Failure> {
    let total = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.blob.size));
    let bringing: Vec<_> = pieces.iter().map(|piece| bring_one(piece, to, moved)).collect();
    let mut bringing = stream::iter(bringing).buffer_unordered(AT_ONCE);
    let mut arrivals = Arrivals::default();
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + TOLD, TOLD);
    loop {
        let arrival = tokio::select! {
            arrival = bringing.next() => arrival,
            _ = next.tick() => {
                told.so_far(to, moved.load(Ordering::Relaxed), total).await;
                continue;
            }
        };
        match arrival.transpose()? {
            Some((Arrival::Present, _)) => arrivals.present += 1,
            Some((Arrival::Mounted, _)) => arrivals.mounted += 1,
            Some((Arrival::Copied, _)) => arrivals.copied += 1,
            Some((Arrival::Replaced, blob)) => {
                arrivals.copied += 1;
                arrivals.doubtful.insert(blob);
            }
            None => return Ok(arrivals),
        }
    }
}

async fn bring_one(piece: &Piece<'_>, to: &Place, moved: &AtomicU64) -> Result<(Arrival, Digest), Failure> {
    let arrival = to.bring(&piece.blob, piece.from, moved).await.map_err(|error| {
        let blob = piece.from.digest(piece.blob.digest.clone());
        // Neither of both places has it.
        let phase = if error.is_not_found() { Phase::Verify } else { Phase::Publish };
        of_place(phase, &format!("copy {blob} to {}", to.location()), &error)
    })?;
    Ok((arrival, piece.blob.digest.clone()))
}

/// Puts manifests by digest: images at once, then each index after what it lists.
async fn put_all(manifests: &[(&Place, &RawManifest)], to: &Place) -> Result<(), Failure> {
    let (indexes, images): (Vec<_>, Vec<_>) =
        manifests.iter().map(|(_, manifest)| *manifest).partition(|manifest| manifest.media_type().is_index());
    let putting: Vec<_> = images.into_iter().map(|manifest| put(manifest, to)).collect();
    stream::iter(putting).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for index in indexes {
        put(index, to).await?;
    }
    Ok(())
}

/// Puts a manifest by its digest.
pub(super) async fn put(manifest: &RawManifest, to: &Place) -> Result<(), Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let put = to.put_manifest(&selector, manifest).await;
    let doing = || format!("put {}", to.named(&selector));
    put.map_err(|error| of_place(Phase::Publish, &doing(), &error))
}
