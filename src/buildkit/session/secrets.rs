//! `moby.buildkit.secrets.v1.Secrets`: serves `RUN --mount=type=secret`, by id only.

use bollard::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

use crate::auth::BuildSecrets;

/// Serves the secrets of the session's builds.
pub(super) struct SecretsService(pub(super) BuildSecrets);

#[tonic::async_trait]
impl Secrets for SecretsService {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let GetSecretRequest { id, .. } = request.into_inner();
        // BuildKit takes this code for a missing secret. Only a mount with `required` then fails.
        let secret = self.0.get(&id).ok_or_else(|| Status::not_found(format!("no secret {id:?} is planned")))?;
        Ok(Response::new(GetSecretResponse { data: secret.expose().to_vec() }))
    }
}
