//! `moby.filesync.v1.Auth`: credentials only for the registry that the build asks about.

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
pub(super) struct AuthService {
    pub(super) source: Arc<dyn CredentialSource>,
    /// The first error as polyarch's value. BuildKit passes on only its text.
    pub(super) error: Arc<OnceLock<Arc<AuthError>>>,
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let asked = request.into_inner().host;
        let host: RegistryHost = asked.parse().map_err(|_| Status::invalid_argument("not a registry host"))?;
        let credential = match self.source.credential(&host, None).await {
            Ok(credential) => credential,
            Err(error) => {
                let status = Status::unknown(format!("no credentials for {host}: {error}"));
                // polyarch shows the first error.
                let _ = self.error.set(Arc::new(error));
                return Err(status);
            }
        };
        // In BuildKit's `session/auth`, an empty username and secret mean anonymous. A secret without a username is an
        // identity token.
        let (username, secret) = match &credential {
            // This service cannot return a token that is sent unchanged. buildx returns it where BuildKit asks for
            // tokens, but BuildKit asks only clients that have keys.
            Credential::Anonymous | Credential::RegistryToken(_) => (String::new(), String::new()),
            Credential::Basic { username, password } => (username.clone(), password.expose().to_owned()),
            Credential::IdentityToken(token) => (String::new(), token.expose().to_owned()),
        };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    // Without a token authority, BuildKit asks for credentials and fetches tokens itself.
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
