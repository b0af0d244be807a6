//! The account and the region of an ECR registry, for messages and for commands of the AWS CLI.

use std::fmt;

use super::host::{AwsAccount, AwsRegion, EcrHost};
use crate::oci::RepositoryPath;

/// The account and the region of an ECR registry, if they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcrPlace {
    /// The registry of an account in a region.
    Private {
        /// The account.
        account: Option<AwsAccount>,
        /// The region.
        region: Option<AwsRegion>,
    },
    /// The public gallery.
    Gallery,
}

impl EcrPlace {
    /// The place that `host` contains. Without a host it is a private registry with unknown account and region.
    #[must_use]
    pub fn of(host: Option<&EcrHost>) -> Self {
        match host {
            Some(EcrHost::Private(private)) => {
                Self::Private { account: Some(private.account.clone()), region: Some(private.region.clone()) }
            }
            Some(EcrHost::Public) => Self::Gallery,
            None => Self::Private { account: None, region: None },
        }
    }

    /// The command of the AWS CLI that creates `repository` in this registry.
    #[must_use]
    pub fn creating(&self, repository: Option<&RepositoryPath>) -> String {
        let name = repository.map_or("NAME", RepositoryPath::as_str);
        // The gallery names a repository without the alias of its account.
        let name = if *self == Self::Gallery { name.split_once('/').map_or(name, |(_, name)| name) } else { name };
        format!("{} create-repository --repository-name {name}{}", self.service(), self.region())
    }

    /// The command of the AWS CLI that prints the password of this registry.
    #[must_use]
    pub fn password(&self) -> String {
        format!("{} get-login-password{}", self.service(), self.region())
    }

    fn service(&self) -> &'static str {
        match self {
            Self::Private { .. } => "aws ecr",
            Self::Gallery => "aws ecr-public",
        }
    }

    fn region(&self) -> String {
        match self {
            Self::Private { region, .. } => {
                format!(" --region {}", region.as_ref().map_or("REGION", AwsRegion::as_str))
            }
            Self::Gallery => format!(" --region {}", AwsRegion::OF_PUBLIC_LOGINS),
        }
    }
}

/// `account 123456789012, region eu-central-1`
impl fmt::Display for EcrPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private { account: Some(account), region: Some(region) } => {
                write!(f, "account {account}, region {region}")
            }
            Self::Private { account: Some(account), region: None } => write!(f, "account {account}"),
            Self::Private { account: None, region: Some(region) } => write!(f, "region {region}"),
            Self::Private { account: None, region: None } => f.write_str("the registry"),
            Self::Gallery => f.write_str("the public gallery"),
        }
    }
}
