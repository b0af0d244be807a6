//! Reads a blob from its beginning to its end. If a connection breaks, polyarch connects again and continues at the
//! same byte.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue};
use reqwest::{Method, Response};
use tokio::time::{Duration, Instant, timeout};
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

use crate::oci::{Descriptor, Digest, Hasher, RegistryHost, RepositoryPath};
use crate::registry::client::Client;
use crate::registry::error::{Cause, ErrorKind, RegistryError, Waiting};
use crate::registry::login::scope::Scope;
use crate::registry::request::http::Call;
use crate::registry::request::notice::{Notice, Retry};
use crate::registry::request::retry::{self, Patience};
use crate::registry::request::slots::Slot;
use crate::registry::transport::wire::{MIN_RATE, RATE_GRACE, Read};

/// The most bytes that polyarch reads twice when an upload continues.
const MARK: u64 = 4 << 20;
/// The bytes of a file that polyarch reads at once.
const PIECE: usize = 256 << 10;

/// The source of a blob.
#[derive(Debug, Clone, Copy)]
pub enum BlobSource<'a> {
    /// A repository of a registry.
    Registry {
        /// The registry.
        client: &'a Client,
        /// The repository with the blob.
        repository: &'a RepositoryPath,
    },
    /// A file of this machine, from its first byte.
    File(&'a File),
}

/// A blob that polyarch reads and hashes at the same time.
pub struct Reading<'a> {
    origin: Origin<'a>,
    open: Option<OpenSource>,
    /// The next bytes, if they are read already. Empty bytes mean the end.
    ready: Option<Bytes>,
    /// The number of bytes that were returned.
    at: u64,
    hasher: Hasher,
    /// Copies of the hasher at several positions. An upload may have to continue before the point where it broke.
    marks: Vec<(u64, Hasher)>,
    /// After a step back: the position that was reached before, and the digest of the bytes up to there. The second
    /// reading of these bytes must give the same digest.
    seen: Option<(u64, Digest)>,
    /// The time spent waiting for the source.
    waited: Duration,
    /// The slot of its request, unless the caller holds one.
    _slot: Slot<'a>,
}

/// The blob and its source.
#[derive(Clone, Copy)]
struct Origin<'a> {
    source: BlobSource<'a>,
    blob: &'a Descriptor,
    /// The registry that errors name: the source, or for a file the target.
    host: &'a RegistryHost,
}

/// An open source of bytes.
enum OpenSource {
    Response(Box<OpenResponse>),
    File(ReaderStream<tokio::fs::File>),
}

/// A response with its body.
struct OpenResponse {
    response: Response,
    /// `METHOD URL`, redacted.
    request: String,
    /// The bytes that were read before. A registry that sends no parts sends them again.
    skip: u64,
}

impl Client {
    /// Prepares to read `blob` of `repository`, as soon as a slot is free. This sends no request.
    pub async fn read_blob<'a>(&'a self, repository: &'a RepositoryPath, blob: &'a Descriptor) -> Reading<'a> {
        let slot = self.0.slots.one().await;
        let source = BlobSource::Registry { client: self, repository };
        Reading { _slot: slot, ..Reading::new(source, blob, self.host()) }
    }
}

impl<'a> Reading<'a> {
    /// `host` is the target registry.
    pub(in crate::registry) fn new(source: BlobSource<'a>, blob: &'a Descriptor, host: &'a RegistryHost) -> Self {
        let host = match source {
            BlobSource::Registry { client, .. } => client.host(),
            BlobSource::File(_) => host,
        };
        let origin = Origin { source, blob, host };
        let (hasher, marks) = (Hasher::new(), vec![(0, Hasher::new())]);
        Self { origin, open: None, ready: None, at: 0, hasher, marks, seen: None, waited: Duration::ZERO, _slot: None }
    }

