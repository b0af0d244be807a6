//! The client of an engine that polyarch has reached and identified: Docker Engine, or BuildKit alone.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::{EngineError, EngineErrorKind};
use super::facts::{ApiVersion, EngineFacts};
use super::pods::pods;
use super::rest::{self, ANSWER, classify, within};
use super::upgrade::{Upgraded, upgrade};
use crate::buildkit::{self, BuildKit, BuildKitError, emulation_hint};
use crate::connect::{Dialer, Heard, HeardConnection};
use crate::oci::{Digest, Platform, TagRef};
use crate::plan::{BuildKitHost, Endpoint, EngineName};

/// The first API whose engines have BuildKit.
const FIRST_API: ApiVersion = ApiVersion { major: 1, minor: 39 };
/// The time limit for a builder of buildx. buildx starts a builder that does not run.
const BUILDER: Duration = Duration::from_secs(30);
/// The first API with a platform for pushes. Without a platform, an engine with the containerd store may push something
/// other than the image that it built (moby#47679).
const PUSH_PLATFORM_API: ApiVersion = ApiVersion { major: 1, minor: 46 };

/// The clock and the disk of an engine, if it reports them.
#[derive(Debug, Clone)]
pub struct EngineCondition {
    /// The time on its clock.
    pub clock: Option<SystemTime>,
    /// The directory of its images.
    pub directory: Option<PathBuf>,
}

/// An engine: a Docker Engine with its BuildKit, or a BuildKit alone.
pub struct Engine {
    name: EngineName,
    pub(super) dialer: Dialer,
    /// The REST API of Docker Engine.
    docker: Option<Docker>,
    pub(super) buildkit: BuildKit,
    facts: EngineFacts,
}

impl Engine {
    /// Connects to an engine, reads its facts, and opens BuildKit's control connection.
    ///
    /// # Errors
    /// polyarch cannot reach the engine, it does not answer within 10 s, or it has no BuildKit (API before 1.39,
    /// Podman).
    pub async fn connect(name: EngineName, host: Endpoint) -> Result<Self, EngineError> {
        let operation = format!("connect to {host}");
        let host = match host {
            // A caller that wants all pods lists them itself.
            Endpoint::BuildKit(BuildKitHost::Pods(selected)) => {
                let ready = pods(&name, &selected).await?.into_iter();
                ready.map(BuildKitHost::Pod).next().unwrap_or(BuildKitHost::Pods(selected)).into()
            }
            host => host,
        };
        let dialer = Dialer::new(host);
        let connected = match dialer.endpoint() {
            Endpoint::Docker(_) => Self::connect_docker(name.clone(), dialer).await,
            Endpoint::BuildKit(_) => Self::connect_buildkit(name.clone(), dialer).await,
        };
        connected.map_err(|kind| EngineError { engine: name, operation, kind })
    }

    async fn connect_docker(name: EngineName, dialer: Dialer) -> Result<Self, EngineErrorKind> {
        // This connects by hand first, because the REST client hides the reason of a failure too deep for a hint.
        dialer.prove().await.map_err(EngineErrorKind::Connect)?;
        let docker = rest::client(&dialer).map_err(classify)?;
        let facts = Box::pin(within(ANSWER, facts(&docker, &dialer)));
        let connecting =
            async { buildkit::connect("docker", dial_buildkit(&dialer)).await.map_err(EngineErrorKind::from) };
        let control = Box::pin(async { Ok::<_, EngineErrorKind>(within(ANSWER, connecting).await) });
        let (facts, control) = tokio::try_join!(facts, control)?;
        if let Some(api) = facts.api.filter(|api| *api < FIRST_API) {
            let why = format!("its API version is {}.{}", api.major, api.minor);
            return Err(EngineErrorKind::NoBuildKit(why));
        }
        let (channel, workers) = control?;
        let facts = facts.with_listed(workers.platforms);
        let buildkit = BuildKit::new(channel, facts.worker());
        Ok(Self { name, dialer, docker: Some(docker), buildkit, facts })
    }

    /// The answer about its workers proves a BuildKit.
    async fn connect_buildkit(name: EngineName, dialer: Dialer) -> Result<Self, EngineErrorKind> {
        let (heard, authority) = (Heard::default(), dialer.authority());
        let connecting = async {
            let connected = buildkit::connect(&authority, dial_alone(&dialer, &heard)).await;
            connected.map_err(|error| match error {
                BuildKitError::Absent(why) => EngineErrorKind::NotBuildKit(why),
                other => other.into(),
            })
        };
        let (channel, workers) = match Box::pin(within(limit(dialer.endpoint()), connecting)).await {
            Ok(connected) => connected,
            // gRPC repeats a failed connection and reports no reason.
            Err(kind) => return Err(heard.take().map_or(kind, EngineErrorKind::Connect)),
        };
        if workers.is_of_graph_driver {
            return Err(EngineErrorKind::GraphDriver);
        }
        let facts = EngineFacts::of_buildkit(workers).map_err(EngineErrorKind::NotBuildKit)?;
        let buildkit = BuildKit::new(channel, facts.worker());
        Ok(Self { name, dialer, docker: None, buildkit, facts })
    }

