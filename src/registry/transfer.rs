//! Blobs from one repository to another (OCI distribution-spec, "Pushing Blobs").
//!
//! Asked for with a `HEAD`; mounted where both repositories are of one registry and it does that; else sent as they
//! come. All of it is one operation. What fails in a way that may pass goes on where it broke if the registry says where
//! that is, and is else begun again from its beginning.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{CONTENT_LENGTH, HeaderName, LOCATION, RANGE};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::Duration;

use super::blobs::number;
use super::client::Client;
use super::error::{ErrorKind, RegistryError};
use super::http::{Call, Http, refusal, wants_login};
use super::login::{Scope, Ticket};
use super::manifests::claim;
use super::reading::{BlobSource, Reading};
use super::retry::{self, Backoff, Patience};
use super::stream::{Failed, MAX_UPLOAD_ANSWER, Sent, Upload};
use super::target::TargetError;
use super::wire::{Read, Reply};
use crate::oci::{Descriptor, Provider, RepositoryPath};

/// Bytes that are sent at once where a registry wants parts: the most that ECR takes (Amazon ECR service quotas, "Maximum
/// layer part size"), and more than the least that any is known to want.
const PART: u64 = 10 << 20;
/// Most parts of a layer of ECR ("Layer parts"): those of larger ones are longer, below the 20 MB that it takes at all.
const MOST_PARTS: u64 = 4200;
/// What the shortest part is that a registry takes, but for the last (OCI distribution-spec, "Pushing a blob in chunks").
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// Longest that one blob may take, with all attempts: what does not move is given up long before.
const LONGEST: Duration = Duration::from_hours(24);

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was there already.
    Present,
    /// The registry took it from another of its repositories; nothing was sent.
    Mounted,
    /// It was sent.
    Copied,
    /// It was sent although the registry said that it is there: the registry has another size of it. A registry may keep that.
    Replaced,
}

/// The answer of a registry about a blob before the blob is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    Nothing,
    /// As many bytes as its descriptor says, as far as the registry tells.
    Blob,
    /// Another number of bytes.
    Other,
}

impl Client {
    /// Brings `blob` into `repository`, never more of it in memory than a few pieces. What arrives is hashed on its
    /// way, and made final only if it is what `blob` names. What breaks goes on where it broke, where the registry can
    /// say where that is. `moved` grows by the bytes that were sent.
    ///
    /// # Errors
    /// A registry refuses, or does not answer five times in a row; the source has other bytes than `blob` names
    /// ([`RegistryError::is_refusal`]), or nothing ([`RegistryError::is_not_found`]).
    pub async fn copy_blob(
        &self,
        repository: &RepositoryPath,
        blob: &Descriptor,
        source: BlobSource<'_>,
        moved: &AtomicU64,
    ) -> Result<Arrival, RegistryError> {
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
        if !matches!(arrival, Ok(Arrival::Copied | Arrival::Replaced)) {
            transfer.sent.back_to(0);
        }
        arrival
    }
}

struct Transfer<'a> {
    /// The registry that gets it.
    http: &'a Http,
    repository: &'a RepositoryPath,
    blob: &'a Descriptor,
    source: BlobSource<'a>,
    sent: Sent<'a>,
    /// Bytes that the registry said it has: as long as they grow, it is worth trying.
    received: AtomicU64,
    /// Of one attempt at a time.
    state: Mutex<State<'a>>,
}

/// What one attempt leaves to the next.
struct State<'a> {
    reading: Reading<'a>,
    /// The upload that may go on.
    upload: Option<Upload>,
}

/// What a registry says to a mount.
enum Mount {
    Done,
    /// It began an upload in its place.
    Upload(Upload),
    Refused,
}