    /// The next bytes. `None` is the end, and proves that all bytes match the descriptor.
    ///
    /// # Errors
    /// Five attempts in a row brought nothing. Or the source has other bytes, too few or too many
    /// ([`RegistryError::is_refusal`]), or nothing ([`RegistryError::is_not_found`]).
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        self.next_before(u64::MAX).await
    }

    /// Like [`Self::next`], but only up to the byte `end`. `None` at `end` proves nothing about the bytes.
    pub(super) async fn next_before(&mut self, end: u64) -> Result<Option<Bytes>, RegistryError> {
        if self.at >= end {
            return Ok(None);
        }
        self.begin().await?;
        let mut piece = self.ready.take().unwrap_or_default();
        if piece.is_empty() {
            return self.prove().map(|()| None);
        }
        let until = self.seen.as_ref().map_or(end, |(until, _)| end.min(*until));
        if let Some(stop) = usize::try_from(until - self.at).ok().filter(|stop| *stop < piece.len()) {
            self.ready = Some(piece.split_off(stop));
        }
        self.at += piece.len() as u64;
        let expected = self.origin.blob.size;
        if self.at > expected {
            return Err(self.wrong(ErrorKind::Size { expected, actual: self.at }));
        }
        self.hasher.update(&piece);
        if let Some((_, digest)) = self.seen.take_if(|(until, _)| *until == self.at) {
            let actual = self.hasher.clone().finish();
            if actual != digest {
                return Err(self.wrong(ErrorKind::DigestMismatch { expected: digest, actual: actual.to_string() }));
            }
        }
        if self.marks.last().is_none_or(|(mark, _)| self.at >= mark + MARK) {
            self.marks.push((self.at, self.hasher.clone()));
        }
        Ok(Some(piece))
    }

    /// The number of bytes that were returned.
    pub(in crate::registry) fn at(&self) -> u64 {
        self.at
    }

    /// Goes back, so that the bytes after the first `to` bytes, and a few before, are returned again. Returns `false`
    /// if `to` is beyond the bytes that were read, because this function never skips bytes.
    pub(super) fn go_back(&mut self, to: u64) -> bool {
        if to >= self.at {
            return to == self.at;
        }
        if self.seen.is_none() {
            self.seen = Some((self.at, self.hasher.clone().finish()));
        }
        self.marks.retain(|(mark, _)| *mark <= to);
        let (at, hasher) = self.marks.last().cloned().unwrap_or_default();
        (self.at, self.hasher, self.open, self.ready) = (at, hasher, None, None);
        true
    }

    /// Reads the next bytes in advance. So a missing source is known before the caller does anything else.
    pub(super) async fn begin(&mut self) -> Result<(), RegistryError> {
        if self.ready.is_none() {
            let asked = Instant::now();
            let piece = Box::pin(self.piece()).await;
            self.waited += asked.elapsed();
            self.ready = Some(piece?.unwrap_or_default());
        }
        Ok(())
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        // The blob must arrive at a minimum rate overall, however often the connection breaks.
        let due = (RATE_GRACE + Duration::from_secs(self.at / MIN_RATE)).saturating_sub(self.waited);
        if let Some(open) = &mut self.open {
            match open.next(&self.origin, due).await {
                Err(_) if self.at == self.origin.blob.size => return Ok(None),
                Err(error) if error.is_transient() => self.origin.tell(&error),
                piece => return piece,
            }
        }
        self.open = None;
        let (open, piece) = self.origin.connect(self.at, due).await?;
        self.open = Some(open);
        Ok(piece)
    }

    /// Proves that all bytes arrived and match the descriptor.
    fn prove(&self) -> Result<(), RegistryError> {
        let blob = self.origin.blob;
        if self.at != blob.size {
            return Err(self.wrong(ErrorKind::Size { expected: blob.size, actual: self.at }));
        }
        let actual = self.hasher.clone().finish();
        if actual != blob.digest {
            let (expected, actual) = (blob.digest.clone(), actual.to_string());
            return Err(self.wrong(ErrorKind::DigestMismatch { expected, actual }));
        }
        Ok(())
    }

    fn wrong(&self, kind: ErrorKind) -> RegistryError {
        let Origin { source, blob, host } = self.origin;
        let request = match &self.open {
            Some(OpenSource::Response(coming)) => coming.request.clone(),
            _ => blob.digest.to_string(),
        };
        let kind = match source {
            BlobSource::Registry { .. } => kind,
            BlobSource::File(_) => ErrorKind::Untrue,
        };
        RegistryError::new(host, request, kind)
    }
}

