//! Who AWS takes us for.

/// Who AWS takes us for (STS, `GetCallerIdentity`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The user or the session of a role, by its ARN.
    pub arn: String,
}