impl<'a> Transfer<'a> {
    /// What the source did wrong is no reason to try again here: it was tried there.
    async fn attempt(&self) -> Result<Result<Arrival, RegistryError>, RegistryError> {
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

    async fn bring(&self, state: &mut State<'a>) -> Result<Arrival, Failed> {
        let had = self.had().await?;
        if had == Had::Blob {
            return Ok(Arrival::Present);
        }
        let upload = match self.broken(state).await? {
            Some(upload) => upload,
            None => match self.mount().await? {
                // It was mounted because it is there, whatever it is.
                Mount::Done if had == Had::Other => return Ok(Arrival::Replaced),
                Mount::Done => return Ok(Arrival::Mounted),
                Mount::Upload(upload) => self.anew(state, Some(upload)).await?,
                Mount::Refused => self.anew(state, None).await?,
            },
        };
        let done = match self.send(upload, state).await {
            Ok(next) => self.finish(next).await.map_err(Failed::Target),
            Err(failed) => Err(failed),
        };
        match (&done, &state.upload) {
            // What came is wrong, or did not come: the registry need not keep it. If it does, nobody sees it.
            (Err(Failed::Source(_)), Some(upload)) => {
                drop(self.http.attempt(&self.call(Method::DELETE, upload.url.as_str())).await);
            }
            (Err(Failed::Target(error)), _) if self.is_over(error) => state.upload = None,
            _ => {}
        }
        done.map(|()| if had == Had::Other { Arrival::Replaced } else { Arrival::Copied })
    }

    /// Whether an upload cannot go on after `error`: where it is can be asked of anybody but ECR.
    fn is_over(&self, error: &RegistryError) -> bool {
        self.http.provider == Provider::Ecr && matches!(error.kind(), ErrorKind::OutOfStep | ErrorKind::UploadLost(_))
    }

    /// The upload that broke, if the registry can say how far it came (OCI distribution-spec, "Pushing a blob in chunks").
    async fn broken(&self, state: &mut State<'a>) -> Result<Option<Upload>, RegistryError> {
        let Some(upload) = state.upload.take() else { return Ok(None) };
        if self.http.provider == Provider::Ecr {
            // It does not say how far it is: the part that broke is sent again.
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

    /// A new upload, of all of the blob; the source is asked first.
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

    async fn had(&self) -> Result<Had, RegistryError> {
        let path = format!("{}/blobs/{}", self.repository, self.blob.digest);
        match self.http.attempt(&self.call(Method::HEAD, &path)).await {
            // Some answer with no length, and what is between us makes that a zero.
            Ok(reply) => match number(&reply.headers, CONTENT_LENGTH) {
                Some(size) if size > 0 && size != self.blob.size => Ok(Had::Other),
                _ => Ok(Had::Blob),
            },
            Err(error) if error.is_not_found() => Ok(Had::Nothing),
            // One that cannot be asked is sent what it may have.
            Err(error) if error.is_of_head() && !error.is_transient() && !error.is_denied() => Ok(Had::Nothing),
            Err(error) => Err(error),
        }
    }

    /// `POST ?mount=…&from=…`, within one registry. It is free to refuse, in whatever way.
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

    /// The upload that a `POST` began: in parts, where the registry wants them.
    fn begun(&self, reply: &Reply) -> Result<Upload, RegistryError> {
        let least = reply.headers.get(CHUNK_MIN_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let wants_parts = least.is_some() || self.http.provider == Provider::Ecr;
        let part = PART.max(least.unwrap_or_default()).max(self.blob.size.div_ceil(MOST_PARTS));
        Ok(Upload { url: self.place(reply, None)?, received: 0, part: wants_parts.then_some(part) })
    }

    /// Sends what is missing; says where it is to be finished.
    async fn send(&self, mut upload: Upload, state: &mut State<'a>) -> Result<Url, Failed> {
        let size = self.blob.size;
        // From now on it can go on, should it break.
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

    /// Sends one part; says where the next one goes. A login that expired since the part before is renewed once.
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
        // ECR says of all parts that it has the first one (containers-roadmap#2831): the digest proves them in the end.
        let has_less = received(&reply).is_some_and(|received| received < end);
        if has_less && self.http.provider != Provider::Ecr {
            state.upload = Some(Upload { url: next, ..upload.clone() });
            return Err(fail(ErrorKind::OutOfStep).into());
        }
        Ok(next)
    }

    /// `PATCH`, with our login where the upload is the registry's own.
    async fn patch(&self, upload: &Upload, ticket: &Ticket, state: &mut State<'a>) -> Result<Reply, Failed> {
        let wire = &self.http.wire;
        let authorization = ticket.authorization.as_ref().filter(|_| upload.url.origin() == wire.home.origin());
        wire.upload(upload, authorization, self.blob, &mut state.reading, &self.sent).await
    }

    /// `PUT ?digest=…`: from now on it is there.
    async fn finish(&self, mut upload: Url) -> Result<(), RegistryError> {
        upload.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        let reply = self.http.attempt(&self.call(Method::PUT, upload.as_str())).await;
        let reply = reply.map_err(|error| error.map_kind(lost))?;
        let fail = |kind| Err(RegistryError::new(&self.http.wire.host, reply.request.as_str(), kind));
        if let Some(actual) = claim(&reply.headers).filter(|claimed| claimed != self.blob.digest.as_str()) {
            return fail(ErrorKind::DigestMismatch { expected: self.blob.digest.clone(), actual });
        }
        // Another success than 201 says what it says: the blob itself is asked for.
        if reply.status.as_u16() != 201 && self.had().await? != Had::Blob {
            let status = reply.status.as_u16();
            return fail(ErrorKind::Status { status, answer: super::Answer::default(), retry_after: None });
        }
        Ok(())
    }

    /// Where an upload goes on: relative or absolute, and where we go at all. `None`: it must be said.
    fn place(&self, reply: &Reply, before: Option<&Url>) -> Result<Url, RegistryError> {
        let wire = &self.http.wire;
        let fail = |kind: ErrorKind| RegistryError::new(&wire.host, reply.request.as_str(), kind);
        let Some(location) = reply.headers.get(LOCATION) else {
            return before.cloned().ok_or_else(|| fail(TargetError::Malformed.into()));
        };
        // What was asked stands in the reply without its query, which the next address does not take over.
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

/// Where an upload that was begun is not there, it was lost: other content is not asked for.
fn lost(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::NotFound(answer) if !answer.has("NAME_UNKNOWN") => ErrorKind::UploadLost(answer),
        kind => kind,
    }
}

/// How many bytes an upload has: `Range: 0-LAST`. Of `0-0` nobody knows whether it is one byte or none.
fn received(reply: &Reply) -> Option<u64> {
    let text = reply.headers.get(RANGE)?.to_str().ok()?;
    let last = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse::<u64>().ok()?;
    last.checked_add(1).filter(|received| *received > 1)
}
