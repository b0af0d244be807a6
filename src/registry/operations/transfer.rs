//! Copies blobs from one repository to another (OCI distribution-spec, "Pushing Blobs").
//!
//! polyarch first asks for the blob with `HEAD`. Within one registry it then tries to mount the blob. Otherwise it
//! sends the blob while it arrives from the source. All of this is one operation. After a temporary failure polyarch
//! continues where it stopped if the registry can report the position. If not, polyarch begins again.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{CONTENT_LENGTH, HeaderName, LOCATION, RANGE};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::Duration;

use super::blobs::number;
use super::manifests::claim;
use super::reading::{BlobSource, Reading};
use super::stream::{Failed, MAX_UPLOAD_ANSWER, Sent, Upload};
use crate::aws::Provider;
use crate::oci::{Descriptor, RepositoryPath};
use crate::registry::client::Client;
use crate::registry::error::{Answer, ErrorKind, RegistryError, TargetError};
use crate::registry::login::logins::Ticket;
use crate::registry::login::refusal::refusal;
use crate::registry::login::scope::Scope;
use crate::registry::request::http::{Call, Http, wants_login};
use crate::registry::request::retry::{self, Backoff, Patience};
use crate::registry::transport::wire::{Read, Reply};

/// The size of a part if a registry wants parts: the largest part that ECR accepts (Amazon ECR service quotas, "Maximum
/// layer part size"). No known registry has a larger minimum.
const PART: u64 = 10 << 20;
/// The most parts of a layer in ECR ("Layer parts"). Parts of larger layers are longer, but below ECR's maximum of 20
/// MB.
const MOST_PARTS: u64 = 4200;
/// The header with the minimum size of a part, except for the last part (OCI distribution-spec, "Pushing a blob in
/// chunks").
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// The time limit for one blob with all attempts. polyarch gives up a transfer without progress much earlier.
const LONGEST: Duration = Duration::from_hours(24);

/// The way that a blob came into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobOutcome {
    /// The repository had the blob already.
    Present,
    /// The registry took the blob from another of its repositories. polyarch sent nothing.
    Mounted,
    /// polyarch sent the blob.
    Copied,
    /// polyarch sent the blob although the registry reported that it exists, because the registry has another size of
    /// it. A registry may keep the old content.
    Replaced,
}

/// The registry's answer about a blob before the transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Nothing,
    /// A blob with the size in the descriptor, if the registry reports a size.
    Blob,
    /// A blob with another size.
    Other,
}

impl Client {
    /// Copies `blob` into `repository`, with only a few pieces in memory. polyarch hashes the bytes on their way. It
    /// completes the upload only if the bytes match `blob`. After a failure it continues where it stopped, if the
    /// registry can report the position. `moved` grows by the bytes that polyarch sent.
    ///
    /// # Errors
    /// A registry refuses, or does not answer five times in a row. Or the source has other bytes than `blob` names
    /// ([`RegistryError::is_refusal`]), or nothing ([`RegistryError::is_not_found`]).
    pub async fn copy_blob(
        &self,
        repository: &RepositoryPath,
        blob: &Descriptor,
        source: BlobSource<'_>,
        moved: &AtomicU64,
    ) -> Result<BlobOutcome, RegistryError> {
        let http = &*self.0;
        let state = Mutex::new(State { reading: Reading::new(source, blob, self.host()), upload: None });
        let transfer =
            Transfer { http, repository, blob, source, sent: Sent::new(moved), received: AtomicU64::new(0), state };
        let backoff = Backoff { deadline: LONGEST, ..http.backoff.clone() };
        let line = format!("PUT {repository}/blobs/{}", blob.digest);
        let give_up = |kind| RegistryError::new(self.host(), line.as_str(), kind);
        let throttles = [&http.throttle];
        let arrival = retry::run_on(
            (&backoff, &transfer.received),
            &throttles,
            &*http.on_notice,
            Patience::None,
            || transfer.attempt(),
            give_up,
        );
        let arrival = arrival.await.flatten();
        if !matches!(arrival, Ok(BlobOutcome::Copied | BlobOutcome::Replaced)) {
            transfer.sent.back_to(0);
        }
        arrival
    }
}

