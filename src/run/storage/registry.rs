//! The registries of a run: named registries, and the embedded registry, which polyarch serves while the run lasts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::auth::{Anonymous, CredentialSource};
use crate::aws::{Provider, is_ecr};
use crate::ecr::EcrRegistry;
use crate::embedded::{Embedded, EmbeddedError, Opened};
use crate::engine::{Engine, EngineError};
use crate::oci::{
    Digest, MediaType, RawManifest, ReferenceError, RegistryHost, Repository, RepositoryPath, Selector, Tag, TagRef,
};
use crate::plan::{ClientCertificate, NamedRegistry, Transport};
use crate::registry::{self, Backoff, CertificateError, Certificates, Client, ClientConfig, Link};
use crate::run::event::failure::{chain, failure, of_registry};
use crate::run::event::{Failure, Phase};

/// How the embedded registry is served during this process.
#[derive(Debug)]
pub enum Server {
    /// This process holds the embedded registry and serves it while the process works.
    Holder(Embedded),
    /// Another process holds the embedded registry. If that process ends first, this process takes the registry over.
    Successor {
        /// The directory of the embedded registry.
        directory: PathBuf,
        /// The address on which the embedded registry listens.
        address: SocketAddr,
    },
}

/// The interval at which a successor checks whether the holder has ended. It is shorter than the wait of clients and
/// engines before they retry a refused connection.
const SUCCESSION: Duration = Duration::from_millis(50);
/// The interval and the number of attempts while another process is still opening the embedded registry.
const OPENING: (Duration, u32) = (Duration::from_millis(50), 100);

/// The interval and the number of attempts of an engine that cannot reach the embedded registry. After a holder ends,
/// connections are refused until its successor opens the port. The engine then repeats the interrupted push.
const SUCCEEDED: (Duration, u32) = (Duration::from_millis(200), 50);

