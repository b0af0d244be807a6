//! Where credentials come from.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{AuthError, Secret};
use crate::oci::{RegistryHost, RepositoryPath};

/// Who we are at one registry.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nobody: what is public can be read.
    Anonymous,
    /// A user and a password, or an access token in its place.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, exchanged for access tokens (distribution, "`OAuth2` token authentication").
    IdentityToken(Secret),
    /// A token for the registry itself, sent as it is (docker/cli, `cli/config/types`, `RegistryToken`).
    RegistryToken(Secret),
}

/// Answers for one registry at a time; asked again when a registry refuses what was answered before, so
/// that credentials that expire can be renewed.
pub trait CredentialSource: Send + Sync {
    /// The credential of `host`, and of no other: that for `within`, a repository or a namespace, if it is named.
    ///
    /// # Errors
    /// What is configured for `host` cannot be used. An absent configuration is [`Credential::Anonymous`].
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>>;

    /// Whether there may be a login for `host`, as far as that is known without asking anybody for it.
    fn may_know(&self, _host: &RegistryHost) -> bool {
        true
    }

    /// The smallest part of `host` with a login of its own that holds `repository`; `None`: there is one for all of it,
    /// and what was answered for one repository holds for the others.
    fn namespace(&self, _host: &RegistryHost, _repository: &RepositoryPath) -> Option<RepositoryPath> {
        None
    }

    /// When what was answered last for `host` is to be asked for anew, before the registry refuses it; `None`: it does
    /// not expire, or nobody knows when.
    fn spent_at(&self, _host: &RegistryHost) -> Option<Instant> {
        None
    }

    /// Says that `host` refused `credential`. A source that keeps its answers forgets this one, if it is still the last:
    /// the next answer is new. Where another took its place meanwhile, that one stays.
    fn refused(&self, _host: &RegistryHost, _credential: &Credential) {}
}

/// The credentials of another source, kept from a channel on which everybody may listen: whoever has one for the
/// registry that is asked about gets an error.
pub struct Withheld {
    /// The other source.
    pub source: Arc<dyn CredentialSource>,
    /// The channel, for the error: `engine lab at tcp://lab:2375`.
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

/// Nobody, everywhere.
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
    async fn a_credential_is_withheld_from_a_channel_in_clear_and_anonymity_is_not() {
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
            assert_eq!(refused.to_string(), "the credentials for ghcr.io are not sent to engine lab in clear");
        }
    }
}