struct Transfer<'a> {
    /// The target registry.
    http: &'a Http,
    repository: &'a RepositoryPath,
    blob: &'a Descriptor,
    source: BlobSource<'a>,
    sent: Sent<'a>,
    /// The bytes that the registry reported. While they grow, further attempts make sense.
    received: AtomicU64,
    /// Used by one attempt at a time.
    state: Mutex<State<'a>>,
}

/// The state that one attempt leaves to the next.
struct State<'a> {
    reading: Reading<'a>,
    /// The upload that may continue.
    upload: Option<Upload>,
}

/// A registry's answer to a mount.
enum Mount {
    Done,
    /// The registry began an upload instead.
    Upload(Upload),
    Refused,
}

impl<'a> Transfer<'a> {
    /// Makes one attempt. A failure of the source is final here, because the reading has already retried it.
    async fn attempt(&self) -> Result<Result<BlobOutcome, RegistryError>, RegistryError> {
        let own = &self.http.slots;
        let _places = match self.source {
            BlobSource::Registry { client, .. } => own.both(&client.0.slots).await,
            BlobSource::File(_) => [own.one().await, None],
        };
        let mut state = self.state.lock().await;
        match self.bring(&mut state).await {
            Ok(arrival) => Ok(Ok(arrival)),
            Err(Failed::Source(error)) => Ok(Err(error)),
            Err(Failed::Target(error)) => Err(error),
        }
    }

    async fn bring(&self, state: &mut State<'a>) -> Result<BlobOutcome, Failed> {
        let had = self.had().await?;
        if had == Existing::Blob {
            return Ok(BlobOutcome::Present);
        }
        let upload = match self.broken(state).await? {
            Some(upload) => upload,
            None => match self.mount().await? {
                // The mount succeeded because the blob exists, with any size.
                Mount::Done if had == Existing::Other => return Ok(BlobOutcome::Replaced),
                Mount::Done => return Ok(BlobOutcome::Mounted),
                Mount::Upload(upload) => self.anew(state, Some(upload)).await?,
                Mount::Refused => self.anew(state, None).await?,
            },
        };
        let done = match self.send(upload, state).await {
            Ok(next) => self.finish(next).await.map_err(Failed::Target),
            Err(failed) => Err(failed),
        };
        match (&done, &state.upload) {
            // The source failed or sent wrong bytes, so the registry need not keep the upload. If it does, the upload
            // stays invisible.
            (Err(Failed::Source(_)), Some(upload)) => {
                drop(self.http.attempt(&self.call(Method::DELETE, upload.url.as_str())).await);
            }
            (Err(Failed::Target(error)), _) if self.is_over(error) => state.upload = None,
            _ => {}
        }
        done.map(|()| if had == Existing::Other { BlobOutcome::Replaced } else { BlobOutcome::Copied })
    }

    /// Whether an upload cannot continue after `error`. All registries except ECR can report the position.
    fn is_over(&self, error: &RegistryError) -> bool {
        self.http.provider == Provider::Ecr && matches!(error.kind(), ErrorKind::OutOfStep | ErrorKind::UploadLost(_))
    }

