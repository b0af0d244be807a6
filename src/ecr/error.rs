//! Why AWS does not do what it is asked.

use std::time::Duration;

/// Why AWS does not do what it is asked. It carries no part of a credential.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {kind}")]
pub struct EcrError {
    /// What was being done, to which registry.
    pub doing: String,
    /// Why it was not.
    pub kind: EcrErrorKind,
}

/// Why it was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EcrErrorKind {
    /// Nothing says who we are.
    #[error(
        "no AWS credentials were found: not in the environment (AWS_ACCESS_KEY_ID), a profile (AWS_PROFILE), a web \
         identity (AWS_WEB_IDENTITY_TOKEN_FILE), the container (AWS_CONTAINER_CREDENTIALS_…) or the instance (IMDS)"
    )]
    NoCredentials,
    /// Something says who we are, and fails.
    #[error("the AWS credentials cannot be had: {0}")]
    Credentials(String),
    /// What is said of us in AWS's own files cannot be used.
    #[error("the AWS configuration cannot be used: {0}")]
    Profile(String),
    /// AWS does not accept who we are.
    #[error("AWS does not accept the credentials: {0}")]
    CredentialsRefused(String),
    /// Nothing says where.
    #[error("no AWS region is known: not in AWS_REGION, AWS_DEFAULT_REGION or the profile")]
    NoRegion,
    /// What says where does not.
    #[error("`{}` is no AWS region: it is named by AWS_REGION, AWS_DEFAULT_REGION or the profile", .0.escape_debug())]
    NotARegion(String),
    /// The account may not do it.
    #[error("the role may not do {action}: {message}")]
    Denied {
        /// The IAM action.
        action: String,
        /// What AWS says.
        message: String,
    },
    /// Only private repositories have it.
    #[error("repositories of the public gallery have no such settings")]
    PrivateOnly,
    /// There is no such repository.
    #[error("there is no such repository")]
    NoRepository,
    /// Too much was asked of it, after all retries.
    #[error("AWS was asked too often: {0}")]
    Throttled(String),
    /// It is not there.
    #[error("AWS cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer.
    #[error("AWS did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It refuses for another reason.
    #[error("{code}: {message}")]
    Refused {
        /// AWS's name for the error.
        code: String,
        /// What it says.
        message: String,
    },
    /// What it answered is not of its API.
    #[error("AWS answered with {0}")]
    Answer(&'static str),
    /// This program has no AWS SDK in it.
    #[error("this polyarch was built without the feature `ecr`")]
    NotBuiltIn,
}

impl EcrError {
    /// Whether nobody said who we are: others may know it.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, EcrErrorKind::NoCredentials | EcrErrorKind::NotBuiltIn)
    }

    /// Whether it is about who we are, before anybody at AWS was asked: nothing else works then.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        self.is_anonymous() || matches!(self.kind, EcrErrorKind::Credentials(_) | EcrErrorKind::Profile(_))
    }

    /// Whether the role may not do it: what was asked for can be found out in another way, or not at all.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, EcrErrorKind::Denied { .. })
    }

    /// Whether what was asked does not know the call: a stand-in for AWS has not all of its API.
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

    /// What to do next, in one line, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match &self.kind {
            EcrErrorKind::NoCredentials => "set AWS_PROFILE, run `aws sso login`, or give this job a role".into(),
            EcrErrorKind::Credentials(_) => {
                "try them by hand: aws sts get-caller-identity; a session of SSO is renewed with `aws sso login`".into()
            }
            EcrErrorKind::Profile(_) => {
                "correct ~/.aws/config or AWS_PROFILE: `aws configure list-profiles` says which there are".into()
            }
            EcrErrorKind::CredentialsRefused(_) => {
                "they may have expired, be of another partition, or this machine's clock be wrong: aws sts \
                 get-caller-identity"
                    .into()
            }
            EcrErrorKind::NotARegion(_) => "regions have names as eu-central-1".into(),
            EcrErrorKind::NoRegion => "set AWS_REGION, or name the registry's host, which has its region".into(),
            EcrErrorKind::Denied { action, .. } => format!("allow {action} in the role's policy"),
            EcrErrorKind::PrivateOnly => "say no more than `ecr: { create: true }` of it".into(),
            EcrErrorKind::Throttled(_) => "run this again in a minute".into(),
            EcrErrorKind::Unreachable(_) | EcrErrorKind::Timeout(_) => {
                "check the region, and that its endpoint can be reached from here, through HTTPS_PROXY if that is set; \
                 private ones are named with `endpoint:`"
                    .into()
            }
            EcrErrorKind::NotBuiltIn => "log in with docker, or install polyarch with its default features".into(),
            EcrErrorKind::NoRepository | EcrErrorKind::Refused { .. } | EcrErrorKind::Answer(_) => return None,
        })
    }
}
