//! Where credentials come from.

use futures::future::BoxFuture;

use super::{AuthError, Secret};
use crate::oci::RegistryHost;

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
}

/// Answers for one registry at a time; asked again when a registry refuses what was answered before, so
/// that credentials that expire can be renewed.
pub trait CredentialSource: Send + Sync {
    /// The credential of `host`, and of no other.
    ///
    /// # Errors
    /// What is configured for `host` cannot be used. An absent configuration is [`Credential::Anonymous`].
    fn credential<'a>(&'a self, host: &'a RegistryHost) -> BoxFuture<'a, Result<Credential, AuthError>>;
}

/// Nobody, everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn credential<'a>(&'a self, _host: &'a RegistryHost) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(std::future::ready(Ok(Credential::Anonymous)))
    }
}
