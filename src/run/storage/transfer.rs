//! Copies images from one repository to another, byte for byte and by digest. Blobs come first, then the manifests
//! that name them. No tag moves here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::of_storage;
use super::store::Storage;
use crate::oci::{Content, Descriptor, Digest, RawManifest, Selector};
use crate::registry::BlobOutcome;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::job_events::JobReporter;
use crate::run::event::{Copied, Failure, ImageEvent, JobEvent, Phase, Transfer, Warning};

/// The number of blobs or manifests that polyarch copies at once. A higher number would only wait for the registry's
/// client, which has eight slots. A blob takes two slots if both repositories are in one registry.
const AT_ONCE: usize = 4;
/// The interval of progress events.
const PROGRESS: Duration = Duration::from_secs(5);

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

/// The receiver of progress events.
#[derive(Clone, Copy)]
pub(in crate::run) enum Progress<'a> {
    /// All platforms of an image.
    Image(ImageReporter<'a>),
    /// One platform of an image.
    Job(&'a JobReporter),
}

impl Progress<'_> {
    async fn so_far(self, to: &Storage, bytes: u64, total: u64) {
        match self {
            Self::Image(reporter) => {
                let to = to.location().to_string().into();
                reporter.emit(ImageEvent::Copying { to, bytes, total }).await;
            }
            Self::Job(reporter) => {
                reporter.emit(JobEvent::Progress { of: Transfer::Copy, bytes, total: Some(total) }).await;
            }
        }
    }

    async fn not_copied(self, layers: usize) {
        let message = format!("non-distributable layers were not copied: {layers}");
        let hint = "keep the URLs in the manifest reachable: clients pull these layers from there".to_owned();
        match self {
            Self::Image(reporter) => {
                let (message, hint) = (message.into(), Some(hint.into()));
                reporter.warn(Warning { image: None, platform: None, message, hint }).await;
            }
            Self::Job(reporter) => reporter.warn(message, Some(hint)).await,
        }
    }
}

/// The result of copying manifests to a storage.
pub(in crate::run) struct Transferred {
    /// The counts for the report.
    pub(in crate::run) copied: Copied,
    /// The digests of blobs that the target now has, without the doubtful ones.
    pub(in crate::run) present: BTreeSet<Digest>,
}

