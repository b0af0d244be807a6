//! The AWS identity of the user.

/// The AWS identity of the user (STS, `GetCallerIdentity`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The ARN of the user, or of a role's session.
    pub arn: String,
}
