//! `moby.filesync.v1.Auth`: credentials for the registry that the build asks about, and for no other.

use std::sync::{Arc, OnceLock};

use bollard::moby::filesync::v1::auth_server::Auth;
use bollard::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use crate::auth::{AuthError, Credential, CredentialSource};
use crate::oci::RegistryHost;

/// Answers from a credential source.
pub(super) struct Credentials {
    pub(super) source: Arc<dyn CredentialSource>,
    /// The first error, in our words: BuildKit passes on only its text.
    pub(super) error: Arc<OnceLock<Arc<AuthError>>>,
}

#[tonic::async_trait]
impl Auth for Credentials {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let asked = request.into_inner().host;
        let host: RegistryHost = asked.parse().map_err(|_| Status::invalid_argument("not a registry host"))?;
        let credential = match self.source.credential(&host, None).await {
            Ok(credential) => credential,
            Err(error) => {
                let status = Status::unknown(format!("no credentials for {host}: {error}"));
                // The first error is the one to show.
                let _ = self.error.set(Arc::new(error));
                return Err(status);
            }
        };
        // BuildKit, `session/auth`: an empty username and secret are anonymous, a secret without a username is an
        // identity token.
        let (username, secret) = match &credential {
            // This service has no place for a token that is sent as it is: buildx gives it where BuildKit asks for
            // tokens, which it does of those who have keys.
            Credential::Anonymous | Credential::RegistryToken(_) => (String::new(), String::new()),
            Credential::Basic { username, password } => (username.clone(), password.expose().to_owned()),
            Credential::IdentityToken(token) => (String::new(), token.expose().to_owned()),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    // Without a token authority BuildKit asks for the credentials and fetches tokens itself.
    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("only Credentials is served"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("only Credentials is served"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("only Credentials is served"))
    }
}
