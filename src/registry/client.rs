//! The client of one registry.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, Url, redirect};
use tokio::time::{Instant, sleep_until};

use super::error::{Cause, ErrorKind, RegistryError, Waiting};
use super::heads::Heads;
use super::http::{Call, Http};
use super::link::{Link, Neighbours, Transport};
use super::login::Login;
use super::notice::Notice;
use super::pace::Pace;
use super::proxy::Proxies;
use super::resolve::Names;
use super::retry::{Backoff, Patience, Throttle};
use super::slots::Slots;
use super::tls::Tls;
use super::wire::{Connections, Read, Wire};
use crate::auth::CredentialSource;
use crate::oci::{Provider, RegistryHost};

/// Docker Hub's API is not at the host that references name.
pub(super) const HUB_API: &str = "registry-1.docker.io";
/// How long a registry may take to say that it is there, retries included.
const PING: Duration = Duration::from_secs(10);
/// Manifests that ECR takes a second (Amazon ECR service quotas, "Rate of `PutImage` requests").
const ECR_PUTS: u32 = 10;
/// Longest answer to a ping that is read, in bytes.
const MAX_PING: usize = 64 << 10;

/// How clients behave towards every registry.
#[derive(Clone)]
pub struct ClientConfig {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// What is tried again, and how long.
    pub backoff: Backoff,
    /// How long single steps may take.
    pub timeouts: Timeouts,
    /// Through what requests go, to registries and to where they send us.
    pub proxies: Proxies,
    /// Hears of retries and warnings, at once and from within the call; it must not block.
    pub on_notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// How long single steps of a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request, its content included, to the head of the response.
    pub headers: Duration,
    /// From one piece of a body to the next. A body must also come at 1 KiB/s after its first minute.
    pub idle: Duration,
}

impl Timeouts {
    /// What suits registries: 10 s, 30 s, 30 s.
    pub const STANDARD: Self =
        Self { connect: Duration::from_secs(10), headers: Duration::from_secs(30), idle: Duration::from_secs(30) };
}

/// A client of one registry (OCI distribution-spec 1.1). Make one per registry and clone it: clones share
/// connections, login and backoff, so that a registry that asks one task to wait is left alone by all; and no more than
/// eight requests of theirs are under way at once: the others wait for their turn. Clones also share the answers about
/// blobs that the registry has ([`Self::head_blob`]), so that a client is of one run.
///
/// Futures of its methods can be dropped at any time; nothing runs on behind them.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Http>, pub(super) Arc<Heads>);

impl Client {
    /// A client of `host`, whose name says who runs it. Nothing is sent yet.
    ///
    /// # Errors
    /// The name is not a host of a URL, the user agent is malformed, or the system has no certificate authorities at all.
    pub fn new(
        config: ClientConfig,
        host: RegistryHost,
        link: impl Into<Link>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Result<Self, RegistryError> {
        Self::of(Provider::of(&host), config, host, link, credentials)
    }

    /// As [`Self::new`], of a host that `provider` runs, whatever its name.
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
        let Link { transport, certificates, neighbours } = link.into();
        let fail = |kind| RegistryError::new(&host, "before any request", kind);
        let scheme = match transport {
            Transport::Https => "https",
            Transport::Http => "http",
        };
        let api = if host.is_docker_hub() { HUB_API } else { host.as_str() };
        let home = Url::parse(&format!("{scheme}://{api}/v2/")).map_err(|_| fail(ErrorKind::Host))?;
        let neighbours = Neighbours::of(&neighbours);
        let names = Arc::new(Names::of(&home, &config.proxies, neighbours.clone()));
        let tls = Tls::new(&certificates, transport).map_err(|error| fail(ErrorKind::Settings(Cause::of(&error))))?;
        let client = |tls| client(&config, tls, &names).map_err(|error| fail(ErrorKind::Settings(Cause::of(&error))));
        let connections = Connections { home: client(tls.home)?, elsewhere: client(tls.elsewhere)? };
        let wire =
            Wire { connections, host, home, neighbours, names, timeouts: config.timeouts, proxies: config.proxies };
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

    /// The registry that this client speaks to.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.0.wire.host
    }

    /// Who runs it.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.0.provider
    }

    /// Asks whether a registry is there and takes our login (`GET /v2/`); at most 10 s with all retries, not counted how
    /// long we are asked who we are.
    ///
    /// # Errors
    /// It is not there, is no registry (404), or refuses us.
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

/// A client that does nothing of itself: no redirects, no retries, no proxies but those that it is told.
fn client(
    config: &ClientConfig,
    tls: rustls::ClientConfig,
    names: &Arc<Names>,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(config.user_agent.as_str())
        .connect_timeout(config.timeouts.connect)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .proxy(config.proxies.rule())
        .dns_resolver(names.clone())
        .tls_backend_preconfigured(tls)
        .build()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("home", &self.0.wire.home.as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("user_agent", &self.user_agent)
            .field("backoff", &self.backoff)
            .field("timeouts", &self.timeouts)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}
