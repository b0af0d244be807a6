//! The client of one registry.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, Url, redirect};
use tokio::time::{Instant, sleep_until};

use super::config::ClientConfig;
use super::error::{Cause, ErrorKind, RegistryError, Waiting};
use super::known_blobs::KnownBlobs;
use super::login::logins::Login;
use super::request::http::{Call, Http};
use super::request::pace::Pace;
use super::request::retry::{Patience, Throttle};
use super::request::slots::Slots;
use super::transport::link::{AllowedHosts, Link, Transport};
use super::transport::resolve::Resolver;
use super::transport::tls::Tls;
use super::transport::wire::{Connections, Read, Wire};
use crate::auth::CredentialSource;
use crate::aws::Provider;
use crate::oci::RegistryHost;

/// The longest time that polyarch waits for a registry to answer, with retries.
const PING: Duration = Duration::from_secs(10);
/// The manifests that ECR accepts in a second (Amazon ECR service quotas, "Rate of `PutImage` requests").
const ECR_PUTS: u32 = 10;
/// The longest answer to a ping that polyarch reads, in bytes.
const MAX_PING: usize = 64 << 10;

/// A client of one registry (OCI distribution-spec 1.1). Create one client per registry and clone it. Clones share
/// connections, login and backoff. If the registry asks one task to wait, all tasks wait. Clones send at most eight
/// requests at the same time, and other requests wait. Clones also share the answers about blobs that exist
/// ([`Self::head_blob`]), so use a client for one run only.
///
/// You can drop the futures of its methods at any time. No work continues after that.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Http>, pub(super) Arc<KnownBlobs>);

impl Client {
    /// A client of `host`. The host's name decides on the provider. This sends no request.
    ///
    /// # Errors
    /// The name cannot be the host of a URL, the user agent is malformed, or the system has no certificate authorities.
    pub fn new(
        config: ClientConfig,
        host: RegistryHost,
        link: impl Into<Link>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Result<Self, RegistryError> {
        Self::of(Provider::of(&host), config, host, link, credentials)
    }

    /// Like [`Self::new`], for a host that `provider` runs, with any name.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn of(
        provider: Provider,
        config: ClientConfig,
        host: RegistryHost,
        link: impl Into<Link>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Result<Self, RegistryError> {
        let Link { transport, certificates, allowed_hosts } = link.into();
        let fail = |kind| RegistryError::new(&host, "before any request", kind);
        let scheme = match transport {
            Transport::Https => "https",
            Transport::Http => "http",
        };
        let home = Url::parse(&format!("{scheme}://{}/v2/", host.api())).map_err(|_| fail(ErrorKind::Host))?;
        let allowed_hosts = AllowedHosts::of(&allowed_hosts);
        let resolver = Arc::new(Resolver::of(&home, &config.proxies, allowed_hosts.clone()));
        let tls = Tls::new(&certificates, transport).map_err(|error| fail(ErrorKind::Settings(Cause::of(&error))))?;
        let client =
            |tls| client(&config, tls, &resolver).map_err(|error| fail(ErrorKind::Settings(Cause::of(&error))));
        let connections = Connections { home: client(tls.home)?, elsewhere: client(tls.elsewhere)? };
        let wire = Wire {
            connections,
            host,
            home,
            allowed_hosts,
            resolver,
            timeouts: config.timeouts,
            proxies: config.proxies,
        };
        let http = Arc::new(Http {
            wire,
            provider,
            login: Login::new(credentials),
            backoff: config.backoff,
            throttle: Throttle::default(),
            slots: Slots::new(),
            puts: (provider == Provider::Ecr).then(|| Pace::a_second(ECR_PUTS)),
            on_notice: config.on_notice,
            warned: Mutex::default(),
        });
        Ok(Self(http, Arc::default()))
    }

    /// The registry of this client.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.0.wire.host
    }

    /// Whether requests to the registry are encrypted.
    pub(crate) fn transport(&self) -> Transport {
        if self.0.wire.home.scheme() == "https" { Transport::Https } else { Transport::Http }
    }

    /// The provider of the registry.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.0.provider
    }

    /// Checks that the registry exists and accepts the login (`GET /v2/`). The limit is 10 s with all retries, but the
    /// time to get credentials does not count.
    ///
    /// # Errors
    /// The registry does not answer, the address is not a registry (404), or the registry refuses the login.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let call = Call {
            method: Method::GET,
            path: String::new(),
            scope: None,
            accept: None,
            range: None,
            content: None,
            read: Read::Whole(MAX_PING),
            patience: Patience::None,
        };
        let limit = PING.min(self.0.backoff.deadline);
        let late = async {
            let start = Instant::now();
            loop {
                let due = start + limit + self.0.login.asked();
                if due <= Instant::now() {
                    let kind = ErrorKind::Timeout { waiting: Waiting::Operation, after: limit };
                    return RegistryError::new(self.host(), format!("GET {}", self.0.wire.home), kind);
                }
                sleep_until(due).await;
            }
        };
        tokio::select! {
            answered = self.0.send(&call) => answered.map(drop),
            error = late => Err(error),
        }
    }
}

/// A client without redirects and retries of its own, and only with the configured proxies.
fn client(
    config: &ClientConfig,
    tls: rustls::ClientConfig,
    resolver: &Arc<Resolver>,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(config.user_agent.as_str())
        .connect_timeout(config.timeouts.connect)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .proxy(config.proxies.rule())
        .dns_resolver(resolver.clone())
        .tls_backend_preconfigured(tls)
        .build()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("home", &self.0.wire.home.as_str()).finish_non_exhaustive()
    }
}
