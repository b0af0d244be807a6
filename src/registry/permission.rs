//! Whether we may push (OCI distribution-spec, "Pushing blobs").

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
    /// Asks whether layers may be pushed to `repository`: an upload is begun, and nobody goes on with it. Registries forget
    /// such uploads, and not every one knows how to end one.
    ///
    /// # Errors
    /// They may not, there is no such repository, or the registry does not answer.
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
