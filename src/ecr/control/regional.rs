//! The API of one region, or of the public gallery.

use aws_config::SdkConfig;
use aws_sdk_sts as sts;

use super::fault::kind;
use super::gallery::Gallery;
use super::private::Private;
use super::sdk::Sdk;
use crate::aws::{AwsAccount, AwsRegion};
use crate::ecr::value::{
    AuthorizationData, Created, EcrErrorKind, Endpoint, Identity, ImageDetail, NotDeleted, RepositoryFacts,
};
use crate::oci::{Digest, RepositoryPath};
use crate::plan::EcrCreation;

/// The API at an endpoint.
#[derive(Debug)]
pub(in crate::ecr) struct Control {
    /// The settings without the endpoint's form. That form is ECR's alone, and the identity comes from STS.
    config: SdkConfig,
    api: Api,
}

#[derive(Debug)]
enum Api {
    Private(Private),
    Gallery(Gallery),
}

impl Control {
    /// The API at `endpoint`. This sends no request yet.
    pub(in crate::ecr) async fn open(sdk: &Sdk, endpoint: &Endpoint) -> Result<Self, EcrErrorKind> {
        let (config, api) = match endpoint {
            Endpoint::Region(region, form) => {
                let config = sdk.in_region(region).await;
                // The user may set both for all calls, too (AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT).
                let fips = form.is_fips() || config.use_fips() == Some(true);
                let dual_stack = form.is_dual_stack() || config.use_dual_stack() == Some(true);
                let own = config.to_builder().use_fips(fips).use_dual_stack(dual_stack).build();
                (config, Api::Private(Private::new(&own)))
            }
            Endpoint::Url(region, url) => {
                let config = sdk.in_region(region).await;
                let private = Private::at(&config, url);
                (config, Api::Private(private))
            }
            Endpoint::Gallery => {
                // The gallery's API is in one fixed region, which may differ from the user's region, and has one
                // endpoint.
                let region = AwsRegion::OF_PUBLIC_LOGINS.parse().map_err(|_| EcrErrorKind::NoRegion)?;
                let config = sdk.in_region(&region).await;
                let own = config.to_builder().use_fips(false).use_dual_stack(false).build();
                (config, Api::Gallery(Gallery::new(&own)))
            }
        };
        Ok(Self { config, api })
    }

    pub(in crate::ecr) async fn token(&self) -> Result<AuthorizationData, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.token().await,
            Api::Gallery(api) => api.token().await,
        }
    }

    /// The facts about `path`, or `None` if the repository does not exist.
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

    /// The prefix of the template that lets ECR create `path` with the first push, if there is one.
    pub(in crate::ecr) async fn template(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Option<String>, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.template(account, path).await,
            Api::Gallery(_) => Ok(None),
        }
    }

    pub(in crate::ecr) async fn create(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        creation: &EcrCreation,
    ) -> Result<Created, EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.create(account, path, creation).await,
            Api::Gallery(api) => api.create(path, creation).await,
        }
    }

    pub(in crate::ecr) async fn put_lifecycle(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        policy: &str,
    ) -> Result<(), EcrErrorKind> {
        match &self.api {
            Api::Private(api) => api.put_lifecycle(account, path, policy).await,
            Api::Gallery(_) => Err(Gallery::has_no("ecr:PutLifecyclePolicy")),
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
        let answer = sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| kind("sts:GetCallerIdentity", &error))?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(EcrErrorKind::Answer("an incomplete identity")),
        }
    }
}
