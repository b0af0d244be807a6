//! Blobs from one repository to another (OCI distribution-spec, "Pushing Blobs").
//!
//! Asked for with a `HEAD`; mounted where both repositories are of one registry and it does that; else sent as they
//! come. All of it is one operation: what fails in a way that may pass is begun again from its beginning.

use std::sync::atomic::AtomicU64;

use reqwest::header::LOCATION;
use reqwest::{Method, Url};
use tokio::time::Duration;

use super::client::Client;
use super::error::{ErrorKind, RegistryError};
use super::http::{Call, Http, refusal};
use super::login::Scope;
use super::manifests::claim;
use super::retry::{self, Backoff, Patience};
use super::stream::{Download, MAX_UPLOAD_ANSWER, Sent};
use super::target::{self, TargetError};
use super::wire::{Read, Reply};
use crate::oci::{Descriptor, RepositoryPath};

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
}

/// Where a blob is to come from.
#[derive(Debug, Clone, Copy)]
pub struct BlobSource<'a> {
    /// The registry.
    pub client: &'a Client,
    /// The repository that has it.
    pub repository: &'a RepositoryPath,
}

impl Client {
    /// Brings `blob` into `repository`, never more of it in memory than a few pieces. What arrives is hashed on its
    /// way, and made final only if it is what `blob` names. `moved` grows by the bytes that were sent.
    ///
    /// # Errors
    /// A registry refuses or does not answer; the source has other bytes than `blob` names
    /// ([`RegistryError::is_refusal`]), or nothing ([`RegistryError::is_not_found`]).
    pub async fn copy_blob(
        &self,
        repository: &RepositoryPath,
        blob: &Descriptor,
        source: BlobSource<'_>,
        moved: &AtomicU64,
    ) -> Result<Arrival, RegistryError> {
        let http = &*self.0;
        let backoff = Backoff { deadline: LONGEST, ..http.backoff.clone() };
        let transfer = Transfer { http, repository, blob, source, moved };
        let throttles = [&http.throttle, &source.client.0.throttle];
        let line = format!("PUT {repository}/blobs/{}", blob.digest);
        let give_up = |kind| RegistryError::new(self.host(), line.as_str(), kind);
        retry::run(&backoff, &throttles, &*http.on_notice, Patience::None, || transfer.attempt(), give_up).await
    }
}

struct Transfer<'a> {
    /// The registry that gets it.
    http: &'a Http,
    repository: &'a RepositoryPath,
    blob: &'a Descriptor,
    source: BlobSource<'a>,
    moved: &'a AtomicU64,
}

/// What a registry says to a mount.
enum Mount {
    Done,
    /// It began an upload in its place.
    Upload(Url),
    Refused,
}

