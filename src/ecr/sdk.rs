//! The AWS SDK's settings: the credential chain, regions, timeouts. Loaded once, when it is first needed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use tokio::sync::OnceCell;

use crate::oci::AwsRegion;

/// For one attempt, and for a call with all its attempts: the SDK has none of its own.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);
pub(super) const CALL: Duration = Duration::from_secs(15);

/// The settings that all calls have in common.
#[derive(Debug, Default)]
pub(super) struct Sdk(OnceCell<SdkConfig>);

impl Sdk {
    /// They, in `region`.
    pub(super) async fn in_region(&self, region: &AwsRegion) -> SdkConfig {
        let region = Region::new(region.as_str().to_owned());
        // The first region is also that in which roles are assumed, where nothing else names one.
        let known = self.0.get_or_init(|| load(region.clone())).await;
        known.clone().into_builder().region(region).build()
    }

    /// The region that the user works in: `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's. The instance is not
    /// asked: that takes seconds where there is none.
    pub(super) async fn default_region() -> Option<AwsRegion> {
        let region = default_region().region().await?;
        region.as_ref().parse().ok()
    }
}

fn default_region() -> RegionProviderChain {
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::new())
}

async fn load(fallback: Region) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(CALL).build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(default_region().or_else(fallback))
        .timeout_config(timeouts)
        .http_client(http_client())
        .load()
        .await
}

/// How long a connection and an answer may take: a caller's own, as the instance's second each.
type Limits = (Option<Duration>, Option<Duration>);

/// rustls on ring, the system's authorities, and the proxies that the environment names.
fn http_client() -> SharedHttpClient {
    // One for callers of the same patience: they share its connections, and authorities are read once.
    let made: Mutex<HashMap<Limits, SharedHttpConnector>> = Mutex::default();
    http_client_fn(move |settings, components| {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = || {
            let mut builder =
                Connector::builder().connector_settings(settings.clone()).proxy_config(ProxyConfig::from_env());
            builder.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build())
        };
        made.entry(limits).or_insert_with(connector).clone()
    })
}
