//! How the builders reach registries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::auth::{Anonymous, CredentialSource};
use crate::ecr::Ecr;
use crate::oci::{LocatedReference, Location, RegistryHost};
use crate::plan::{NamedRegistry, Plan};
use crate::registry::{Backoff, ClientConfig, Notice, Proxies, Timeouts};
use crate::run::{Failure, Phase, Registry, Source, Storage, Unselected};
use crate::text::chain;

/// The settings for all registries of a run: logins, certificates, proxies.
///
/// The defaults use nothing of the machine's configuration: no logins, no proxies, and the system's certificate
/// authorities. polyarch uses HTTPS, and plain HTTP on loopback. Clones are cheap.
#[derive(Clone)]
pub struct Access {
    credentials: Arc<dyn CredentialSource>,
    certificates: Vec<PathBuf>,
    proxies: Proxies,
    registries: Vec<NamedRegistry>,
    ecr: Option<Arc<Ecr>>,
    user_agent: String,
}

impl Default for Access {
    fn default() -> Self {
        Self::new()
    }
}

impl Access {
    /// Access without logins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            credentials: Arc::new(Anonymous),
            certificates: Vec::new(),
            proxies: Proxies::default(),
            registries: Vec::new(),
            ecr: None,
            user_agent: concat!("polyarch/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Logs in with `credentials`, such as docker's logins ([`DockerConfig`](crate::auth::DockerConfig)).
    #[must_use]
    pub fn credentials(self, credentials: impl CredentialSource + 'static) -> Self {
        Self { credentials: Arc::new(credentials), ..self }
    }

    /// Trusts the certificates in `directories`, which have the form of docker's `certs.d`. For each registry polyarch
    /// uses the first directory that has an entry for it.
    #[must_use]
    pub fn certificates(self, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { certificates: directories.into_iter().collect(), ..self }
    }

    /// Sends requests through `proxies`.
    #[must_use]
    pub fn proxies(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Uses the settings of `registry` for references to its host. The registries of a plan have their settings in the
    /// plan. A later call for the same host has no effect.
    #[must_use]
    pub fn registry(mut self, registry: NamedRegistry) -> Self {
        self.registries.push(registry);
        self
    }

    /// Uses the API of Amazon ECR, to check and create repositories. The logins at ECR are
    /// [`EcrLogins`](crate::ecr::EcrLogins). The AWS SDK reads its configuration from the environment.
    #[must_use]
    pub fn ecr(self, ecr: Arc<Ecr>) -> Self {
        Self { ecr: Some(ecr), ..self }
    }

    /// Sends `user_agent` with each request. The default is `polyarch/VERSION`.
    #[must_use]
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        Self { user_agent: user_agent.into(), ..self }
    }

    /// The user's credentials.
    pub(super) fn source(&self) -> Arc<dyn CredentialSource> {
        self.credentials.clone()
    }

    /// The same settings, for a run that reports the notices of registries to `notices`.
    pub(super) fn reporting(self, notices: mpsc::UnboundedSender<Notice>) -> Reaching {
        Reaching { access: self, notices, known: BTreeMap::new() }
    }
}

/// The registries of one run, each opened once.
pub(super) struct Reaching {
    access: Access,
    notices: mpsc::UnboundedSender<Notice>,
    known: BTreeMap<RegistryHost, Registry>,
}

impl Reaching {
    /// Makes the plan's settings for registries of ECR known.
    pub(super) async fn declare(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(ecr) = &self.access.ecr else { return Ok(()) };
        for named in plan.named_registries() {
            ecr.declare(named).await.map_err(|error| {
                let hint = error.hint().map(Into::into);
                Failure::new(Phase::Preflight, chain(&error).into(), hint).because(&error)
            })?;
        }
        Ok(())
    }

    /// Opens a registry and sends no request yet. polyarch makes at most `attempts` attempts at a request.
    pub(super) fn open(&self, named: &NamedRegistry, attempts: u32) -> Result<Registry, Failure> {
        let (notices, access) = (self.notices.clone(), &self.access);
        let config = ClientConfig {
            user_agent: access.user_agent.clone(),
            backoff: Backoff { attempts, ..Backoff::STANDARD },
            timeouts: Timeouts::STANDARD,
            proxies: access.proxies.clone(),
            // The receiver is gone only after the run.
            on_notice: Arc::new(move |notice| drop(notices.send(notice))),
        };
        let ecr = access.ecr.as_ref().and_then(|ecr| ecr.registry(&named.host));
        Registry::named(named, &access.certificates, config, access.credentials.clone(), ecr)
    }

    /// The settings of the registry at `host`.
    pub(super) fn named(&self, host: &RegistryHost) -> NamedRegistry {
        let known = self.access.registries.iter().find(|named| named.host == *host);
        known.cloned().unwrap_or_else(|| host.clone().into())
    }

    /// The storage at `location`. polyarch does not send a request yet.
    pub(super) fn storage(&mut self, location: Location) -> Result<Storage, Failure> {
        let repository = match location {
            Location::Repository(repository) => repository,
            Location::Layout(path) => return Ok(Storage::Layout(path)),
        };
        let host = repository.host();
        let registry = match self.known.get(host) {
            Some(registry) => registry.clone(),
            None => self.open(&self.named(host), Backoff::STANDARD.attempts)?,
        };
        self.known.insert(host.clone(), registry.clone());
        Ok(Storage::Repository { registry, repository })
    }

    /// The image that `reference` names. Without a tag and a digest this is the only image of a layout.
    pub(super) async fn source(&mut self, reference: LocatedReference) -> Result<Source, Failure> {
        let LocatedReference { location, selector } = reference;
        self.storage(location)?.image(selector).await.map_err(|error| match error {
            Unselected::Repository(repository) => refused(format!("{repository} has no tag"), "name a tag or a digest"),
            Unselected::Layout(path, error) => {
                let hint = error.hint().map(Into::into);
                let message = format!("{path}: {}", chain(&error)).into();
                Failure::new(Phase::Preflight, message, hint).because(&error)
            }
        })
    }
}

/// The failure of a request that polyarch does not begin.
pub(super) fn refused(message: String, hint: &str) -> Failure {
    Failure::new(Phase::Plan, message.into(), Some(hint.into()))
}