impl Transfer<'_> {
    async fn attempt(&self) -> Result<Arrival, RegistryError> {
        let _places = self.http.slots.both(&self.source.client.0.slots).await;
        let sent = Sent::new(self.moved);
        let arrival = self.bring(&sent).await;
        if arrival.is_err() {
            sent.take_back();
        }
        arrival
    }

    async fn bring(&self, sent: &Sent<'_>) -> Result<Arrival, RegistryError> {
        if self.is_there().await? {
            return Ok(Arrival::Present);
        }
        let upload = match self.mount().await? {
            Mount::Done => return Ok(Arrival::Mounted),
            Mount::Upload(upload) => Some(upload),
            Mount::Refused => None,
        };
        let download = self.open().await?;
        let upload = match upload {
            Some(upload) => upload,
            None => self.begin().await?,
        };
        let next = self.send(&upload, download, sent).await;
        if next.as_ref().is_err_and(RegistryError::is_refusal) {
            // What came is wrong: the registry need not keep it. If it does, nobody sees it.
            drop(self.http.attempt(&self.call(Method::DELETE, upload.as_str())).await);
        }
        self.finish(next?).await?;
        Ok(Arrival::Copied)
    }

    async fn is_there(&self) -> Result<bool, RegistryError> {
        let path = format!("{}/blobs/{}", self.repository, self.blob.digest);
        match self.http.attempt(&self.call(Method::HEAD, &path)).await {
            Ok(_) => Ok(true),
            // One that cannot be asked (405) is sent what it may have.
            Err(error) if error.answer().is_some_and(|(status, _)| matches!(status, 404 | 405)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `POST ?mount=…&from=…`, within one registry. It is free to refuse, in whatever way.
    async fn mount(&self) -> Result<Mount, RegistryError> {
        let from = self.source.repository;
        if *self.source.client.host() != self.http.wire.host || from == self.repository {
            return Ok(Mount::Refused);
        }
        let path = format!("{}/blobs/uploads/?mount={}&from={from}", self.repository, self.blob.digest);
        let scope = Some(Scope::mount(self.repository, from));
        match self.http.attempt(&Call { scope, ..self.call(Method::POST, &path) }).await {
            Ok(reply) if reply.status.as_u16() == 201 => Ok(Mount::Done),
            Ok(reply) => self.place(&reply, None).map(Mount::Upload),
            Err(error) => {
                let status = error.answer().map(|(status, _)| status);
                let refused = error.is_denied() || matches!(status, Some(400..500));
                if refused && !error.is_transient() { Ok(Mount::Refused) } else { Err(error) }
            }
        }
    }

    /// The blob, as the source begins to send it.
    async fn open(&self) -> Result<Download<'_>, RegistryError> {
        let http = &*self.source.client.0;
        let path = format!("{}/blobs/{}", self.source.repository, self.blob.digest);
        let scope = Some(Scope::pull(self.source.repository));
        let call = Call { scope, read: Read::Later, ..self.call(Method::GET, &path) };
        let reply = http.attempt(&call).await?;
        let fail = |kind| RegistryError::new(&http.wire.host, reply.request.as_str(), kind);
        let expected = self.blob.size;
        match reply.rest {
            Some(response) if response.content_length().is_none_or(|length| length == expected) => {
                Ok(Download { wire: &http.wire, response, request: reply.request })
            }
            other => {
                let actual = other.and_then(|response| response.content_length()).unwrap_or_default();
                Err(fail(ErrorKind::Size { expected, actual }))
            }
        }
    }

    async fn begin(&self) -> Result<Url, RegistryError> {
        let path = format!("{}/blobs/uploads/", self.repository);
        let reply = self.http.attempt(&self.call(Method::POST, &path)).await?;
        self.place(&reply, None)
    }

    /// Sends the content; says where it is to be finished.
    async fn send(&self, upload: &Url, download: Download<'_>, sent: &Sent<'_>) -> Result<Url, RegistryError> {
        let wire = &self.http.wire;
        let ticket = self.http.login.ticket(wire, Some(&Scope::push(self.repository))).await;
        let authorization = ticket.authorization.as_ref().filter(|_| upload.origin() == wire.home.origin());
        let reply = wire.upload(upload.clone(), authorization, self.blob, download, sent).await?;
        if !reply.status.is_success() {
            let kind = refusal(&reply, authorization.is_some() && ticket.with_credentials);
            return Err(RegistryError::new(&wire.host, reply.request, kind));
        }
        self.place(&reply, Some(upload))
    }

    /// `PUT ?digest=…`: from now on it is there.
    async fn finish(&self, mut upload: Url) -> Result<(), RegistryError> {
        upload.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        let reply = self.http.attempt(&self.call(Method::PUT, upload.as_str())).await?;
        let fail = |kind| Err(RegistryError::new(&self.http.wire.host, reply.request.as_str(), kind));
        if reply.status.as_u16() != 201 {
            let status = reply.status.as_u16();
            return fail(ErrorKind::Status { status, answer: super::Answer::default(), retry_after: None });
        }
        match claim(&reply.headers).filter(|claimed| claimed != self.blob.digest.as_str()) {
            Some(actual) => fail(ErrorKind::DigestMismatch { expected: self.blob.digest.clone(), actual }),
            None => Ok(()),
        }
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
        target::redirect(&wire.home, from.as_ref().unwrap_or(&wire.home), &location).map_err(|error| fail(error.into()))
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