impl Origin<'_> {
    /// Opens the source after its first `at` bytes, and waits for the next bytes. An attempt that brings no bytes has
    /// failed.
    async fn connect(&self, at: u64, due: Duration) -> Result<(OpenSource, Option<Bytes>), RegistryError> {
        let BlobSource::Registry { client, .. } = self.source else { return self.attempt(at, due).await };
        let http = &*client.0;
        let give_up = |kind| RegistryError::new(self.host, format!("GET blob {}", self.blob.digest), kind);
        let attempt = || Box::pin(self.attempt(at, due));
        retry::run(&http.backoff, &[&http.throttle], &*http.on_notice, Patience::None, attempt, give_up).await
    }

    async fn attempt(&self, at: u64, due: Duration) -> Result<(OpenSource, Option<Bytes>), RegistryError> {
        let mut open = match self.source {
            BlobSource::Registry { client, repository } => self.ask(client, repository, at).await?,
            BlobSource::File(file) => rewound(file, at).map_err(|error| self.unread(&error))?,
        };
        let piece = open.next(self, due).await?;
        Ok((open, piece))
    }

    /// `GET` of the missing bytes (RFC 9110, 14.2). A registry that sends no parts sends the whole blob.
    async fn ask(&self, client: &Client, repository: &RepositoryPath, at: u64) -> Result<OpenSource, RegistryError> {
        let call = Call {
            method: Method::GET,
            path: format!("{repository}/blobs/{}", self.blob.digest),
            scope: Some(Scope::pull(repository)),
            accept: None,
            range: HeaderValue::from_str(&format!("bytes={at}-")).ok().filter(|_| at > 0),
            content: None,
            read: Read::Later,
            patience: Patience::None,
        };
        let reply = client.0.attempt(&call).await?;
        let fail = |kind| RegistryError::new(self.host, reply.request.as_str(), kind);
        let size = self.blob.size;
        let part = at > 0 && reply.status.as_u16() == 206;
        let begins = |value: &HeaderValue| value.as_bytes().starts_with(format!("bytes {at}-").as_bytes());
        if part && !reply.headers.get(CONTENT_RANGE).is_some_and(begins) {
            return Err(fail(ErrorKind::Part));
        }
        let (skip, length) = if part { (0, size - at) } else { (at, size) };
        match reply.rest {
            Some(response) if response.content_length().is_none_or(|actual| actual == length) => {
                Ok(OpenSource::Response(Box::new(OpenResponse { response, request: reply.request, skip })))
            }
            other => {
                let actual = other.and_then(|response| response.content_length()).unwrap_or_default();
                Err(fail(ErrorKind::Size { expected: length, actual }))
            }
        }
    }

    fn unread(&self, error: &std::io::Error) -> RegistryError {
        RegistryError::new(self.host, self.blob.digest.to_string(), ErrorKind::Unread(Cause::of(error)))
    }

    /// Reports that a connection broke and that polyarch connects again.
    fn tell(&self, error: &RegistryError) {
        if let BlobSource::Registry { client, .. } = self.source {
            let (host, wait, reason) = (error.host().clone(), Duration::ZERO, error.to_string());
            (client.0.on_notice)(Notice::Retry(Retry { host, failures: 1, wait, reason }));
        }
    }
}

impl OpenSource {
    /// The next new bytes, within `due`.
    async fn next(&mut self, origin: &Origin<'_>, due: Duration) -> Result<Option<Bytes>, RegistryError> {
        let (coming, client) = match (self, origin.source) {
            (Self::Response(coming), BlobSource::Registry { client, .. }) => (coming, client),
            (Self::File(file), _) => return file.next().await.transpose().map_err(|error| origin.unread(&error)),
            (Self::Response(_), BlobSource::File(_)) => return Ok(None),
        };
        let wire = &client.0.wire;
        let after = wire.timeouts.idle.min(due);
        loop {
            let piece = match timeout(after, coming.response.chunk()).await {
                Ok(piece) => piece.map_err(|error| wire.failure(error)),
                Err(_) => Err(ErrorKind::Timeout { waiting: Waiting::Body, after }),
            };
            let piece = piece.map_err(|kind| RegistryError::new(origin.host, coming.request.as_str(), kind))?;
            let Some(mut piece) = piece else { return Ok(None) };
            let skipped = coming.skip.min(piece.len() as u64);
            coming.skip -= skipped;
            let new = piece.split_off(usize::try_from(skipped).unwrap_or(piece.len()));
            // HTTP/2 ends with an empty piece.
            if !new.is_empty() {
                return Ok(Some(new));
            }
        }
    }
}

fn rewound(mut file: &File, at: u64) -> std::io::Result<OpenSource> {
    file.seek(SeekFrom::Start(at))?;
    let file = tokio::fs::File::from_std(file.try_clone()?);
    Ok(OpenSource::File(ReaderStream::with_capacity(file, PIECE)))
}
