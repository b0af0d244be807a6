//! The registry of a run: a named one, or the embedded one, which is served while the run lasts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::event::{Failure, Phase};
use super::failure::{chain, failure, of_registry};
use crate::auth::{Anonymous, CredentialSource};
use crate::embedded::{Embedded, Opened};
use crate::engine::{Engine, EngineError};
use crate::oci::{Digest, MediaType, RawManifest, ReferenceError, RegistryHost, RepositoryPath, Selector, Tag, TagRef};
use crate::plan::{NamedRegistry, Transport};
use crate::registry::{self, Client, ClientConfig};

/// The registry that a run works with.
pub enum Registry {
    /// A registry by name.
    Named(Client),
    /// The embedded one, on loopback.
    Embedded {
        /// Its client.
        client: Client,
        /// Its id: how its answers are told from those of a stranger at its address.
        id: String,
    },
}

impl Registry {
    /// A registry by name. Nothing is sent yet.
    ///
    /// # Errors
    /// Its CA cannot be read, or a name or certificate is malformed.
    pub fn named(
        registry: &NamedRegistry,
        config: ClientConfig,
        credentials: Arc<dyn CredentialSource>,
    ) -> Result<Self, Failure> {
        let ca = registry.ca.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| {
                failure(Phase::Plan, &format!("cannot read the registry's ca {}: {error}", path.display()), None)
            })
        });
        let ca = ca.transpose()?;
        let transport = match registry.transport {
            Transport::Https => registry::Transport::Https,
            Transport::InsecureHttp => registry::Transport::Http,
        };
        let doing = format!("reach registry {}", registry.host);
        let client = Client::new(config, registry.host.clone(), transport, ca.as_deref(), credentials);
        let client = client.map_err(|error| of_registry(Phase::Preflight, &doing, &error))?;
        Ok(Self::Named(client))
    }

    /// Asks whether the registry is there and takes our login.
    ///
    /// # Errors
    /// It is not, or does not.
    pub async fn reach(&self) -> Result<(), Failure> {
        match self {
            Self::Named(client) => client.ping().await.map_err(|error| {
                // The error names the registry, and what it is about.
                let phase = if error.is_refusal() { Phase::Verify } else { Phase::Preflight };
                failure(phase, &chain(&error), error.hint())
            }),
            // It is served only while something is done with it, and then proves itself.
            Self::Embedded { .. } => Ok(()),
        }
    }

    /// Opens the embedded registry in `directory`: this process holds it from now on, unless another one does.
    /// Then nothing is served here.
    ///
    /// # Errors
    /// The directory cannot be used, or no port is free.
    pub fn embedded(directory: &Path, config: ClientConfig) -> Result<(Self, Option<Embedded>), Failure> {
        let opened = Embedded::open(directory).map_err(|error| {
            failure(
                Phase::Preflight,
                &format!("open the embedded registry: {}", chain(&error)),
                error.hint().map(Into::into),
            )
        })?;
        let (address, id, server) = match opened {
            Opened::Held(embedded) => (embedded.address(), embedded.id().to_owned(), Some(embedded)),
            Opened::Elsewhere { address, id } => (address, id, None),
        };
        let client = embedded_client(address, config)?;
        Ok((Self::Embedded { client, id }, server))
    }

    /// Its client.
    #[must_use]
    pub fn client(&self) -> &Client {
        match self {
            Self::Named(client) | Self::Embedded { client, .. } => client,
        }
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        self.client().host()
    }
}

fn embedded_client(address: SocketAddr, config: ClientConfig) -> Result<Client, Failure> {
    let internal = |error: &dyn std::error::Error| failure(Phase::Internal, &chain(error), None);
    let host: RegistryHost = address.to_string().parse().map_err(|error: ReferenceError| internal(&error))?;
    Client::new(config, host, registry::Transport::Http, None, Arc::new(Anonymous)).map_err(|error| internal(&error))
}

/// Does `work` while the embedded registry is served, where it is held by this process.
pub async fn while_served<T>(server: Option<Embedded>, work: impl Future<Output = T>) -> T {
    let Some(server) = server else { return work.await };
    let done = CancellationToken::new();
    let mut serving = std::pin::pin!(server.serve(done.cancelled()));
    let mut work = std::pin::pin!(work);
    let result = tokio::select! {
        biased;
        result = &mut work => result,
        // It ends by itself only if its listener cannot be used; then requests fail, each with its own message.
        _ = &mut serving => return work.await,
    };
    done.cancel();
    let _ = serving.await;
    result
}

/// The repository of the probe. Its tag is the registry's id.
const PROBE: &str = "polyarch/probe";

impl Registry {
    /// Proves that each of `engines` reaches the embedded registry when it says `127.0.0.1`: an engine in a virtual
    /// machine, on another host or in another network namespace does not. It is asked for an index that only this
    /// registry has.
    ///
    /// # Errors
    /// Every engine that does not.
    pub(super) async fn prove_reachable(&self, engines: &[Arc<Engine>]) -> Result<(), Vec<Failure>> {
        let Self::Embedded { client, id } = self else { return Ok(()) };
        let (probe, tag) = self.put_probe(client, id).await.map_err(|failure| vec![failure])?;
        let asked = join_all(engines.iter().map(|engine| engine.digest_in_registry(&tag))).await;
        let unreachable = |(engine, answer): (&Arc<Engine>, Result<_, EngineError>)| {
            let why = match answer {
                Ok(digest) if digest == probe => return None,
                Ok(_) => "another registry answers there".to_owned(),
                Err(error) => chain(&error.kind),
            };
            let message =
                format!("engine {} does not reach the embedded registry at {}: {why}", engine.name(), self.host());
            let hint =
                "an engine elsewhere needs a registry that it can reach: name one with `registry:` or --registry";
            Some(failure(Phase::Preflight, &message, Some(hint.into())))
        };
        let failures: Vec<_> = engines.iter().zip(asked).filter_map(unreachable).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
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
