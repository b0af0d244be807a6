//! The reads of blobs that `join` needs: image configs and parts of layers (OCI distribution-spec, "Pulling blobs").

use std::ops::Range;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue};

use crate::oci::{Descriptor, Digest, MAX_CONFIG_BYTES, RepositoryPath};
use crate::registry::client::Client;
use crate::registry::error::{Answer, ErrorKind, RegistryError};
use crate::registry::known_blobs::BlobHead;
use crate::registry::login::scope::Scope;
use crate::registry::request::http::Call;
use crate::registry::request::retry::Patience;
use crate::registry::transport::wire::Read;

impl Client {
    /// Asks for a blob without its bytes. Returns `None` if the blob does not exist. If the registry or its storage
    /// refuses `HEAD` in any way, polyarch asks once for the first byte. This client and its clones ask only once for a
    /// blob that exists.
    ///
    /// # Errors
    /// Any answer other than that the blob exists or does not exist.
    pub async fn head_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<BlobHead>, RegistryError> {
        self.1.once(repository, digest, self.ask_for_blob(repository, digest)).await
    }

    async fn ask_for_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<BlobHead>, RegistryError> {
        let head = Call { method: Method::HEAD, ..call(repository, digest, None, Read::Whole(0)) };
        match self.0.send(&head).await {
            // Some registries send no length, and some proxies turn this into a zero.
            Ok(reply) => return Ok(Some(sized(number(&reply.headers, CONTENT_LENGTH).filter(|size| *size > 0)))),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_of_head() => {}
            Err(error) => return Err(error),
        }
        let first = call(repository, digest, Some(HeaderValue::from_static("bytes=0-0")), Read::Later);
        match self.0.send(&first).await {
            Ok(reply) if reply.status.as_u16() == 206 => {
                let range = reply.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
                let whole = range.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                Ok(Some(sized(whole)))
            }
            // The registry begins to send the whole blob. polyarch does not read it.
            Ok(reply) => Ok(Some(sized(number(&reply.headers, CONTENT_LENGTH)))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if matches!(error.answer(), Some((400 | 405 | 416 | 501, _))) => Ok(Some(BlobHead::Unanswered)),
            Err(error) => Err(error),
        }
    }

    /// Gets an image's config, and proves with size and digest that it is the content of the descriptor.
    ///
    /// # Errors
    /// The descriptor names more than 4 MiB; other bytes than it names; [`RegistryError::is_not_found`].
    pub async fn get_config(
        &self,
        repository: &RepositoryPath,
        descriptor: &Descriptor,
    ) -> Result<Box<[u8]>, RegistryError> {
        let path = format!("{repository}/blobs/{}", descriptor.digest);
        if descriptor.size > MAX_CONFIG_BYTES as u64 {
            let kind = ErrorKind::TooLarge { limit: MAX_CONFIG_BYTES };
            return Err(RegistryError::new(self.host(), format!("GET {path}"), kind));
        }
        let config = Box::pin(self.get_part(repository, descriptor, 0..descriptor.size)).await?;
        Ok(config.to_vec().into_boxed_slice())
    }

    /// Gets a part of a blob into memory. The digest proves a whole blob. For a part, polyarch can check only the
    /// length.
    ///
    /// # Errors
    /// Other bytes than the descriptor names; a registry that sends no parts; [`RegistryError::is_not_found`].
    pub async fn get_part(
        &self,
        repository: &RepositoryPath,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<Bytes, RegistryError> {
        let expected = range.end.saturating_sub(range.start);
        let is_whole = expected == descriptor.size;
        let asked = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let part = HeaderValue::from_str(&asked).ok().filter(|_| !is_whole);
        let read = Read::Whole(usize::try_from(expected).unwrap_or(usize::MAX).max(MAX_CONFIG_BYTES));
        let reply = self.0.send(&call(repository, &descriptor.digest, part, read)).await?;
        let fail = |kind| RegistryError::new(self.host(), reply.request.as_str(), kind);
        let actual = reply.body.len() as u64;
        let begins = |value: &HeaderValue| value.as_bytes().starts_with(format!("bytes {}-", range.start).as_bytes());
        let is_part = reply.status.as_u16() == 206 && reply.headers.get(CONTENT_RANGE).is_some_and(begins);
        if !(is_whole || is_part) {
            let (status, answer) = (reply.status.as_u16(), Answer::default());
            return Err(fail(ErrorKind::Status { status, answer, retry_after: None }));
        }
        if actual != expected {
            return Err(fail(ErrorKind::Size { expected, actual }));
        }
        let digest = is_whole.then(|| Digest::of(&reply.body)).filter(|digest| *digest != descriptor.digest);
        if let Some(digest) = digest {
            let kind = ErrorKind::DigestMismatch { expected: descriptor.digest.clone(), actual: digest.to_string() };
            return Err(fail(kind));
        }
        Ok(reply.body.into())
    }
}

fn call(repository: &RepositoryPath, digest: &Digest, range: Option<HeaderValue>, read: Read) -> Call {
    Call {
        method: Method::GET,
        path: format!("{repository}/blobs/{digest}"),
        scope: Some(Scope::pull(repository)),
        accept: None,
        range,
        content: None,
        read,
        patience: Patience::None,
    }
}

pub(super) fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn sized(size: Option<u64>) -> BlobHead {
    size.map_or(BlobHead::Present, BlobHead::Sized)
}
