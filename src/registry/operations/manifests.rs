//! Manifests: polyarch reads and writes their raw bytes (OCI distribution-spec, "Pulling manifests", "Pushing
//! Manifests").

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::oci::{Digest, MAX_MANIFEST_BYTES, MediaType, RawManifest, RepositoryPath, Selector, Tag};
use crate::registry::client::Client;
use crate::registry::error::{Answer, ErrorKind, RegistryError};
use crate::registry::login::scope::Scope;
use crate::registry::request::http::Call;
use crate::registry::request::notice::Notice;
use crate::registry::request::retry::{self, Backoff, Patience};
use crate::registry::transport::wire::{Read, Reply};
use crate::text::printable;

/// The registry's own claim about the content that it sent or stored.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The longest claim that an error repeats, in characters.
const MAX_CLAIM: usize = 100;
/// The longest answer to a push or a `DELETE` that polyarch reads, in bytes. The answer has no meaning.
const MAX_ANSWER: usize = 64 << 10;

/// The meaning of a 404 for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The content does not exist.
    Settled,
    /// The content was just written and may not be visible yet. polyarch looks for it again for at most 10 s.
    JustWritten,
}

impl From<Visibility> for Patience {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Settled => Self::None,
            Visibility::JustWritten => Self::Content,
        }
    }
}

/// The facts that a registry reports about a manifest without sending it. All of them are claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The digest, if the registry sends a valid one.
    pub digest: Option<Digest>,
    /// The media type.
    pub media_type: MediaType,
    /// The size in bytes.
    pub size: Option<u64>,
}

impl Client {
    /// Gets a manifest or an index of at most 4 MiB. With a digest, polyarch proves that the bytes match it.
    ///
    /// # Errors
    /// [`RegistryError::is_not_found`] if it does not exist; other bytes than the digest names; a document that
    /// polyarch refuses (see [`crate::oci::ManifestError`]).
    pub async fn get_manifest(
        &self,
        repository: &RepositoryPath,
        selector: &Selector,
        visibility: Visibility,
    ) -> Result<RawManifest, RegistryError> {
        let call = call(Method::GET, repository, selector, visibility.into());
        let reply = self.0.send(&call).await?;
        self.read_manifest(selector, reply)
    }

    /// Gets the content of a tag that polyarch has just moved away from `before`. The registry, or a cache in front of
    /// it, may still show the old content or nothing. polyarch then asks again for at most 10 s.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] if the registry shows the old content during this time; the errors of
    /// [`Self::get_manifest`].
    pub async fn get_moved(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
        before: Option<&Digest>,
    ) -> Result<RawManifest, RegistryError> {
        let selector = Selector::Tag(tag.clone());
        self.get_put(repository, &selector, |digest| Some(digest) == before).await
    }

    /// Gets content that was just pushed, as soon as the registry no longer shows the old content.
    async fn get_put(
        &self,
        repository: &RepositoryPath,
        selector: &Selector,
        is_before: impl Fn(&Digest) -> bool + Send + Sync,
    ) -> Result<RawManifest, RegistryError> {
        let error = |kind| RegistryError::new(self.host(), format!("GET {repository}/manifests/{selector}"), kind);
        let look = || {
            Box::pin(async {
                let manifest = self.get_manifest(repository, selector, Visibility::Settled).await?;
                if is_before(manifest.digest()) {
                    return Err(error(ErrorKind::Stale(manifest.digest().clone())));
                }
                Ok(manifest)
            })
        };
        // Each look already retries like any request, so a failure here is final.
        let looks = Backoff { attempts: 1, ..self.0.backoff.clone() };
        retry::run(&looks, &[], &*self.0.on_notice, Patience::Content, look, error).await
    }

