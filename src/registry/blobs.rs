//! Blobs, as far as the joiner reads them: image configs (OCI distribution-spec, "Pulling blobs").

use reqwest::Method;

use super::client::Client;
use super::error::{ErrorKind, RegistryError};
use super::http::Call;
use super::login::{Access, Scope};
use super::retry::Patience;
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
        let call = Call {
            method: Method::GET,
            path,
            scope: Some(Scope { repository: repository.clone(), access: Access::Pull }),
            accept: None,
            content: None,
            limit: MAX_CONFIG_BYTES,
            patience: Patience::None,
        };
        let reply = self.0.send(&call).await?;
        let fail = |kind| RegistryError::new(self.host(), reply.request.as_str(), kind);
        let actual = reply.body.len() as u64;
        if actual != descriptor.size {
            return Err(fail(ErrorKind::Size { expected: descriptor.size, actual }));
        }
        let digest = Digest::of(&reply.body);
        if digest != descriptor.digest {
            let kind = ErrorKind::DigestMismatch { expected: descriptor.digest.clone(), actual: digest.to_string() };
            return Err(fail(kind));
        }
        Ok(reply.body.into_boxed_slice())
    }
}
