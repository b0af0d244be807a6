//! Content that passes from one registry to another: never more of it in memory than a few pieces.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Response, Url};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Duration, Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::error::{Cause, ErrorKind, RegistryError, Waiting};
use super::target::redacted;
use super::wire::{MIN_RATE, RATE_GRACE, Read, Reply, Wire};
use crate::oci::{Descriptor, Hasher};

/// Longest that a registry may take no content.
const STALL: Duration = Duration::from_mins(1);
/// Longest answer to an upload that is read, in bytes; only its head has a meaning.
pub(super) const MAX_UPLOAD_ANSWER: usize = 64 << 10;

/// The bytes that one attempt has sent, which count as moved unless it fails.
pub(super) struct Sent<'a> {
    moved: &'a AtomicU64,
    own: AtomicU64,
}

impl<'a> Sent<'a> {
    pub(super) fn new(moved: &'a AtomicU64) -> Self {
        Self { moved, own: AtomicU64::new(0) }
    }

    fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
    }

    /// They are sent again, or not at all.
    pub(super) fn take_back(self) {
        self.moved.fetch_sub(self.own.into_inner(), Ordering::Relaxed);
    }
}

/// A blob that a registry began to send.
pub(super) struct Download<'a> {
    pub(super) wire: &'a Wire,
    pub(super) response: Response,
    /// `METHOD URL`, redacted.
    pub(super) request: String,
}

/// Why a download did not get to its end.
enum Stop {
    /// It broke, or is not what was named.
    Source(RegistryError),
    /// The other end took nothing for too long.
    Stalled,
    /// The other end takes no more: its answer says why.
    Closed,
}

impl Wire {
    /// Sends a blob as it comes, as one `PATCH` (OCI distribution-spec, "Pushing a blob in chunks": the only chunk). All
    /// of it has been hashed when this returns: other bytes than `blob` names are an error, and nothing is final yet.
    /// `sent` grows as it goes.
    pub(super) async fn upload(
        &self,
        to: Url,
        authorization: Option<&HeaderValue>,
        blob: &Descriptor,
        from: Download<'_>,
        sent: &Sent<'_>,
    ) -> Result<Reply, RegistryError> {
        let line = redacted(&Method::PATCH, &to);
        let fail = |kind| RegistryError::new(&self.host, line.as_str(), kind);
        let (into, content) = mpsc::channel(1);
        let mut outgoing = self.client.patch(to.clone()).header(CONTENT_TYPE, "application/octet-stream");
        if let Some(value) = authorization {
            outgoing = outgoing.header(AUTHORIZATION, value);
        }
        let body = Body::wrap_stream(ReceiverStream::new(content));
        let mut sending = pin!(outgoing.header(CONTENT_LENGTH, blob.size).body(body).send());
        let mut pumping = pin!(from.pump(blob, into, sent));
        let answered = async {
            let stop = tokio::select! {
                biased;
                pumped = &mut pumping => pumped.err(),
                answer = &mut sending => {
                    let response = answer.map_err(|error| fail(self.failure(error)))?;
                    // It has all content before we have seen the end of it; or it refuses.
                    let rest = if response.status().is_success() { pumping.await.err() } else { None };
                    return ended(rest, fail).map(|()| response);
                }
            };
            let closed = matches!(stop, Some(Stop::Closed));
            ended(stop.filter(|_| !closed), fail)?;
            let after = self.timeouts.headers;
            let response = match timeout(after, sending).await {
                Ok(answer) => answer.map_err(|error| fail(self.failure(error)))?,
                Err(_) => return Err(fail(ErrorKind::Timeout { waiting: Waiting::Headers, after })),
            };
            let early = closed && response.status().is_success();
            ended(early.then_some(Stop::Closed), fail).map(|()| response)
        };
        let is_direct = to.origin() == self.home.origin();
        let read = Read::Whole(MAX_UPLOAD_ANSWER);
        self.reply(answered.await?, &Method::PATCH, read, line.clone(), is_direct).await.map_err(fail)
    }
}

/// What a stop means to who uploads.
fn ended(stop: Option<Stop>, fail: impl Fn(ErrorKind) -> RegistryError) -> Result<(), RegistryError> {
    match stop {
        None => Ok(()),
        Some(Stop::Source(error)) => Err(error),
        Some(Stop::Stalled) => Err(fail(ErrorKind::Timeout { waiting: Waiting::Upload, after: STALL })),
        Some(Stop::Closed) => {
            let early = io::Error::other("it answered before it had all content");
            Err(fail(ErrorKind::Interrupted(Cause::of(&early))))
        }
    }
}

impl Download<'_> {
    /// Hands the content on, hashed as it passes.
    async fn pump(mut self, blob: &Descriptor, into: Sender<io::Result<Bytes>>, sent: &Sent<'_>) -> Result<(), Stop> {
        let (mut hasher, mut bytes, mut waited) = (Hasher::new(), 0_u64, Duration::ZERO);
        loop {
            let due = RATE_GRACE + Duration::from_secs(bytes / MIN_RATE);
            let asked = Instant::now();
            let chunk = self.chunk(due.saturating_sub(waited)).await?;
            waited += asked.elapsed();
            let Some(chunk) = chunk else { break };
            if chunk.is_empty() {
                // HTTP/2 ends with one; nobody waits for it any more.
                continue;
            }
            bytes += chunk.len() as u64;
            if bytes > blob.size {
                break;
            }
            hasher.update(&chunk);
            let length = chunk.len() as u64;
            match timeout(STALL, into.send(Ok(chunk))).await {
                Ok(Ok(())) => sent.add(length),
                Ok(Err(_)) => return Err(Stop::Closed),
                Err(_) => return Err(Stop::Stalled),
            }
        }
        if bytes != blob.size {
            return Err(self.stop(ErrorKind::Size { expected: blob.size, actual: bytes }));
        }
        let actual = hasher.finish();
        if actual != blob.digest {
            let (expected, actual) = (blob.digest.clone(), actual.to_string());
            return Err(self.stop(ErrorKind::DigestMismatch { expected, actual }));
        }
        Ok(())
    }

    async fn chunk(&mut self, due: Duration) -> Result<Option<Bytes>, Stop> {
        let after = self.wire.timeouts.idle.min(due);
        match timeout(after, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.stop(self.wire.failure(error))),
            Err(_) => Err(self.stop(ErrorKind::Timeout { waiting: Waiting::Body, after })),
        }
    }

    fn stop(&self, kind: ErrorKind) -> Stop {
        Stop::Source(RegistryError::new(&self.wire.host, self.request.as_str(), kind))
    }
}
