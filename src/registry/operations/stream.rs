//! Sends content to a registry, with only a few pieces in memory.

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Url};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Duration, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::reading::Reading;
use crate::oci::Descriptor;
use crate::registry::error::{Cause, ErrorKind, RegistryError, Waiting};
use crate::registry::transport::target::redacted;
use crate::registry::transport::wire::{Read, Reply, Wire};

/// The longest time in which a registry may take no content.
const STALL: Duration = Duration::from_mins(1);
/// The longest answer to an upload that polyarch reads, in bytes. Only its head has a meaning.
pub(super) const MAX_UPLOAD_ANSWER: usize = 64 << 10;

/// The bytes of a blob that were sent, as a part of the sum over several blobs.
pub(in crate::registry) struct Sent<'a> {
    moved: &'a AtomicU64,
    own: AtomicU64,
}

impl<'a> Sent<'a> {
    pub(in crate::registry) fn new(moved: &'a AtomicU64) -> Self {
        Self { moved, own: AtomicU64::new(0) }
    }

    fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Resets the count. Later bytes will be sent again, or not at all.
    pub(super) fn back_to(&self, bytes: u64) {
        let before = self.own.swap(bytes, Ordering::Relaxed);
        // The difference wraps to a negative number.
        self.moved.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }
}

/// Why an upload did not reach its end.
pub(super) enum Failed {
    /// The source failed for good, or has other content.
    Source(RegistryError),
    /// The target failed.
    Target(RegistryError),
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self::Target(error)
    }
}

/// Why sending stopped.
enum Stop {
    Source(RegistryError),
    /// The target took nothing for too long.
    Stalled,
    /// The target takes no more. Its answer gives the reason.
    Closed,
}

/// An upload that is open.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Upload {
    /// The address for the next part.
    pub(in crate::registry) url: Url,
    /// The bytes that the registry has.
    pub(in crate::registry) received: u64,
    /// The most bytes of one part. `None` means that the rest is one part.
    pub(in crate::registry) part: Option<u64>,
}

impl Upload {
    /// The end of the next part of a blob with `size` bytes.
    pub(in crate::registry) fn end(&self, size: u64) -> u64 {
        self.part.map_or(size, |part| self.received.saturating_add(part).min(size))
    }
}

impl Wire {
    /// Sends the next part of a blob as one `PATCH` (OCI distribution-spec, "Pushing a blob in chunks"). The bytes
    /// leave while they arrive from the source. Usually one part is all that is missing. After the last part the whole
    /// blob is hashed. If the bytes differ from `blob`, this is an error, and the upload is not final yet. `sent` grows
    /// with each piece.
    pub(super) async fn upload(
        &self,
        to: &Upload,
        authorization: Option<&HeaderValue>,
        blob: &Descriptor,
        from: &mut Reading<'_>,
        sent: &Sent<'_>,
    ) -> Result<Reply, Failed> {
        let Upload { url, received, .. } = to;
        let (size, end) = (blob.size, to.end(blob.size));
        let line = redacted(&Method::PATCH, url);
        let fail = |kind| RegistryError::new(&self.host, line.as_str(), kind);
        let (into, content) = mpsc::channel(1);
        let mut outgoing = self.client(url).patch(url.clone()).header(CONTENT_TYPE, "application/octet-stream");
        if let Some(value) = authorization {
            outgoing = outgoing.header(AUTHORIZATION, value);
        }
        if *received > 0 || end < size {
            outgoing = outgoing.header(CONTENT_RANGE, format!("{received}-{}", end - 1));
        }
        let body = Body::wrap_stream(ReceiverStream::new(content));
        let mut sending = pin!(outgoing.header(CONTENT_LENGTH, end - received).body(body).send());
        // The last part reads to the end of the source, because more bytes would be an error.
        let until = if end < size { end } else { u64::MAX };
        let mut pumping = pin!(pump(from, *received..until, into, sent));
        let answered = async {
            let stop = tokio::select! {
                biased;
                pumped = &mut pumping => pumped.err(),
                answer = &mut sending => {
                    let response = answer.map_err(|error| fail(self.failure(error)))?;
                    // The registry has all content before polyarch has seen the end of the source, or the registry
                    // refuses.
                    let rest = if response.status().is_success() { pumping.await.err() } else { None };
                    return ended(rest, fail).map(|()| response);
                }
            };
            let closed = matches!(stop, Some(Stop::Closed));
            ended(stop.filter(|_| !closed), fail)?;
            let after = self.timeouts.headers;
            let response = match timeout(after, sending).await {
                Ok(answer) => answer.map_err(|error| fail(self.failure(error)))?,
                Err(_) => return Err(fail(ErrorKind::Timeout { waiting: Waiting::Headers, after }).into()),
            };
            let early = closed && response.status().is_success();
            ended(early.then_some(Stop::Closed), fail).map(|()| response)
        };
        let is_direct = url.origin() == self.home.origin();
        let read = Read::Whole(MAX_UPLOAD_ANSWER);
        let response = answered.await?;
        self.reply(response, &Method::PATCH, read, line.clone(), is_direct).await.map_err(|kind| fail(kind).into())
    }
}

/// The meaning of a stop for the upload.
fn ended(stop: Option<Stop>, fail: impl Fn(ErrorKind) -> RegistryError) -> Result<(), Failed> {
    match stop {
        None => Ok(()),
        Some(Stop::Source(error)) => Err(Failed::Source(error)),
        Some(Stop::Stalled) => Err(fail(ErrorKind::Timeout { waiting: Waiting::Upload, after: STALL }).into()),
        Some(Stop::Closed) => {
            let early = io::Error::other("the registry answered before it had all content");
            Err(fail(ErrorKind::Interrupted(Cause::of(&early))).into())
        }
    }
}

/// Passes a part of the content on to the request.
async fn pump(
    from: &mut Reading<'_>,
    part: Range<u64>,
    into: Sender<io::Result<Bytes>>,
    sent: &Sent<'_>,
) -> Result<(), Stop> {
    sent.back_to(part.start);
    while let Some(mut piece) = from.next_before(part.end).await.map_err(Stop::Source)? {
        let before = from.at() - piece.len() as u64;
        let known = usize::try_from(part.start.saturating_sub(before)).unwrap_or(piece.len()).min(piece.len());
        let new = piece.split_off(known);
        if new.is_empty() {
            continue;
        }
        let length = new.len() as u64;
        match timeout(STALL, into.send(Ok(new))).await {
            Ok(Ok(())) => sent.add(length),
            Ok(Err(_)) => return Err(Stop::Closed),
            Err(_) => return Err(Stop::Stalled),
        }
    }
    Ok(())
}
