//! Blobs, as far as the joiner reads them: image configs, and parts of layers (OCI distribution-spec, "Pulling blobs").

use std::ops::Range;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, HeaderValue};

use super::client::Client;
use super::error::{ErrorKind, RegistryError};
use super::http::Call;
use super::login::Scope;
use super::retry::Patience;
use super::wire::Read;
use crate::oci::{Descriptor, Digest, MAX_CONFIG_BYTES, RepositoryPath};

impl Client {
    /// Gets an image's configuration, proven by size and digest to be what the descriptor names.
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

    /// Gets a part of a blob, which is in memory. The whole is proven by its digest; of a part nothing can be proven
    /// but its length.
    ///
    /// # Errors
    /// Other bytes than the descriptor names; a registry that gives no parts; [`RegistryError::is_not_found`].
    pub async fn get_part(
        &self,
        repository: &RepositoryPath,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<Bytes, RegistryError> {
        let expected = range.end.saturating_sub(range.start);
        let is_whole = expected == descriptor.size;
        let asked = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let call = Call {
            method: Method::GET,
            path: format!("{repository}/blobs/{}", descriptor.digest),
            scope: Some(Scope::pull(repository)),
            accept: None,
            range: HeaderValue::from_str(&asked).ok().filter(|_| !is_whole),
            content: None,
            read: Read::Whole(usize::try_from(expected).unwrap_or(usize::MAX).max(MAX_CONFIG_BYTES)),
            patience: Patience::None,
        };
        let reply = self.0.send(&call).await?;
        let fail = |kind| RegistryError::new(self.host(), reply.request.as_str(), kind);
        let actual = reply.body.len() as u64;
        let begins = |value: &HeaderValue| value.as_bytes().starts_with(format!("bytes {}-", range.start).as_bytes());
        let is_part = reply.status.as_u16() == 206 && reply.headers.get(CONTENT_RANGE).is_some_and(begins);
        if !(is_whole || is_part) {
            let (status, answer) = (reply.status.as_u16(), super::Answer::default());
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
