//! Copies images from one repository to another, byte for byte and by digest. Blobs come first, then the manifests
//! that name them. No tag moves here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::error::of_storage;
use super::store::Storage;
use crate::oci::{Content, Descriptor, Digest, RawManifest, Selector};
use crate::registry::Arrival;
use crate::run::event::failure::failure;
use crate::run::event::{Copied, Event, Failure, ImageEvent, JobEvent, JobId, Phase, Transfer, Warning};

/// The number of blobs or manifests that polyarch copies at once. A higher number would only wait for the registry's
/// client, which has eight slots. A blob takes two slots if both repositories are in one registry.
const AT_ONCE: usize = 4;
/// The interval of progress events.
const TOLD: Duration = Duration::from_secs(5);

/// Manifests and their source. Images come before the indexes that list them.
pub(in crate::run) struct ManifestSet<'a> {
    pub(in crate::run) from: &'a Storage,
    pub(in crate::run) manifests: Vec<&'a RawManifest>,
}

/// A blob to copy.
struct BlobToCopy<'a> {
    from: &'a Storage,
    blob: Descriptor,
}

/// The number of blobs by the way in which they reached the target.
#[derive(Default)]
struct Arrivals {
    present: usize,
    mounted: usize,
    copied: usize,
    /// The blobs that the target reported with a wrong size before the copy. polyarch does not trust that they exist
    /// now.
    doubtful: BTreeSet<Digest>,
}

/// The subject and the receiver of progress events.
pub(in crate::run) struct ProgressTarget<'a> {
    pub(in crate::run) of: ProgressScope<'a>,
    pub(in crate::run) events: &'a mpsc::Sender<Event>,
}

/// The subject of a copy.
pub(in crate::run) enum ProgressScope<'a> {
    /// All platforms of an image.
    Image(&'a str),
    /// One platform of an image.
    Job(&'a JobId),
}

impl ProgressTarget<'_> {
    async fn so_far(&self, to: &Storage, bytes: u64, total: u64) {
        drop(
            self.events
                .send(match self.of {
                    ProgressScope::Image(image) => {
                        let what = ImageEvent::Copying { to: to.location().to_string().into(), bytes, total };
                        Event::Image { image: image.to_owned(), what }
                    }
                    ProgressScope::Job(job) => {
                        let what = JobEvent::Progress { of: Transfer::Copy, bytes, total: Some(total) };
                        Event::Job { job: job.clone(), what }
                    }
                })
                .await,
        );
    }

    async fn not_copied(&self, layers: usize) {
        let (image, platform) = match self.of {
            ProgressScope::Image(image) => (image.to_owned(), None),
            ProgressScope::Job(job) => (job.image.clone(), Some(job.platform.clone())),
        };
        let warning = Warning {
            image: Some(image),
            platform,
            message: format!("non-distributable layers were not copied: {layers}").into(),
            hint: Some("keep the URLs in the manifest reachable: clients pull these layers from there".into()),
        };
        drop(self.events.send(Event::Warning(warning)).await);
    }
}

/// The result of copying manifests to a storage.
pub(in crate::run) struct Brought {
    /// The counts for the report.
    pub(in crate::run) copied: Copied,
    /// The digests of blobs that the target now has, without the doubtful ones.
    pub(in crate::run) there: BTreeSet<Digest>,
}

/// Copies a whole image with [`bring`]. Emits `Copied` unless every source is the target itself. Returns the digests
/// of blobs that the target has.
pub(in crate::run) async fn transfer(
    loads: &[ManifestSet<'_>],
    to: &Storage,
    image: &str,
    events: &mpsc::Sender<Event>,
) -> Result<BTreeSet<Digest>, Failure> {
    let Brought { copied, there } =
        bring(loads, to, &ProgressTarget { of: ProgressScope::Image(image), events }).await?;
    if copied.manifests + copied.manifests_present > 0 {
        let what = ImageEvent::Copied(copied);
        drop(events.send(Event::Image { image: image.to_owned(), what }).await);
    }
    Ok(there)
}

/// Copies all `loads` to `to`. polyarch does not send content that the repository already has. A manifest that exists
/// does not prove that its blobs exist. polyarch asks for each blob, and sends it again if the registry lost it.
pub(in crate::run) async fn bring(
    loads: &[ManifestSet<'_>],
    to: &Storage,
    told: &ProgressTarget<'_>,
) -> Result<Brought, Failure> {
    let loads: Vec<_> = loads.iter().filter(|load| load.from != to).collect();
    let all: Vec<_> = loads.iter().flat_map(|load| load.manifests.iter().map(|one| (load.from, *one))).collect();
    // The futures exist before the stream. A closure in the stream would bind all lifetimes to one, and then no task
    // could await this function.
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

async fn is_there(manifest: &RawManifest, to: &Storage) -> Result<bool, Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let head = to.head(&selector).await;
    let doing = || format!("ask for {}", to.named(&selector));
    Ok(head.map_err(|error| of_storage(Phase::Publish, &doing(), &error))?.is_some())
}

/// The blobs of the manifests, each once. The number counts the non-distributable blobs, which polyarch may not copy.
fn pieces<'a>(manifests: &[(&'a Storage, &RawManifest)]) -> Result<(Vec<BlobToCopy<'a>>, usize), Failure> {
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
            if blob.is_distributable() { pieces.push(BlobToCopy { from, blob }) } else { foreign += 1 }
        }
    }
    Ok((pieces, foreign))
}

async fn bring_all(
    pieces: &[BlobToCopy<'_>],
    to: &Storage,
    moved: &AtomicU64,
    told: &ProgressTarget<'_>,
) -> Result<Arrivals, Failure> {
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

async fn bring_one(piece: &BlobToCopy<'_>, to: &Storage, moved: &AtomicU64) -> Result<(Arrival, Digest), Failure> {
    let arrival = to.bring(&piece.blob, piece.from, moved).await.map_err(|error| {
        let blob = piece.from.digest(piece.blob.digest.clone());
        // The blob exists neither in the source nor in the target.
        let phase = if error.is_not_found() { Phase::Verify } else { Phase::Publish };
        of_storage(phase, &format!("copy {blob} to {}", to.location()), &error)
    })?;
    Ok((arrival, piece.blob.digest.clone()))
}

/// Pushes manifests by digest: the images at once, then each index after its images.
async fn put_all(manifests: &[(&Storage, &RawManifest)], to: &Storage) -> Result<(), Failure> {
    let (indexes, images): (Vec<_>, Vec<_>) =
        manifests.iter().map(|(_, manifest)| *manifest).partition(|manifest| manifest.media_type().is_index());
    let putting: Vec<_> = images.into_iter().map(|manifest| put(manifest, to)).collect();
    stream::iter(putting).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for index in indexes {
        put(index, to).await?;
    }
    Ok(())
}

/// Pushes a manifest by its digest.
pub(in crate::run) async fn put(manifest: &RawManifest, to: &Storage) -> Result<(), Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let put = to.put_manifest(&selector, manifest).await;
    let doing = || format!("push {}", to.named(&selector));
    put.map_err(|error| of_storage(Phase::Publish, &doing(), &error))
}