/// Copies a whole image with [`copy`]. Emits `Copied` unless every source is the target itself. Returns the digests
/// of blobs that the target has.
pub(in crate::run) async fn transfer(
    sets: &[ManifestSet<'_>],
    to: &Storage,
    reporter: ImageReporter<'_>,
) -> Result<BTreeSet<Digest>, Failure> {
    let Transferred { copied, present } = copy(sets, to, Progress::Image(reporter)).await?;
    if copied.manifests + copied.manifests_present > 0 {
        reporter.emit(ImageEvent::Copied(copied)).await;
    }
    Ok(present)
}

/// Copies all `sets` to `to`. polyarch does not send content that the repository already has. A manifest that exists
/// does not prove that its blobs exist. polyarch asks for each blob, and sends it again if the registry lost it.
pub(in crate::run) async fn copy(
    sets: &[ManifestSet<'_>],
    to: &Storage,
    progress: Progress<'_>,
) -> Result<Transferred, Failure> {
    let sets: Vec<_> = sets.iter().filter(|set| set.from != to).collect();
    let all: Vec<_> = sets.iter().flat_map(|set| set.manifests.iter().map(|one| (set.from, *one))).collect();
    // The futures exist before the stream. A closure in the stream would bind all lifetimes to one, and then no task
    // could await this function.
    let looking: Vec<_> = all.iter().map(|(_, manifest)| is_present(manifest, to)).collect();
    let present: Vec<bool> = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
    let absent: Vec<_> = all.iter().zip(present).filter(|(_, present)| !present).map(|(one, _)| *one).collect();
    let (blobs, foreign) = blobs(&all)?;
    if foreign > 0 {
        progress.not_copied(foreign).await;
    }
    let moved = AtomicU64::new(0);
    let arrivals = copy_blobs(&blobs, to, &moved, progress).await?;
    put_all(&absent, to).await?;
    let present = blobs.iter().map(|one| &one.blob.digest).filter(|blob| !arrivals.doubtful.contains(blob));
    let present = present.cloned().collect();
    let copied = Copied {
        to: to.location().to_string().into(),
        manifests: absent.len(),
        manifests_present: all.len() - absent.len(),
        blobs: arrivals.copied,
        blobs_mounted: arrivals.mounted,
        blobs_present: arrivals.present,
        bytes: moved.load(Ordering::Relaxed),
    };
    Ok(Transferred { copied, present })
}

async fn is_present(manifest: &RawManifest, to: &Storage) -> Result<bool, Failure> {
    let selector = Selector::Digest(manifest.digest().clone());
    let head = to.head(&selector).await;
    let doing = || format!("ask for {}", to.named(&selector));
    Ok(head.map_err(|error| of_storage(Phase::Publish, &doing(), &error))?.is_some())
}

/// The blobs of the manifests, each once. The number counts the non-distributable blobs, which polyarch may not copy.
fn blobs<'a>(manifests: &[(&'a Storage, &RawManifest)]) -> Result<(Vec<BlobToCopy<'a>>, usize), Failure> {
    let (mut blobs, mut seen, mut foreign) = (Vec::new(), BTreeSet::new(), 0);
    for (from, manifest) in manifests {
        let content = manifest.content().map_err(|error| {
            failure(Phase::Verify, &format!("{}: {error}", from.digest(manifest.digest().clone())), None)
        })?;
        let Content::Image(content) = content else { continue };
        for blob in std::iter::once(content.config).chain(content.layers) {
            if !seen.insert(blob.digest.clone()) {
                continue;
            }
            if blob.is_distributable() { blobs.push(BlobToCopy { from, blob }) } else { foreign += 1 }
        }
    }
    Ok((blobs, foreign))
}

async fn copy_blobs(
    blobs: &[BlobToCopy<'_>],
    to: &Storage,
    moved: &AtomicU64,
    progress: Progress<'_>,
) -> Result<Arrivals, Failure> {
    let total = blobs.iter().fold(0_u64, |sum, one| sum.saturating_add(one.blob.size));
    let copying: Vec<_> = blobs.iter().map(|one| copy_blob(one, to, moved)).collect();
    let mut copying = stream::iter(copying).buffer_unordered(AT_ONCE);
    let mut arrivals = Arrivals::default();
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    loop {
        let arrival = tokio::select! {
            arrival = copying.next() => arrival,
            _ = next.tick() => {
                progress.so_far(to, moved.load(Ordering::Relaxed), total).await;
                continue;
            }
        };
        match arrival.transpose()? {
            Some((BlobOutcome::Present, _)) => arrivals.present += 1,
            Some((BlobOutcome::Mounted, _)) => arrivals.mounted += 1,
            Some((BlobOutcome::Copied, _)) => arrivals.copied += 1,
            Some((BlobOutcome::Replaced, blob)) => {
                arrivals.copied += 1;
                arrivals.doubtful.insert(blob);
            }
            None => return Ok(arrivals),
        }
    }
}

async fn copy_blob(one: &BlobToCopy<'_>, to: &Storage, moved: &AtomicU64) -> Result<(BlobOutcome, Digest), Failure> {
    let arrival = to.copy_blob(&one.blob, one.from, moved).await.map_err(|error| {
        let blob = one.from.digest(one.blob.digest.clone());
        // The blob exists neither in the source nor in the target.
        let phase = if error.is_not_found() { Phase::Verify } else { Phase::Publish };
        of_storage(phase, &format!("copy {blob} to {}", to.location()), &error)
    })?;
    Ok((arrival, one.blob.digest.clone()))
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
