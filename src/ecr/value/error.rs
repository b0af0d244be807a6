//! Why a call of AWS failed.

use std::time::Duration;

/// A failed call of AWS. It contains no part of a credential.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {kind}")]
pub struct EcrError {
    /// The operation that failed, and its registry.
    pub doing: String,
    /// The reason.
    pub kind: EcrErrorKind,
}

/// The reason of a failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EcrErrorKind {
    /// No source has AWS credentials.
    #[error(
        "no AWS credentials were found: not in the environment (AWS_ACCESS_KEY_ID), a profile (AWS_PROFILE), a web \
         identity (AWS_WEB_IDENTITY_TOKEN_FILE), the container (AWS_CONTAINER_CREDENTIALS_…) or the instance (IMDS)"
    )]
    NoCredentials,
    /// The environment has only one of the two keys, and no other source has credentials.
    #[error("{missing} is not set, but {set} is")]
    HalfOfKeys {
        /// The variable with a value.
        set: &'static str,
        /// The variable without a value.
        missing: &'static str,
    },
    /// A source of AWS credentials failed.
    #[error("polyarch cannot get the AWS credentials: {0}")]
    Credentials(String),
    /// polyarch cannot use AWS's configuration files.
    #[error("the AWS configuration cannot be used: {0}")]
    Profile(String),
    /// AWS does not accept the credentials.
    #[error("AWS does not accept the credentials: {0}")]
    CredentialsRefused(String),
    /// No source names a region.
    #[error("no AWS region is known: not in AWS_REGION, AWS_DEFAULT_REGION or the profile")]
    NoRegion,
    /// The configured region is not a region.
    #[error("`{}` from AWS_REGION, AWS_DEFAULT_REGION or the profile is not an AWS region", .0.escape_debug())]
    NotARegion(String),
    /// The role does not have this permission.
    #[error("the AWS role is not allowed to call {action}: {message}")]
    Denied {
        /// The IAM action.
        action: String,
        /// AWS's message.
        message: String,
    },
    /// Only private repositories have these settings.
    #[error("repositories of the public gallery do not have these settings")]
    PrivateOnly,
    /// The repository does not exist.
    #[error("the repository does not exist")]
    NoRepository,
    /// AWS throttles the requests, even after all retries.
    #[error("AWS throttles the requests: {0}")]
    Throttled(String),
    /// polyarch cannot reach AWS.
    #[error("AWS cannot be reached: {0}")]
    Unreachable(String),
    /// AWS did not answer in time.
    #[error("AWS did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// AWS refuses for another reason.
    #[error("{code}: {message}")]
    Refused {
        /// AWS's code of the error.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// The answer does not belong to AWS's API.
    #[error("AWS answered with {0}")]
    Answer(&'static str),
    /// This program was built without the AWS SDK.
    #[error("this polyarch was built without the feature `ecr`")]
    NotBuiltIn,
}

impl EcrError {
    /// Whether there are no AWS credentials. Other logins may then exist.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, EcrErrorKind::NoCredentials | EcrErrorKind::HalfOfKeys { .. } | EcrErrorKind::NotBuiltIn)
    }

    /// Whether the failure is about the credentials, before any request to AWS. Then no other call works either.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        self.is_anonymous() || matches!(self.kind, EcrErrorKind::Credentials(_) | EcrErrorKind::Profile(_))
    }

    /// Whether the role lacks the permission. Then polyarch must find the fact in another way, or do without it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, EcrErrorKind::Denied { .. })
    }

    /// Whether the other end does not know the call. A stand-in for AWS may lack a part of the API.
    #[must_use]
    pub fn is_unknown_call(&self) -> bool {
        match &self.kind {
            EcrErrorKind::Answer(_) => true,
            EcrErrorKind::Refused { code, .. } => {
                matches!(code.as_str(), "UnknownOperationException" | "InternalFailure")
            }
            _ => false,
        }
    }

    /// The next step for the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match &self.kind {
            EcrErrorKind::NoCredentials => "set AWS_PROFILE, run `aws sso login`, or give this job a role".into(),
            EcrErrorKind::HalfOfKeys { missing, .. } => format!("set {missing}, or unset both keys"),
            EcrErrorKind::Credentials(_) => {
                "run `aws sts get-caller-identity` to test the credentials; renew an SSO session with `aws sso login`"
                    .into()
            }
            EcrErrorKind::Profile(_) => {
                "correct ~/.aws/config or AWS_PROFILE: `aws configure list-profiles` lists the profiles".into()
            }
            EcrErrorKind::CredentialsRefused(_) => {
                "check AWS_REGION and run `aws sts get-caller-identity`: the region may be wrong, the credentials may \
                 have expired or belong to another partition, or this machine's clock may be wrong"
                    .into()
            }
            EcrErrorKind::NotARegion(_) => "write the name of a region, such as eu-central-1".into(),
            EcrErrorKind::NoRegion => "set AWS_REGION, or name the registry by its host, which has the region".into(),
            EcrErrorKind::Denied { action, .. } => format!("allow {action} in the role's policy"),
            EcrErrorKind::PrivateOnly => "write only `ecr: { create: true }` for the public gallery".into(),
            EcrErrorKind::Throttled(_) => "run this again in a minute".into(),
            EcrErrorKind::Unreachable(_) | EcrErrorKind::Timeout(_) => {
                "check the region, and that this machine can reach its endpoint (through HTTPS_PROXY if set); name a \
                 private endpoint with `endpoint:`"
                    .into()
            }
            EcrErrorKind::NotBuiltIn => "log in with docker, or install polyarch with its default features".into(),
            EcrErrorKind::NoRepository | EcrErrorKind::Refused { .. } | EcrErrorKind::Answer(_) => return None,
        })
    }
}
