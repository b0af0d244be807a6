//! Reads and writes an image layout as a storage of a run. Work that blocks on the disk runs on other threads, in pieces.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::error::StorageError;
use crate::layout::{self, Ingest, Layout, LayoutError, when_free};
use crate::oci::{Descriptor, Digest, Hasher, LayoutPath, MAX_CONFIG_BYTES, RawManifest, Selector};
use crate::registry::{BlobOutcome, BlobSource};

/// How many bytes of a file polyarch reads at once.
const PIECE: usize = 256 << 10;

/// The digest of the only image of a layout, for a user who specified no tag.
///
/// # Errors
/// Fails if the layout has no image or several images.
pub(in crate::run) async fn only_image(path: &LayoutPath) -> Result<Digest, StorageError> {
    on_disk(path, Layout::only).await
}

pub(in crate::run) async fn manifest(path: &LayoutPath, selector: &Selector) -> Result<RawManifest, StorageError> {
    let selector = selector.clone();
    on_disk(path, move |layout| layout.manifest(&selector)).await
}

pub(in crate::run) async fn config(path: &LayoutPath, config: &Descriptor) -> Result<Box<[u8]>, StorageError> {
    let digest = config.digest.clone();
    on_disk(path, move |layout| layout.read(&digest, MAX_CONFIG_BYTES)).await.map(Vec::into_boxed_slice)
}

pub(in crate::run) async fn put(
    path: &LayoutPath,
    selector: &Selector,
    manifest: &RawManifest,
) -> Result<(), StorageError> {
    let put = || {
        let (layout, selector, manifest) = (Layout::at(path.as_path()), selector.clone(), manifest.clone());
        layout::on_disk(move || match &selector {
            Selector::Tag(tag) => layout.publish(&manifest, tag),
            Selector::Digest(_) => layout.put(&manifest),
        })
    };
    Ok(when_free(put).await?)
}

/// Opens a blob, and checks that it has the size of its descriptor.
pub(in crate::run) async fn open(path: &LayoutPath, blob: &Descriptor) -> Result<File, StorageError> {
    let (digest, size) = (blob.digest.clone(), blob.size);
    let opened = on_disk(path, move |layout| match layout.open(&digest)? {
        Some((file, actual)) if actual == size => Ok(file),
        Some((_, actual)) => Err(LayoutError::Size { digest, size, actual }),
        None => Err(LayoutError::Missing(digest)),
    });
    opened.await
}

/// Reads a part of a blob. polyarch can compare only a whole blob with its digest, as with a registry.
pub(in crate::run) async fn part(
    path: &LayoutPath,
    blob: &Descriptor,
    range: Range<u64>,
) -> Result<Bytes, StorageError> {
    let mut file = open(path, blob).await?;
    let (digest, size) = (blob.digest.clone(), blob.size);
    let part = on_disk(path, move |_| {
        let mut part = Vec::new();
        let read = file.seek(SeekFrom::Start(range.start));
        let read = read.and_then(|_| file.take(range.end - range.start).read_to_end(&mut part));
        read.map_err(|error| LayoutError::Unread { digest: digest.clone(), error })?;
        if range == (0..size) && Digest::of(&part) != digest {
            let (written, actual) = (part.len() as u64, Digest::of(&part));
            return Err(LayoutError::Content { digest, size, written, actual });
        }
        Ok(part)
    });
    part.await.map(Bytes::from)
}

/// Copies a blob into the layout, unless the layout has the whole blob.
pub(in crate::run) async fn copy_blob(
    path: &LayoutPath,
    blob: &Descriptor,
    source: BlobSource<'_>,
    moved: &AtomicU64,
) -> Result<BlobOutcome, StorageError> {
    if is_there(path, blob).await? {
        return Ok(BlobOutcome::Present);
    }
    let (digest, size) = (blob.digest.clone(), blob.size);
    let mut ingest = on_disk(path, move |layout| layout.ingest(digest, size)).await?;
    match source {
        BlobSource::Registry { client, repository } => {
            let mut reading = client.read_blob(repository, blob).await;
            while let Some(piece) = reading.next().await? {
                ingest = write(path, ingest, piece, moved).await?;
            }
        }
        BlobSource::File(file) => {
            let unread = |error| LayoutError::Unread { digest: blob.digest.clone(), error };
            let mut reading = pieces(file).map_err(unread)?;
            while let Some(piece) = reading.next().await {
                ingest = write(path, ingest, piece.map_err(unread)?, moved).await?;
            }
        }
    }
    on_disk(path, move |_| ingest.commit()).await?;
    Ok(BlobOutcome::Copied)
}

async fn write(path: &LayoutPath, mut ingest: Ingest, piece: Bytes, moved: &AtomicU64) -> Result<Ingest, StorageError> {
    let length = piece.len() as u64;
    let write = move |_: &Layout| {
        ingest.write(&piece)?;
        Ok(ingest)
    };
    let ingest = on_disk(path, write).await?;
    moved.fetch_add(length, Ordering::Relaxed);
    Ok(ingest)
}

/// Whether the layout has the whole blob. Other programs write layouts too, and some of them leave broken blobs.
async fn is_there(path: &LayoutPath, blob: &Descriptor) -> Result<bool, StorageError> {
    let digest = blob.digest.clone();
    let there = match on_disk(path, move |layout| layout.open(&digest)).await {
        // The blob will replace a link in its storage.
        Err(StorageError::Layout(LayoutError::Special(_))) => return Ok(false),
        there => there?,
    };
    let Some((file, _)) = there.filter(|(_, size)| *size == blob.size) else { return Ok(false) };
    Ok(hash(&file, blob).await?.0 == blob.digest)
}

/// Checks that a blob exists, with its size and its digest.
pub(in crate::run) async fn check(path: &LayoutPath, blob: &Descriptor) -> Result<(), StorageError> {
    let (actual, written) = hash(&open(path, blob).await?, blob).await?;
    if actual == blob.digest {
        return Ok(());
    }
    let Descriptor { digest, size, .. } = blob.clone();
    Err(LayoutError::Content { digest, size, written, actual }.into())
}

/// The digest of a blob's file, and the number of bytes in it.
async fn hash(file: &File, blob: &Descriptor) -> Result<(Digest, u64), StorageError> {
    let unread = |error| LayoutError::Unread { digest: blob.digest.clone(), error };
    let (mut reading, mut hasher, mut read) = (pieces(file).map_err(unread)?, Hasher::new(), 0);
    while let Some(piece) = reading.next().await {
        let piece = piece.map_err(unread)?;
        read += piece.len() as u64;
        hasher.update(&piece);
    }
    Ok((hasher.finish(), read))
}

fn pieces(mut file: &File) -> std::io::Result<ReaderStream<tokio::fs::File>> {
    file.rewind()?;
    Ok(ReaderStream::with_capacity(tokio::fs::File::from_std(file.try_clone()?), PIECE))
}

/// Runs `work` on a thread that may block.
async fn on_disk<T: Send + 'static>(
    path: &LayoutPath,
    work: impl FnOnce(&Layout) -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, StorageError> {
    let layout = Layout::at(path.as_path());
    Ok(layout::on_disk(move || work(&layout)).await?)
}
