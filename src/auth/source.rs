//! Sources of credentials.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{AuthError, Secret};
use crate::oci::{RegistryHost, RepositoryPath};

/// polyarch's login at one registry.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No login. polyarch can read public content.
    Anonymous,
    /// A user with a password, or with an access token as the password.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which polyarch exchanges for access tokens (distribution, "`OAuth2` token authentication").
    IdentityToken(Secret),
    /// A token for the registry itself, which polyarch sends unchanged (docker/cli, `cli/config/types`,
    /// `RegistryToken`).
    RegistryToken(Secret),
}

/// Answers for one registry at a time. When a registry refuses an answer, polyarch asks again, so that a source can
/// renew credentials that expire.
pub trait CredentialSource: Send + Sync {
    /// The credential of `host` and no other host. `within` selects the credential of a repository or a namespace.
    ///
    /// # Errors
    /// The configuration for `host` is not usable. If there is no configuration, the answer is
    /// [`Credential::Anonymous`].
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>>;

    /// Whether there may be a login for `host`. This check asks no helper and no service.
    fn may_know(&self, _host: &RegistryHost) -> bool {
        true
    }

    /// The smallest part of `host` that has its own login and contains `repository`. `None` means that one login is for
    /// the whole host, so an answer for one repository is valid for the others.
    fn namespace(&self, _host: &RegistryHost, _repository: &RepositoryPath) -> Option<RepositoryPath> {
        None
    }

    /// The time to ask again for the login of `host`, before the registry refuses the last answer. `None` means that
    /// the login does not expire, or that its end is unknown.
    fn spent_at(&self, _host: &RegistryHost) -> Option<Instant> {
        None
    }

    /// Reports that `host` refused `credential`. A source that keeps its answers forgets this one if it is still the
    /// latest, so the next answer is new. If a newer answer has replaced it, that answer stays.
    fn refused(&self, _host: &RegistryHost, _credential: &Credential) {}
}

/// Withholds the credentials of another source from a channel that others can listen to. If the source has a login for
/// the registry, the caller gets an error.
pub struct Withheld {
    /// The other source.
    pub source: Arc<dyn CredentialSource>,
    /// The channel, for the error message: `engine lab at tcp://lab:2375`.
    pub channel: String,
}

impl CredentialSource for Withheld {
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async move {
            match self.source.credential(host, within).await? {
                Credential::Anonymous => Ok(Credential::Anonymous),
                Credential::Basic { .. } | Credential::IdentityToken(_) | Credential::RegistryToken(_) => {
                    Err(AuthError::Withheld { server: host.to_string(), channel: self.channel.clone() })
                }
            }
        })
    }

    fn may_know(&self, host: &RegistryHost) -> bool {
        self.source.may_know(host)
    }

    fn namespace(&self, host: &RegistryHost, repository: &RepositoryPath) -> Option<RepositoryPath> {
        self.source.namespace(host, repository)
    }

    fn spent_at(&self, host: &RegistryHost) -> Option<Instant> {
        self.source.spent_at(host)
    }

    fn refused(&self, host: &RegistryHost, credential: &Credential) {
        self.source.refused(host, credential);
    }
}

/// Anonymous access to every registry.
#[derive(Debug, Clone, Copy)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn credential<'a>(
        &'a self,
        _host: &'a RegistryHost,
        _within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(std::future::ready(Ok(Credential::Anonymous)))
    }

    fn may_know(&self, _host: &RegistryHost) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known(Credential);

    impl CredentialSource for Known {
        fn credential<'a>(
            &'a self,
            _host: &'a RegistryHost,
            _within: Option<&'a RepositoryPath>,
        ) -> BoxFuture<'a, Result<Credential, AuthError>> {
            Box::pin(std::future::ready(Ok(self.0.clone())))
        }
    }

    #[tokio::test]
    async fn credentials_are_withheld_from_unencrypted_channels() {
        let host: RegistryHost = "ghcr.io".parse().unwrap();
        let withheld = |credential| Withheld { source: Arc::new(Known(credential)), channel: "engine lab".into() };
        assert!(matches!(withheld(Credential::Anonymous).credential(&host, None).await, Ok(Credential::Anonymous)));
        let secret = || Secret::new("canary");
        for credential in [
            Credential::Basic { username: "u".into(), password: secret() },
            Credential::IdentityToken(secret()),
            Credential::RegistryToken(secret()),
        ] {
            let refused = withheld(credential).credential(&host, None).await.unwrap_err();
            assert_eq!(
                refused.to_string(),
                "polyarch does not send the credentials for ghcr.io unencrypted to engine lab"
            );
        }
    }
}
