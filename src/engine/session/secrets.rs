//! `moby.buildkit.secrets.v1.Secrets`: what `RUN --mount=type=secret` asks for, by its id and nothing else.

use bollard::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

use crate::auth::BuildSecrets;

/// Gives out the secrets of the session's builds.
pub(super) struct Given(pub(super) BuildSecrets);

#[tonic::async_trait]
impl Secrets for Given {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let GetSecretRequest { id, .. } = request.into_inner();
        // By this code BuildKit knows that there is none, which only a mount that is `required` minds.
        let secret = self.0.get(&id).ok_or_else(|| Status::not_found(format!("no secret {id:?} is planned")))?;
        Ok(Response::new(GetSecretResponse { data: secret.expose().to_vec() }))
    }
}