impl Server {
    /// Waits until this process holds the embedded registry.
    async fn held(self) -> Result<Embedded, EmbeddedError> {
        let (directory, expected) = match self {
            Self::Holder(embedded) => return Ok(embedded),
            Self::Successor { directory, address } => (directory, address),
        };
        loop {
            tokio::time::sleep(SUCCESSION).await;
            match Embedded::open(&directory) {
                Ok(Opened::Held(embedded)) if embedded.address() == expected => return Ok(embedded),
                Ok(Opened::Held(embedded)) => {
                    tracing::warn!("the embedded registry moved from {expected} to {}", embedded.address());
                    return Ok(embedded);
                }
                Ok(Opened::Elsewhere { .. }) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The registry that a run works with.
#[derive(Debug, Clone)]
pub enum Registry {
    /// A registry that the plan or the command line names.
    Named {
        /// The client of the registry.
        client: Client,
        /// The prefix of the name of each of its repositories.
        namespace: Option<RepositoryPath>,
        /// The API of Amazon ECR, if the registry is on Amazon ECR.
        ecr: Option<Arc<EcrRegistry>>,
    },
    /// The embedded registry, on loopback.
    Embedded {
        /// The client of the embedded registry.
        client: Client,
        /// The id of the embedded registry. polyarch recognizes a foreign registry at the same address by its missing
        /// id.
        id: String,
    },
}

impl Registry {
    /// Opens a registry by name and sends no request yet. `certificates` are directories in the form of docker's
    /// `certs.d`. polyarch uses the first directory that has an entry for the registry, and trusts its certificates
    /// too.
    ///
    /// # Errors
    /// A certificate cannot be read, or a name is malformed.
    pub fn named(
        registry: &NamedRegistry,
        certificates: &[PathBuf],
        config: ClientConfig,
        credentials: Arc<dyn CredentialSource>,
        ecr: Option<Arc<EcrRegistry>>,
    ) -> Result<Self, Failure> {
        let link = link(registry, certificates)?;
        let doing = format!("reach registry {}", registry.host);
        // The plan may declare that a host with any name is on Amazon ECR.
        let provider = if registry.ecr.is_some() { Provider::Ecr } else { Provider::of(&registry.host) };
        let client = Client::of(provider, config, registry.host.clone(), link, credentials);
        let client = client.map_err(|error| of_registry(Phase::Preflight, &doing, &error))?;
        Ok(Self::Named { client, namespace: registry.namespace.clone(), ecr })
    }

    /// Checks that the registry answers and accepts the login.
    ///
    /// # Errors
    /// The registry does not answer, or it refuses the login.
    pub async fn reach(&self) -> Result<(), Failure> {
        match self {
            Self::Named { client, .. } => client.ping().await.map_err(|error| {
                // The error names the registry and the failed request.
                let phase = if error.is_refusal() { Phase::Verify } else { Phase::Preflight };
                failure(phase, &chain(&error), error.hint())
            }),
            // polyarch serves the embedded registry only during the work. `prove_reachable` checks it then.
            Self::Embedded { .. } => Ok(()),
        }
    }

    /// Opens the embedded registry in `directory`. This process holds it from now on, unless another process already
    /// holds it. If another process is just opening it, polyarch waits at most 5 s.
    ///
    /// # Errors
    /// The directory cannot be used, or every port is occupied.
    pub async fn embedded(directory: &Path, config: ClientConfig) -> Result<(Self, Server), Failure> {
        let opened = opened(directory).await.map_err(|error| {
            failure(
                Phase::Preflight,
                &format!("cannot open the embedded registry: {}", chain(&error)),
                error.hint().map(Into::into),
            )
        })?;
        let (address, id, server) = match opened {
            Opened::Held(embedded) => (embedded.address(), embedded.id().to_owned(), Server::Holder(embedded)),
            Opened::Elsewhere { address, id } => {
                (address, id, Server::Successor { directory: directory.to_owned(), address })
            }
        };
        let client = embedded_client(address, config)?;
        Ok((Self::Embedded { client, id }, server))
    }

    /// The API of Amazon ECR, if the registry is on Amazon ECR.
    #[must_use]
    pub fn ecr(&self) -> Option<&EcrRegistry> {
        match self {
            Self::Named { ecr, .. } => ecr.as_deref(),
            Self::Embedded { .. } => None,
        }
    }

    /// Whether the registry accepts an index with processor `features` in its entries. Amazon ECR does not
    /// (aws/containers-roadmap#2439).
    pub(in crate::run) fn takes_features(&self) -> bool {
        self.ecr().is_none() && !is_ecr(self.host())
    }

    /// Whether polyarch knows that `tag` is immutable: it keeps the first image that it names.
    pub(in crate::run) fn fixes(&self, tag: &TagRef) -> bool {
        self.ecr().is_some_and(|ecr| ecr.fixes(tag.repository.path(), &tag.tag))
    }

    /// The host, if polyarch uses plain HTTP beyond loopback. A BuildKit without a Docker Engine may do the same. On
    /// loopback it does so by itself (BuildKit, `util/resolver`).
    pub(in crate::run) fn plain_http(&self) -> Option<&RegistryHost> {
        let is_clear = self.client().transport() == registry::Transport::Http;
        Some(self.host()).filter(|host| is_clear && !host.is_loopback())
    }

    /// The client of the registry.
    #[must_use]
    pub fn client(&self) -> &Client {
        match self {
            Self::Named { client, .. } | Self::Embedded { client, .. } => client,
        }
    }

    /// The credentials of an engine that pushes to this registry. The embedded registry needs no credentials, so
    /// polyarch calls no credential helper. A missing helper must not fail a push that needs no login.
    pub(in crate::run) fn pushes_as(&self, user: &Arc<dyn CredentialSource>) -> Arc<dyn CredentialSource> {
        match self {
            Self::Named { .. } => user.clone(),
            Self::Embedded { .. } => Arc::new(Anonymous),
        }
    }

    /// How long an engine waits before it retries, after attempt number `attempt` (from 1) failed with `error`.
    /// `None` means that the engine does not retry. Only three faults pass by themselves: the embedded registry
    /// changes hands, the registry is too busy to answer, or another push sent the same layers.
    pub(in crate::run) fn again_after(&self, attempt: u32, error: &EngineError) -> Option<Duration> {
        if matches!(self, Self::Embedded { .. }) && error.is_registry_away() {
            let (wait, attempts) = SUCCEEDED;
            return (attempt < attempts).then_some(wait);
        }
        if error.is_throttled() || error.may_pass() { Backoff::STANDARD.wait(attempt) } else { None }
    }

    /// The host of the registry.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        self.client().host()
    }

    /// The repository of an image of the plan, with the namespace of the registry before it.
    ///
    /// # Errors
    /// The whole name is longer than registries accept.
    pub fn repository(&self, path: &RepositoryPath) -> Result<Repository, ReferenceError> {
        match self {
            Self::Named { namespace, .. } => self.host().repository(&path.within(namespace.as_ref())?),
            Self::Embedded { .. } => self.host().repository(path),
        }
    }
}

/// The connection settings of the registry: transport and certificates.
fn link(registry: &NamedRegistry, directories: &[PathBuf]) -> Result<Link, Failure> {
    let unusable = |phase: Phase, error: CertificateError| {
        failure(phase, &format!("registry {}: {}", registry.host, chain(&error)), Some(error.hint()))
    };
    let mut certificates = Certificates::default();
    let directory = directories.iter().map(|directory| directory.join(registry.host.as_str())).find(|one| one.is_dir());
    if let Some(directory) = directory {
        certificates.read_directory(&directory).map_err(|error| unusable(Phase::Preflight, error))?;
    }
    if let Some(ca) = &registry.ca {
        certificates.trust_file(ca).map_err(|error| unusable(Phase::Plan, error))?;
    }
    if let Some(ClientCertificate { cert, key }) = &registry.cert {
        certificates.show_file(cert, key).map_err(|error| unusable(Phase::Plan, error))?;
    }
    // polyarch speaks plain HTTP to loopback, unless it has certificates for that host.
    let is_clear =
        registry.transport == Transport::InsecureHttp && (certificates.is_empty() || !registry.host.is_loopback());
    let transport = if is_clear { registry::Transport::Http } else { registry::Transport::Https };
    Ok(Link { transport, certificates, allowed_hosts: registry.may_send_to.clone() })
}

async fn opened(directory: &Path) -> Result<Opened, EmbeddedError> {
    let (wait, mut left) = OPENING;
    loop {
        match Embedded::open(directory) {
            Err(error) if error.is_transient() && left > 0 => left -= 1,
            opened => return opened,
        }
        tokio::time::sleep(wait).await;
    }
}

fn embedded_client(address: SocketAddr, config: ClientConfig) -> Result<Client, Failure> {
    let internal = |error: &dyn std::error::Error| failure(Phase::Internal, &chain(error), None);
    let host: RegistryHost = address.to_string().parse().map_err(|error: ReferenceError| internal(&error))?;
    Client::new(config, host, registry::Transport::Http, Arc::new(Anonymous)).map_err(|error| internal(&error))
}

/// Runs `work` and serves the embedded registry at the same time. If another process holds the registry, this process
/// serves it as soon as that process ends.
pub async fn while_served<T>(server: Option<Server>, work: impl Future<Output = T>) -> T {
    let Some(server) = server else { return work.await };
    let done = CancellationToken::new();
    let serve = async {
        let held = tokio::select! {
            biased;
            () = done.cancelled() => return Ok(()),
            held = server.held() => held?,
        };
        held.serve(done.cancelled()).await
    };
    let mut serving = std::pin::pin!(serve);
    let mut work = std::pin::pin!(work);
    let result = tokio::select! {
        biased;
        result = &mut work => result,
        // The server stops by itself only if its directory or its listener fails. Requests then fail, each with its
        // own message.
        ended = &mut serving => {
            if let Err(error) = ended {
                tracing::warn!("polyarch cannot serve the embedded registry: {}", chain(&error));
            }
            return work.await;
        }
    };
    done.cancel();
    let _ = serving.await;
    result
}

/// The repository of the probe. Its tag is the id of the embedded registry.
const PROBE: &str = "polyarch/probe";

impl Registry {
    /// Proves that each of `engines` reaches the embedded registry under `127.0.0.1`. An engine in a virtual machine,
    /// on another host or in another network namespace does not reach it. polyarch asks each engine for an index that
    /// only this registry has. A BuildKit without a Docker Engine cannot be asked. It must be on this machine.
    ///
    /// # Errors
    /// Every engine that does not reach the embedded registry.
    pub(in crate::run) async fn prove_reachable(&self, engines: &[Arc<Engine>]) -> Result<(), Vec<Failure>> {
        let Self::Embedded { client, id } = self else { return Ok(()) };
        let (probe, tag) = self.put_probe(client, id).await.map_err(|failure| vec![failure])?;
        let answers = join_all(engines.iter().map(async |engine| {
            if engine.is_buildkit_alone() { None } else { Some(self.digest_by(engine, &tag).await) }
        }));
        let unreachable = |(engine, answer): (&Arc<Engine>, Option<Result<_, EngineError>>)| {
            let why = match answer {
                Some(Ok(digest)) if digest == probe => return None,
                Some(Ok(_)) => "another registry answers at that address".to_owned(),
                Some(Err(error)) => chain(&error.kind),
                None if engine.is_on_this_machine() => return None,
                None => "it may have another network than this machine".to_owned(),
            };
            let message =
                format!("engine {} cannot reach the embedded registry at {}: {why}", engine.name(), self.host());
            let hint = "name a registry that the engine can reach: set `registry:` in the plan, or pass --registry";
            Some(failure(Phase::Preflight, &message, Some(hint.into())))
        };
        let failures: Vec<_> = engines.iter().zip(answers.await).filter_map(unreachable).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    async fn digest_by(&self, engine: &Engine, tag: &TagRef) -> Result<Digest, EngineError> {
        let mut attempt = 1;
        loop {
            let answer = engine.digest_in_registry(tag).await;
            let again = answer.as_ref().err().and_then(|error| self.again_after(attempt, error));
            let Some(wait) = again else { return answer };
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn put_probe(&self, client: &Client, id: &str) -> Result<(Digest, TagRef), Failure> {
        let internal = |error: &dyn std::error::Error| failure(Phase::Internal, &chain(error), None);
        let path = PROBE.parse::<RepositoryPath>().map_err(|error| internal(&error))?;
        let tag = id.parse::<Tag>().map_err(|error| internal(&error))?;
        let document = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciIndex,
            "manifests": [],
            "annotations": { "dev.polyarch.registry": id },
        });
        let probe = RawManifest::new(document.to_string().into_bytes(), None).map_err(|error| internal(&error))?;
        let selector = Selector::Tag(tag.clone());
        let head = client.head_manifest(&path, &selector).await;
        let known = matches!(head, Ok(Some(head)) if head.digest.as_ref() == Some(probe.digest()));
        if !known {
            let put = client.put_manifest(&path, &selector, &probe).await;
            put.map_err(|error| of_registry(Phase::Preflight, "use the embedded registry", &error))?;
        }
        let repository = self.host().repository(&path).map_err(|error| internal(&error))?;
        Ok((probe.digest().clone(), repository.tag(tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthError, Credential};
    use crate::engine::EngineErrorKind;
    use crate::registry::{Proxies, Timeouts};

    fn config() -> ClientConfig {
        ClientConfig {
            user_agent: "test".into(),
            backoff: Backoff::STANDARD,
            timeouts: Timeouts::STANDARD,
            proxies: Proxies::default(),
            on_notice: Arc::new(|_| {}),
        }
    }

    #[tokio::test]
    async fn user_of_the_embedded_registry_takes_over_from_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let (_, holder) = Registry::embedded(directory.path(), config()).await.unwrap();
        let (registry, successor) = Registry::embedded(directory.path(), config()).await.unwrap();
        assert!(matches!((&holder, &successor), (Server::Holder(_), Server::Successor { .. })));
        let work = async {
            while_served(Some(holder), async { registry.client().ping().await.unwrap() }).await;
            registry.client().ping().await.unwrap();
        };
        while_served(Some(successor), Box::pin(work)).await;
    }

    #[derive(Debug)]
    struct NoHelper;

    impl CredentialSource for NoHelper {
        fn credential<'a>(
            &'a self,
            _: &'a RegistryHost,
            _: Option<&'a RepositoryPath>,
        ) -> futures::future::BoxFuture<'a, Result<Credential, AuthError>> {
            panic!("the embedded registry needs no credentials")
        }
    }

    #[tokio::test]
    async fn embedded_registry_push_is_anonymous_and_retried() {
        let directory = tempfile::tempdir().unwrap();
        let (registry, _) = Registry::embedded(directory.path(), config()).await.unwrap();
        let user: Arc<dyn CredentialSource> = Arc::new(NoHelper);
        let credential = registry.pushes_as(&user).credential(registry.host(), None).await;
        assert!(matches!(credential, Ok(Credential::Anonymous)));
        let error = |message: &str| EngineError {
            engine: "default".parse().unwrap(),
            operation: "push".into(),
            kind: EngineErrorKind::Push { message: message.into(), ecr: None },
        };
        let away = error("dial tcp 127.0.0.1:5000: connect: connection refused");
        assert!(registry.again_after(1, &away).is_some());
        assert!(registry.again_after(SUCCEEDED.1, &away).is_none());
        // A registry that changes hands is unreachable for longer than a busy registry.
        let cut = error("read tcp 127.0.0.1:1->127.0.0.1:5000: read: connection reset by peer");
        assert!(registry.again_after(SUCCEEDED.1 - 1, &cut).is_some());
        for words in [
            "Put \"http://127.0.0.1:5000/v2/a/manifests/1\": EOF",
            "Patch \"http://127.0.0.1:5000/v2/a\": write: broken pipe",
            "read tcp 127.0.0.1:1->127.0.0.1:5000: read: connection reset by peer",
            "failed commit on ref \"x\": unexpected status from PUT request to http://127.0.0.1:5000/v2/a: 404 Not Found",
        ] {
            assert!(registry.again_after(1, &error(words)).is_some(), "{words}");
        }
        assert!(registry.again_after(1, &error("denied")).is_none());
        let named = Registry::Named { client: registry.client().clone(), namespace: None, ecr: None };
        assert!(named.again_after(1, &away).is_none());
        for words in [
            "errors: digest invalid manifest blob unknown: blob unknown to registry",
            "received unexpected HTTP status: 500 Internal Server Error",
            "unknown: unexpected status from HEAD request to http://127.0.0.1/v2/a/manifests/1: 503 Service Unavailable",
        ] {
            let met = error(words);
            assert!(named.again_after(1, &met).is_some() && named.again_after(5, &met).is_none(), "{words}");
        }
    }
}
