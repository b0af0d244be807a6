//! Addresses that polyarch does not follow.

/// The most redirects that polyarch follows.
pub(in crate::registry) const MAX_REDIRECTS: usize = 10;

/// Why polyarch does not go to an address from a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The address is not a URL.
    #[error("the address is not a URL")]
    Malformed,
    /// The address is neither http nor https.
    #[error("the address is neither http nor https")]
    Scheme,
    /// The address leads from https to http.
    #[error("{0} is unencrypted, but the registry is encrypted")]
    Downgrade(String),
    /// The address contains `user:password@`.
    #[error("the address at {0} contains a user name")]
    UserInformation(String),
    /// An address of this machine or of a private network that is not the registry's own.
    #[error("{0} is an address of this machine or of a private network, not the registry's own address")]
    Private(String),
    /// Another port of a host that the user allowed with its ports.
    #[error("{0} is not a port that `may_send_to` lists for this host")]
    Port(String),
    /// A link-local address, which the user cannot allow.
    #[error("{0} is a link-local address, as cloud metadata services use")]
    LinkLocal(String),
    /// There are too many redirects.
    #[error("there are more than {MAX_REDIRECTS} redirects")]
    TooMany,
    /// The registry redirects a request that carries content.
    #[error("polyarch does not forward content to {0}")]
    Content(String),
}