    /// The REST API of Docker Engine.
    pub(super) fn docker(&self) -> Result<&Docker, EngineErrorKind> {
        self.docker.as_ref().ok_or(EngineErrorKind::NoImages)
    }

    /// Whether the engine is a BuildKit without a Docker Engine, which keeps no images.
    #[must_use]
    pub fn is_buildkit_alone(&self) -> bool {
        self.docker.is_none()
    }

    /// Its name in the plan.
    #[must_use]
    pub fn name(&self) -> &EngineName {
        &self.name
    }

    /// The facts that it reports about itself.
    #[must_use]
    pub fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    /// Whether the engine still answers on a new connection. It has as much time as for the first connection.
    pub async fn is_alive(&self) -> bool {
        Box::pin(Self::connect(self.name.clone(), self.dialer.endpoint().clone())).await.is_ok()
    }

    /// Whether the engine can push one platform of an image.
    pub(super) fn pushes_by_platform(&self) -> bool {
        self.facts.api >= Some(PUSH_PLATFORM_API)
    }

    /// Whether the engine is surely on this machine, so that both mean the same by a loopback address.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        self.dialer.endpoint().is_on_this_machine()
    }

    /// A hint how to make this engine run programs of `platform`, if it cannot run them now.
    #[must_use]
    pub fn missing_emulation(&self, platform: &Platform) -> Option<String> {
        let runs = self.facts.runs.iter().any(|host| host.runs(platform));
        (!runs).then(|| emulation_hint(&self.facts.platform, platform))
    }

    /// The digest that this engine finds under `reference` in the registry. It proves that the engine reaches the same
    /// registry as polyarch (Engine API, `/distribution/{name}/json`). The engine pulls no image.
    ///
    /// # Errors
    /// The engine cannot reach the registry, or finds nothing under the reference.
    pub async fn digest_in_registry(&self, reference: &TagRef) -> Result<Digest, EngineError> {
        let asking = async {
            let found = self.docker()?.inspect_registry_image(&reference.to_string(), None).await.map_err(classify)?;
            let digest = found.descriptor.digest.unwrap_or_default();
            digest.parse().map_err(|_| EngineErrorKind::NoProof(format!("the engine reports the digest {digest:?}")))
        };
        within(ANSWER, asking).await.map_err(|kind| self.error(format!("look up {reference} in the registry"), kind))
    }

    /// The clock and the disk of the engine. BuildKit alone reports neither.
    ///
    /// # Errors
    /// The engine does not answer, or it is a BuildKit alone.
    pub async fn condition(&self) -> Result<EngineCondition, EngineError> {
        let asking = async {
            let info = self.docker()?.info().await.map_err(classify)?;
            let clock = info.system_time.and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
            Ok(EngineCondition { clock: clock.map(Into::into), directory: info.docker_root_dir.map(Into::into) })
        };
        within(ANSWER, asking).await.map_err(|kind| self.error("report its condition".into(), kind))
    }

    pub(super) fn error(&self, operation: String, kind: EngineErrorKind) -> EngineError {
        EngineError { engine: self.name.clone(), operation, kind }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("name", &self.name).field("facts", &self.facts).finish_non_exhaustive()
    }
}

async fn facts(docker: &Docker, dialer: &Dialer) -> Result<EngineFacts, EngineErrorKind> {
    let (version, info) = if dialer.starts_programs() {
        // One connection carries both requests.
        let version = docker.version().await.map_err(classify)?;
        (version, docker.info().await.map_err(classify)?)
    } else {
        // The requests run at the same time, because older engines start programs to answer each of them.
        tokio::try_join!(docker.version(), docker.info()).map_err(classify)?
    };
    EngineFacts::of(&version, &info).map_err(EngineErrorKind::NoBuildKit)
}

/// Opens streams to the engine's BuildKit.
fn dial_buildkit(dialer: &Dialer) -> impl Fn() -> BoxFuture<'static, io::Result<Upgraded>> + Send + 'static {
    let dialer = dialer.clone();
    move || {
        let dialer = dialer.clone();
        async move { upgrade(&dialer, "/grpc", &[]).await }.boxed()
    }
}

/// How long BuildKit may take to identify itself.
fn limit(endpoint: &Endpoint) -> Duration {
    if matches!(endpoint, Endpoint::BuildKit(BuildKitHost::Builder(_))) { BUILDER } else { ANSWER }
}

/// Opens streams to a BuildKit without a Docker Engine.
fn dial_alone(
    dialer: &Dialer,
    heard: &Heard,
) -> impl Fn() -> BoxFuture<'static, io::Result<HeardConnection>> + Send + 'static {
    let (dialer, heard) = (dialer.clone(), heard.clone());
    move || {
        let (dialer, heard) = (dialer.clone(), heard.clone());
        async move { heard.result(dialer.connect().await) }.boxed()
    }
}