    /// The interrupted upload, if the registry can report its position (OCI distribution-spec, "Pushing a blob in
    /// chunks").
    async fn broken(&self, state: &mut State<'a>) -> Result<Option<Upload>, RegistryError> {
        let Some(upload) = state.upload.take() else { return Ok(None) };
        if self.http.provider == Provider::Ecr {
            // ECR does not report the position, so polyarch sends the interrupted part again.
            return Ok(Some(upload).filter(|upload| state.reading.go_back(upload.received)));
        }
        let reply = match self.http.attempt(&self.call(Method::GET, upload.url.as_str())).await {
            Ok(reply) => reply,
            Err(error) if error.is_transient() => {
                state.upload = Some(upload);
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
        let Some(received) = received(&reply).filter(|received| state.reading.go_back(*received)) else {
            return Ok(None);
        };
        self.received.fetch_max(received, Ordering::Relaxed);
        Ok(Some(Upload { url: self.place(&reply, Some(&upload.url))?, received, part: upload.part }))
    }

    /// A new upload for the whole blob. polyarch checks the source first.
    async fn anew(&self, state: &mut State<'a>, begun: Option<Upload>) -> Result<Upload, Failed> {
        if state.reading.at() > 0 {
            state.reading = Reading::new(self.source, self.blob, &self.http.wire.host);
        }
        state.reading.begin().await.map_err(Failed::Source)?;
        match begun {
            Some(upload) => Ok(upload),
            None => Ok(self.begin().await?),
        }
    }

    async fn had(&self) -> Result<Existing, RegistryError> {
        let path = format!("{}/blobs/{}", self.repository, self.blob.digest);
        match self.http.attempt(&self.call(Method::HEAD, &path)).await {
            // Some registries send no length, and some proxies turn this into a zero.
            Ok(reply) => match number(&reply.headers, CONTENT_LENGTH) {
                Some(size) if size > 0 && size != self.blob.size => Ok(Existing::Other),
                _ => Ok(Existing::Blob),
            },
            Err(error) if error.is_not_found() => Ok(Existing::Nothing),
            // If the registry does not support `HEAD`, polyarch sends the blob, although the registry may have it.
            Err(error) if error.is_of_head() && !error.is_transient() && !error.is_denied() => Ok(Existing::Nothing),
            Err(error) => Err(error),
        }
    }

    /// `POST ?mount=…&from=…`, within one registry. The registry may refuse in any way.
    async fn mount(&self) -> Result<Mount, RegistryError> {
        let BlobSource::Registry { client, repository: from } = self.source else { return Ok(Mount::Refused) };
        if *client.host() != self.http.wire.host || from == self.repository {
            return Ok(Mount::Refused);
        }
        let path = format!("{}/blobs/uploads/?mount={}&from={from}", self.repository, self.blob.digest);
        let scope = Some(Scope::mount(self.repository, from));
        match self.http.attempt(&Call { scope, ..self.call(Method::POST, &path) }).await {
            Ok(reply) if reply.status.as_u16() == 201 => Ok(Mount::Done),
            Ok(reply) => self.begun(&reply).map(Mount::Upload),
            Err(error) => {
                let status = error.answer().map(|(status, _)| status);
                let refused = error.is_denied() || matches!(status, Some(400..500));
                if refused && !error.is_transient() { Ok(Mount::Refused) } else { Err(error) }
            }
        }
    }

    async fn begin(&self) -> Result<Upload, RegistryError> {
        let path = format!("{}/blobs/uploads/", self.repository);
        let reply = self.http.attempt(&self.call(Method::POST, &path)).await?;
        self.begun(&reply)
    }

    /// The upload that a `POST` began. It has parts if the registry wants them.
    fn begun(&self, reply: &Reply) -> Result<Upload, RegistryError> {
        let least = reply.headers.get(CHUNK_MIN_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let wants_parts = least.is_some() || self.http.provider == Provider::Ecr;
        let part = PART.max(least.unwrap_or_default()).max(self.blob.size.div_ceil(MOST_PARTS));
        Ok(Upload { url: self.place(reply, None)?, received: 0, part: wants_parts.then_some(part) })
    }

    /// Sends the missing bytes. Returns the address for the completion.
    async fn send(&self, mut upload: Upload, state: &mut State<'a>) -> Result<Url, Failed> {
        let size = self.blob.size;
        // From now on, an interrupted upload can continue.
        state.upload = Some(upload.clone());
        if upload.received > 0 && upload.received == size {
            while state.reading.next().await.map_err(Failed::Source)?.is_some() {}
            return Ok(upload.url);
        }
        loop {
            let end = upload.end(size);
            let call = self.call(Method::PATCH, upload.url.as_str());
            let sent = self.send_part(&upload, state).await.map_err(|failed| match failed {
                Failed::Target(error) => Failed::Target(self.http.asked(error, &call)),
                Failed::Source(error) => Failed::Source(error),
            });
            upload = Upload { url: sent?, received: end, part: upload.part };
            self.received.fetch_max(end, Ordering::Relaxed);
            state.upload = Some(upload.clone());
            if end == size {
                return Ok(upload.url);
            }
        }
    }

    /// Sends one part. Returns the address for the next one. If the login has expired since the previous part, polyarch
    /// renews it once.
    async fn send_part(&self, upload: &Upload, state: &mut State<'a>) -> Result<Url, Failed> {
        let (wire, scope) = (&self.http.wire, Scope::push(self.repository));
        let mut ticket = self.http.login.ticket(wire, Some(&scope)).await;
        let mut reply = self.patch(upload, &ticket, state).await?;
        if wants_login(&reply, &ticket) && state.reading.go_back(upload.received) {
            ticket = self.http.login.renew(wire, Some(&scope), &ticket, &reply).await?;
            reply = self.patch(upload, &ticket, state).await?;
        }
        let fail = |kind| RegistryError::new(&wire.host, reply.request.as_str(), kind);
        if reply.status == StatusCode::RANGE_NOT_SATISFIABLE {
            let url = self.place(&reply, Some(&upload.url))?;
            state.upload = Some(Upload { url, ..upload.clone() });
            return Err(fail(ErrorKind::OutOfStep).into());
        }
        if !reply.status.is_success() {
            return Err(fail(lost(refusal(&reply, ticket.with_credentials))).into());
        }
        let next = self.place(&reply, Some(&upload.url))?;
        let end = upload.end(self.blob.size);
        // ECR's answer to every part reports only the first part (containers-roadmap#2831). In the end the digest
        // proves all parts.
        let has_less = received(&reply).is_some_and(|received| received < end);
        if has_less && self.http.provider != Provider::Ecr {
            state.upload = Some(Upload { url: next, ..upload.clone() });
            return Err(fail(ErrorKind::OutOfStep).into());
        }
        Ok(next)
    }

    /// `PATCH`, with the login only if the upload is at the registry itself.
    async fn patch(&self, upload: &Upload, ticket: &Ticket, state: &mut State<'a>) -> Result<Reply, Failed> {
        let wire = &self.http.wire;
        let authorization = ticket.authorization.as_ref().filter(|_| upload.url.origin() == wire.home.origin());
        wire.upload(upload, authorization, self.blob, &mut state.reading, &self.sent).await
    }

    /// `PUT ?digest=…`: this completes the blob.
    async fn finish(&self, mut upload: Url) -> Result<(), RegistryError> {
        upload.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        let reply = self.http.attempt(&self.call(Method::PUT, upload.as_str())).await;
        let reply = reply.map_err(|error| error.map_kind(lost))?;
        let fail = |kind| Err(RegistryError::new(&self.http.wire.host, reply.request.as_str(), kind));
        if let Some(actual) = claim(&reply.headers).filter(|claimed| claimed != self.blob.digest.as_str()) {
            return fail(ErrorKind::DigestMismatch { expected: self.blob.digest.clone(), actual });
        }
        // A success other than 201 proves nothing, so polyarch asks for the blob itself.
        if reply.status.as_u16() != 201 && self.had().await? != Existing::Blob {
            let status = reply.status.as_u16();
            return fail(ErrorKind::Status { status, answer: Answer::default(), retry_after: None });
        }
        Ok(())
    }

    /// The address where an upload continues: relative or absolute, and allowed by `target`. If `before` is `None`, the
    /// answer must contain an address.
    fn place(&self, reply: &Reply, before: Option<&Url>) -> Result<Url, RegistryError> {
        let wire = &self.http.wire;
        let fail = |kind: ErrorKind| RegistryError::new(&wire.host, reply.request.as_str(), kind);
        let Some(location) = reply.headers.get(LOCATION) else {
            return before.cloned().ok_or_else(|| fail(TargetError::Malformed.into()));
        };
        // The reply contains the request's URL without its query. The next address does not inherit the query.
        let from = before.cloned().or_else(|| reply.request.split_once(' ')?.1.parse().ok());
        let location = String::from_utf8_lossy(location.as_bytes());
        wire.redirect(from.as_ref().unwrap_or(&wire.home), &location).map_err(|error| fail(error.into()))
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call {
            method,
            path: path.to_owned(),
            scope: Some(Scope::push(self.repository)),
            accept: None,
            range: None,
            content: None,
            read: Read::Whole(MAX_UPLOAD_ANSWER),
            patience: Patience::None,
        }
    }
}

/// A 404 for an upload means that the upload was lost, because the request names no other content.
fn lost(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::NotFound(answer) if !answer.has("NAME_UNKNOWN") => ErrorKind::UploadLost(answer),
        kind => kind,
    }
}

/// The bytes of an upload: `Range: 0-LAST`. `0-0` is ambiguous: it may mean one byte or none.
fn received(reply: &Reply) -> Option<u64> {
    let text = reply.headers.get(RANGE)?.to_str().ok()?;
    let last = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse::<u64>().ok()?;
    last.checked_add(1).filter(|received| *received > 1)
}
