//! Logins for ECR registries without `docker login`.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::access::Ecr;
use super::value::EcrError;
use crate::auth::{AuthError, Credential, CredentialSource, Logins};
use crate::aws::EcrHost;
use crate::oci::{RegistryHost, RepositoryPath};

/// Logins from AWS for ECR registries, and logins from docker and podman for all other registries.
///
/// If the user configured a helper for exactly this host, the helper takes precedence. If there are no AWS credentials,
/// polyarch uses the login that `docker login` saved. The public gallery allows anonymous pulls, so missing AWS
/// credentials are not an error there.
pub struct EcrLogins {
    ecr: Arc<Ecr>,
    logins: Logins,
}

impl EcrLogins {
    /// The logins of `ecr`, and `logins` for all other hosts.
    #[must_use]
    pub fn new(ecr: Arc<Ecr>, logins: Logins) -> Self {
        Self { ecr, logins }
    }

    async fn of_aws(&self, host: &RegistryHost, within: Option<&RepositoryPath>) -> Result<Credential, AuthError> {
        let Some(registry) = self.ecr.registry(host) else { return self.logins.credential(host, within).await };
        if self.logins.names_helper(host) {
            return self.logins.credential(host, within).await;
        }
        let error = match registry.login().await {
            Ok(credential) => return Ok(credential),
            Err(error) => error,
        };
        let is_public = EcrHost::of(host) == Some(EcrHost::Public);
        if error.is_anonymous() || is_public {
            let left = self.logins.credential(host, within).await?;
            if is_public || !matches!(left, Credential::Anonymous) {
                return Ok(left);
            }
        }
        Err(refused(host, &error))
    }
}

fn refused(host: &RegistryHost, error: &EcrError) -> AuthError {
    AuthError::Elsewhere {
        server: host.to_string(),
        message: error.kind.to_string(),
        hint: error.hint().unwrap_or_else(|| "run `polyarch doctor ecr`".into()),
    }
}

impl CredentialSource for EcrLogins {
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(self.of_aws(host, within))
    }

    fn may_know(&self, host: &RegistryHost) -> bool {
        self.ecr.registry(host).is_some() || self.logins.may_know(host)
    }

    fn namespace(&self, host: &RegistryHost, repository: &RepositoryPath) -> Option<RepositoryPath> {
        self.logins.namespace(host, repository)
    }

    fn spent_at(&self, host: &RegistryHost) -> Option<Instant> {
        match self.ecr.registry(host) {
            Some(registry) => registry.spent_at(),
            None => self.logins.spent_at(host),
        }
    }

    fn refused(&self, host: &RegistryHost, credential: &Credential) {
        match self.ecr.registry(host) {
            Some(registry) => registry.forget(credential),
            None => self.logins.refused(host, credential),
        }
    }
}
