//! The AWS SDK's settings: the credential chain, regions, timeouts. polyarch loads them once, at the first use.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::sync::OnceCell;

use super::chain::{self, Chain};
use super::http;
use crate::aws::AwsRegion;
use crate::ecr::value::EcrErrorKind;

/// The limits of one attempt, which includes the search for credentials, and of a call with all its attempts. The SDK
/// has no limits of its own.
const ATTEMPT: Duration = Duration::from_secs(6);
pub(super) const CALL: Duration = Duration::from_secs(15);

/// The settings that all calls share.
#[derive(Debug)]
pub(in crate::ecr) struct Sdk {
    config: OnceCell<SdkConfig>,
    /// The failure if no source has credentials.
    none: EcrErrorKind,
}

impl Sdk {
    pub(in crate::ecr) fn new(none: EcrErrorKind) -> Self {
        Self { config: OnceCell::new(), none }
    }

    /// The settings for `region`.
    pub(super) async fn in_region(&self, region: &AwsRegion) -> SdkConfig {
        let region = Region::new(region.as_str().to_owned());
        // If no other setting names a region, the SDK assumes roles in the first region.
        let known = self.config.get_or_init(|| load(region.clone(), self.none.clone())).await;
        known.clone().into_builder().region(region).build()
    }

    /// The user's region: `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's region. polyarch does not ask the
    /// instance, because this takes seconds on machines outside of EC2.
    pub(in crate::ecr) async fn default_region() -> Result<AwsRegion, EcrErrorKind> {
        let Some(region) = default_region().region().await else {
            return Err(chain::unusable_profile().await.unwrap_or(EcrErrorKind::NoRegion));
        };
        region.as_ref().parse().map_err(|_| EcrErrorKind::NotARegion(region.to_string()))
    }
}

fn default_region() -> RegionProviderChain {
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::new())
}

async fn load(fallback: Region, none: EcrErrorKind) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(default_region().or_else(fallback))
        .timeout_config(timeouts)
        .http_client(http::client())
        .load()
        .await;
    let chain = config.credentials_provider().map(|links| Chain::of(links, none)).map(SharedCredentialsProvider::new);
    let mut config = config.into_builder();
    config.set_credentials_provider(chain);
    config.build()
}
