//! The API of one region, or of the public gallery.

use aws_config::SdkConfig;
use aws_sdk_ecr::config::Region;
use aws_sdk_sts as sts;

use super::fault::kind;
use super::gallery::Gallery;
use super::private::Private;
use crate::ecr::error::EcrErrorKind;
use crate::ecr::identity::Identity;
use crate::ecr::image::{ImageDetail, NotDeleted};
use crate::ecr::registry::{Created, RepositoryFacts};
use crate::ecr::sdk::Sdk;
use crate::ecr::token::Given;
use crate::oci::{AwsAccount, AwsRegion, Digest, EcrEndpoint, RepositoryPath};
use crate::plan::EcrCreation;

/// Where calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ecr) enum Endpoint {
    /// A region's own.
    Region(AwsRegion, EcrEndpoint),
    /// A private one of a region, by its URL.
    Url(AwsRegion, String),
    /// The public gallery's.
    Gallery,
}

/// The API at an endpoint.
#[derive(Debug)]
pub(in crate::ecr) struct Control {
    config: SdkConfig,
    api: Api,
}

#[derive(Debug)]
enum Api {
    Private(Private),
    Gallery(Gallery),
}

impl Control {
    /// The API at `endpoint`; nobody is asked yet.
    pub(in crate::ecr) async fn open(sdk: &Sdk, endpoint: &Endpoint) -> Result<Self, EcrErrorKind> {
        let open = async |region: &AwsRegion| sdk.in_region(region).await;
        let (config, api): (_, fn(&SdkConfig) -> Api) = match endpoint {
            Endpoint::Region(region, form) => {
                let config = open(region).await.into_builder();
                let config = config.use_fips(form.is_fips()).use_dual_stack(form.is_dual_stack()).build();
                (config, |config| Api::Private(Private::new(config)))
            }
            Endpoint::Url(region, url) => {
                let private = Private::at(&open(region).await, url);
                return Ok(Self { config: open(region).await, api: Api::Private(private) });
            }
            Endpoint::Gallery => {
                // The gallery has its API in one region, whatever the user's own is.
                let region = AwsRegion::OF_PUBLIC_LOGINS.parse().map_err(|_| EcrErrorKind::NoRegion)?;
                (open(&region).await, |config| Api::Gallery(Gallery::new(config)))
            }
        };
        let api = api(&config);
        Ok(Self { config, api })
    }

    pub(in crate::ecr) async fn token(&self) -> Result<Given, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.token().await,
            Api::Gallery(api) => api.token().await,
        }
    }

    /// What is known of `path`; `None`: it is not there.
    pub(in crate::ecr) async fn repository(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Option<RepositoryFacts>, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.repository(account, path).await,
            Api::Gallery(api) => api.repository(path).await,
        }
    }

    /// The prefix of the template by which ECR itself creates `path` with the first push to it, if there is one.
    pub(in crate::ecr) async fn template(&self, path: &RepositoryPath) -> Result<Option<String>, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.template(path).await,
            Api::Gallery(_) => Ok(None),
        }
    }

    pub(in crate::ecr) async fn create(
        &self,
        path: &RepositoryPath,
        creation: &EcrCreation,
        lifecycle: Option<&str>,
    ) -> Result<Created, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.create(path, creation, lifecycle).await,
            Api::Gallery(api) => api.create(path).await,
        }
    }

    pub(in crate::ecr) async fn images(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Vec<ImageDetail>, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.images(account, path).await,
            Api::Gallery(_) => Err(Gallery::has_no("ecr:DescribeImages")),
        }
    }

    pub(in crate::ecr) async fn delete(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        digests: &[Digest],
    ) -> Result<Vec<NotDeleted>, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.delete(account, path, digests).await,
            Api::Gallery(_) => Err(Gallery::has_no("ecr:BatchDeleteImage")),
        }
    }

    pub(in crate::ecr) async fn identity(&self) -> Result<Identity, EcrErrorKind> {
        // A private endpoint, FIPS and dual stack are ECR's; who we are is known everywhere.
        let region = self.config.region().cloned().unwrap_or_else(|| Region::new(AwsRegion::OF_PUBLIC_LOGINS));
        let config = sts::config::Builder::from(&self.config).region(region).use_fips(false).use_dual_stack(false);
        let answer = sts::Client::from_conf(config.build()).get_caller_identity().send().await;
        let answer = answer.map_err(|error| kind("sts:GetCallerIdentity", &error))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(EcrErrorKind::Answer("nobody")),
        }
    }
}
