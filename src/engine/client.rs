//! The client of an engine that polyarch has reached and identified.

use std::io;

use bollard::Docker;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::error::{EngineError, EngineErrorKind};
use super::facts::{ApiVersion, EngineFacts};
use super::rest::{self, ANSWER, classify, within};
use super::upgrade::{Upgraded, upgrade};
use crate::buildkit::{self, BuildKit, emulation_hint};
use crate::connect::Dialer;
use crate::oci::{Digest, Platform, TagRef};
use crate::plan::{EngineHost, EngineName};

/// The first API whose engines have BuildKit.
const FIRST_API: ApiVersion = ApiVersion { major: 1, minor: 39 };
/// The first API with a platform for pushes. Without a platform, an engine with the containerd store may push something
/// other than the image that it built (moby#47679).
const PUSH_PLATFORM_API: ApiVersion = ApiVersion { major: 1, minor: 46 };

/// A Docker Engine.
pub struct Engine {
    name: EngineName,
    pub(super) dialer: Dialer,
    pub(super) docker: Docker,
    pub(super) buildkit: BuildKit,
    facts: EngineFacts,
}

impl Engine {
    /// Connects to an engine, reads its facts, and opens BuildKit's control connection.
    ///
    /// # Errors
    /// polyarch cannot reach the engine, it does not answer within 10 s, or it has no BuildKit (API before 1.39,
    /// Podman).
    pub async fn connect(name: EngineName, host: EngineHost) -> Result<Self, EngineError> {
        let dialer = Dialer::new(host);
        let operation = format!("connect to {}", dialer.host());
        let failed = |kind| EngineError { engine: name.clone(), operation: operation.clone(), kind };
        // This connects by hand first, because the REST client hides the reason of a failure too deep for a hint.
        dialer.prove().await.map_err(|error| failed(EngineErrorKind::Connect(error)))?;
        let docker = rest::client(&dialer).map_err(|error| failed(classify(error)))?;
        // The requests run at the same time, because older engines start programs to answer each of them.
        let facts = Box::pin(within(ANSWER, facts(&docker)));
        let connecting = async { buildkit::connect(dial_buildkit(&dialer)).await.map_err(EngineErrorKind::from) };
        let control = Box::pin(async { Ok::<_, EngineErrorKind>(within(ANSWER, connecting).await) });
        let (facts, control) = tokio::try_join!(facts, control).map_err(&failed)?;
        if facts.api < FIRST_API {
            return Err(failed(EngineErrorKind::NoBuildKit(format!(
                "its API version is {}.{}",
                facts.api.major, facts.api.minor
            ))));
        }
        let (channel, listed) = control.map_err(&failed)?;
        let facts = facts.with_listed(listed);
        let buildkit = BuildKit::new(channel, facts.worker());
        Ok(Self { name, dialer, docker, buildkit, facts })
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

    /// Whether the engine can push one platform of an image.
    pub(super) fn pushes_by_platform(&self) -> bool {
        self.facts.api >= PUSH_PLATFORM_API
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
            let found = self.docker.inspect_registry_image(&reference.to_string(), None).await.map_err(classify)?;
            let digest = found.descriptor.digest.unwrap_or_default();
            digest.parse().map_err(|_| EngineErrorKind::NoProof(format!("the engine reports the digest {digest:?}")))
        };
        within(ANSWER, asking).await.map_err(|kind| self.error(format!("look up {reference} in the registry"), kind))
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

async fn facts(docker: &Docker) -> Result<EngineFacts, EngineErrorKind> {
    let (version, info) = tokio::try_join!(docker.version(), docker.info()).map_err(classify)?;
    EngineFacts::of(&version, &info)
}

/// Opens streams to the engine's BuildKit.
fn dial_buildkit(dialer: &Dialer) -> impl Fn() -> BoxFuture<'static, io::Result<Upgraded>> + Send + 'static {
    let dialer = dialer.clone();
    move || {
        let dialer = dialer.clone();
        async move { upgrade(&dialer, "/grpc", &[]).await }.boxed()
    }
}
