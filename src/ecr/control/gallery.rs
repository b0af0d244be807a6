//! The API of the public gallery (Amazon ECR Public).

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_ecrpublic::Client;
use aws_sdk_ecrpublic::operation::create_repository::CreateRepositoryError;
use aws_sdk_ecrpublic::operation::describe_repositories::DescribeRepositoriesError;

use super::fault::kind;
use crate::auth::Secret;
use crate::aws::Mutability;
use crate::ecr::value::{AuthorizationData, Created, EcrErrorKind, RepositoryFacts};
use crate::oci::RepositoryPath;
use crate::plan::EcrCreation;

#[derive(Debug)]
pub(super) struct Gallery(Client);

impl Gallery {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// An action that the gallery's own API has, but that polyarch does not call: its registry gives the same answers.
    pub(super) fn has_no(action: &str) -> EcrErrorKind {
        let message = "polyarch asks the public gallery through its registry".to_owned();
        EcrErrorKind::Denied { action: action.to_owned(), message }
    }

    pub(super) async fn token(&self) -> Result<AuthorizationData, EcrErrorKind> {
        let answer = self.0.get_authorization_token().send().await;
        let answer = answer.map_err(|error| kind("ecr-public:GetAuthorizationToken", &error))?;
        let data = answer.authorization_data.ok_or(EcrErrorKind::Answer("no token"))?;
        let authorization = data.authorization_token.ok_or(EcrErrorKind::Answer("no token"))?;
        let expires = data.expires_at.and_then(|time| SystemTime::try_from(time).ok());
        Ok(AuthorizationData { authorization: Secret::new(authorization), expires, registry: None })
    }

    /// The gallery's API names a repository without the first part of its path, which is the alias of the account.
    fn name(path: &RepositoryPath) -> &str {
        path.as_str().split_once('/').map_or(path.as_str(), |(_, name)| name)
    }

    pub(super) async fn repository(&self, path: &RepositoryPath) -> Result<Option<RepositoryFacts>, EcrErrorKind> {
        let asked = self.0.describe_repositories().repository_names(Self::name(path)).send().await;
        match asked {
            Ok(_) => Ok(Some(RepositoryFacts { mutability: Mutability::Mutable(Vec::new()) })),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeRepositoriesError::is_repository_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(kind("ecr-public:DescribeRepositories", &error)),
        }
    }

    /// Refuses settings that only private repositories have, and then creates nothing.
    pub(super) async fn create(&self, path: &RepositoryPath, creation: &EcrCreation) -> Result<Created, EcrErrorKind> {
        if *creation != EcrCreation::default() {
            return Err(EcrErrorKind::PrivateOnly);
        }
        match self.0.create_repository().repository_name(Self::name(path)).send().await {
            Ok(_) => Ok(Created::Now),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateRepositoryError::is_repository_already_exists_exception) =>
            {
                Ok(Created::ByAnother)
            }
            Err(error) => Err(kind("ecr-public:CreateRepository", &error)),
        }
    }
}
