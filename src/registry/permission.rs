//! Whether the login may push (OCI distribution-spec, "Pushing blobs").

use reqwest::Method;

use super::client::Client;
use super::error::RegistryError;
use super::http::Call;
use super::login::Scope;
use super::retry::Patience;
use super::stream::MAX_UPLOAD_ANSWER;
use super::wire::Read;
use crate::oci::RepositoryPath;

impl Client {
    /// Checks whether the login may push layers to `repository`: polyarch begins an upload and abandons it. Registries
    /// forget such uploads, and some cannot cancel one.
    ///
    /// # Errors
    /// The login may not push, the repository does not exist, or the registry does not answer.
    pub async fn may_push(&self, repository: &RepositoryPath) -> Result<(), RegistryError> {
        let call = Call {
            method: Method::POST,
            path: format!("{repository}/blobs/uploads/"),
            scope: Some(Scope::push(repository)),
            accept: None,
            range: None,
            content: None,
            read: Read::Whole(MAX_UPLOAD_ANSWER),
            patience: Patience::None,
        };
        self.0.send(&call).await.map(drop)
    }
}
