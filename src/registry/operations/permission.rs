//! Whether the login may read and push (OCI distribution-spec, "Pulling blobs", "Pushing blobs").

use reqwest::Method;

use super::stream::MAX_UPLOAD_ANSWER;
use crate::oci::{Digest, RepositoryPath};
use crate::registry::client::Client;
use crate::registry::error::RegistryError;
use crate::registry::login::scope::Scope;
use crate::registry::request::http::Call;
use crate::registry::request::retry::Patience;
use crate::registry::transport::wire::Read;

/// No registry has content with this digest.
const ABSENT: &[u8] = b"polyarch asks for this content and no registry has it";

impl Client {
    /// Checks whether the login may push layers to `repository`: polyarch begins an upload and abandons it. Registries
    /// forget such uploads, and some cannot cancel one.
    ///
    /// # Errors
    /// The login may not push, the repository does not exist, or the registry does not answer.
    pub async fn may_push(&self, repository: &RepositoryPath) -> Result<(), RegistryError> {
        let scope = Scope::push(repository);
        let call = call(Method::POST, format!("{repository}/blobs/uploads/"), scope, MAX_UPLOAD_ANSWER);
        self.0.send(&call).await.map(drop)
    }

    /// Checks whether the login may read manifests, ask for layers and read layers of `repository`. polyarch asks for
    /// content that does not exist. A registry checks the permission first.
    ///
    /// # Errors
    /// Each request that the registry refuses or does not answer. That the content does not exist is not an error.
    pub async fn may_read(&self, repository: &RepositoryPath) -> Result<(), Vec<RegistryError>> {
        let digest = Digest::of(ABSENT);
        let blob = || format!("{repository}/blobs/{digest}");
        let asked =
            [(Method::GET, format!("{repository}/manifests/{digest}")), (Method::HEAD, blob()), (Method::GET, blob())];
        let mut refused = Vec::new();
        for (method, path) in asked {
            match self.0.send(&call(method, path, Scope::pull(repository), 0)).await {
                Err(error) if !error.is_not_found() => refused.push(error),
                Ok(_) | Err(_) => {}
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }
}

fn call(method: Method, path: String, scope: Scope, most: usize) -> Call {
    Call {
        method,
        path,
        scope: Some(scope),
        accept: None,
        range: None,
        content: None,
        read: Read::Whole(most),
        patience: Patience::None,
    }
}