    /// Asks for a manifest without its bytes. Returns `None` if the manifest does not exist. If the registry refuses
    /// `HEAD` in any way, polyarch asks once for the bytes.
    ///
    /// # Errors
    /// Those of [`Self::get_manifest`], except [`RegistryError::is_not_found`].
    pub async fn head_manifest(
        &self,
        repository: &RepositoryPath,
        selector: &Selector,
    ) -> Result<Option<Head>, RegistryError> {
        let head = call(Method::HEAD, repository, selector, Patience::None);
        let error = match self.0.send(&head).await {
            Ok(reply) => return Ok(Some(Head::read(&reply.headers))),
            Err(error) => error,
        };
        if error.is_not_found() {
            return Ok(None);
        }
        if !error.is_of_head() {
            return Err(error);
        }
        match self.get_manifest(repository, selector, Visibility::Settled).await {
            Ok(manifest) => Ok(Some(Head::of(&manifest))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pushes a manifest, byte for byte. A second push of the same bytes is harmless, so polyarch repeats the push
    /// after a lost answer. An engine may have just written the content that an index lists. So polyarch retries for at
    /// most 10 s if the registry does not know this content. After a success other than 201, polyarch reads the
    /// manifest back.
    ///
    /// # Errors
    /// The registry refuses, or it reports or shows that it stored another digest.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryPath,
        selector: &Selector,
        manifest: &RawManifest,
    ) -> Result<(), RegistryError> {
        let media_type = HeaderValue::from_str(manifest.media_type().as_str())
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let call = Call {
            scope: Some(Scope::push(repository)),
            accept: None,
            content: Some((media_type, Bytes::copy_from_slice(manifest.bytes()))),
            read: Read::Whole(MAX_ANSWER),
            ..call(Method::PUT, repository, selector, Patience::References)
        };
        if let Selector::Digest(digest) = selector
            && digest != manifest.digest()
        {
            let kind = ErrorKind::DigestMismatch { expected: digest.clone(), actual: manifest.digest().to_string() };
            return Err(RegistryError::new(self.host(), format!("PUT {}", call.path), kind));
        }
        let reply = self.0.send(&call).await?;
        let fail = |kind| Err(RegistryError::new(self.host(), reply.request.as_str(), kind));
        if let Some(actual) = claim(&reply.headers).filter(|claimed| claimed != manifest.digest().as_str()) {
            return fail(ErrorKind::DigestMismatch { expected: manifest.digest().clone(), actual });
        }
        // Engines and crane accept 200, 202 and 204, too (containerd, `docker/pusher.go`; go-containerregistry,
        // `remote/write.go`).
        if reply.status.as_u16() != 201 {
            self.get_put(repository, selector, |digest| digest != manifest.digest()).await?;
        }
        Ok(())
    }

    /// Deletes a tag but not its manifest (OCI distribution-spec, "Deleting tags"). A tag that does not exist counts as
    /// deleted, so polyarch repeats the request after a lost answer.
    ///
    /// Some registries delete a manifest with its last tag. A caller that needs the manifest must read it back.
    ///
    /// # Errors
    /// The registry does not delete tags (405, or 400 if it accepts only digests), or refuses this for the login.
    pub async fn delete_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<(), RegistryError> {
        self.delete(repository, &Selector::Tag(tag.clone())).await
    }

    /// Deletes a manifest with all of its tags (OCI distribution-spec, "Deleting Manifests"). A manifest that does not
    /// exist counts as deleted, so polyarch repeats the request after a lost answer.
    ///
    /// # Errors
    /// The registry deletes nothing (405), not the manifests of an index, or not for this login.
    pub async fn delete_manifest(&self, repository: &RepositoryPath, digest: &Digest) -> Result<(), RegistryError> {
        self.delete(repository, &Selector::Digest(digest.clone())).await
    }

    async fn delete(&self, repository: &RepositoryPath, selector: &Selector) -> Result<(), RegistryError> {
        let call = Call {
            scope: Some(Scope::delete(repository)),
            accept: None,
            read: Read::Whole(MAX_ANSWER),
            ..call(Method::DELETE, repository, selector, Patience::None)
        };
        match self.0.send(&call).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read_manifest(&self, selector: &Selector, reply: Reply) -> Result<RawManifest, RegistryError> {
        let Reply { status, headers, body, request, .. } = reply;
        let fail = |kind| RegistryError::new(self.host(), request.as_str(), kind);
        // 203: a proxy in between changed something (RFC 9110, 15.3.4). The digest shows whether the bytes changed.
        if !matches!(status.as_u16(), 200 | 203) {
            let answer = Answer::default();
            return Err(fail(ErrorKind::Status { status: status.as_u16(), answer, retry_after: None }));
        }
        // The digest comes first: polyarch never parses bytes that differ from the requested ones.
        let actual = Digest::of(&body);
        if let Selector::Digest(expected) = selector
            && *expected != actual
        {
            let kind = ErrorKind::DigestMismatch { expected: expected.clone(), actual: actual.to_string() };
            return Err(fail(kind));
        }
        if let Some(claimed) = claim(&headers).filter(|claimed| claimed != actual.as_str()) {
            (self.0.on_notice)(Notice::WrongDigestHeader { host: self.host().clone(), claimed, actual });
        }
        let is_page = body.trim_ascii_start().starts_with(b"<");
        RawManifest::new(body, media_type(&headers).as_ref())
            .map_err(|error| fail(if is_page { ErrorKind::WebPage } else { ErrorKind::Manifest(error) }))
    }
}

impl Head {
    fn read(headers: &HeaderMap) -> Self {
        let size = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let media_type = media_type(headers).unwrap_or(MediaType::Other("".into()));
        Self { digest: claim(headers).and_then(|claimed| claimed.parse().ok()), media_type, size }
    }

    fn of(manifest: &RawManifest) -> Self {
        Self {
            digest: Some(manifest.digest().clone()),
            media_type: manifest.media_type().clone(),
            size: Some(manifest.size()),
        }
    }
}

fn call(method: Method, repository: &RepositoryPath, selector: &Selector, patience: Patience) -> Call {
    let accept = MediaType::MANIFESTS.each_ref().map(MediaType::as_str).join(", ");
    Call {
        method,
        path: format!("{repository}/manifests/{selector}"),
        scope: Some(Scope::pull(repository)),
        accept: HeaderValue::from_str(&accept).ok(),
        range: None,
        content: None,
        read: Read::Whole(MAX_MANIFEST_BYTES),
        patience,
    }
}

pub(super) fn claim(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_DIGEST).map(|value| printable(&String::from_utf8_lossy(value.as_bytes()), MAX_CLAIM))
}

fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(MediaType::parse)
}
