//! Builds on an engine: BuildKit builds, and the engine shows the image that it keeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::facts::ImageStore;
use super::rest::{ANSWER, classify, within};
use super::upgrade::upgrade;
use crate::aws::Provider;
use crate::buildkit::{
    BuildEvent, BuildKitError, BuildRequest, BuildSummary, EngineNames, Lint, Output, Session, SessionServices,
    SessionSpec, Solved,
};
use crate::oci::{Digest, Platform, TagRef};

/// A built image. Solve answered with its id. If the engine keeps the image, the engine also showed the planned
/// platform for it.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltImage {
    /// The engine's id: the digest of the config or of the manifest, depending on [`ImageStore`]. For an image with
    /// attestations this is the digest of the index with both.
    pub id: Digest,
    /// The store of the image, which decides the meaning of the id.
    pub store: ImageStore,
    /// The build's steps.
    pub summary: BuildSummary,
    /// The duration of the build.
    pub took: Duration,
    /// The bytes of the context's files that the engine requested for this build. The Dockerfile and `.dockerignore` do
    /// not count, because every build reads them again.
    pub context_bytes: u64,
}

impl Engine {
    /// Opens a session on the engine.
    ///
    /// # Errors
    /// polyarch cannot read the context or a Dockerfile, or the engine refuses.
    pub async fn open_session(&self, spec: SessionSpec) -> Result<Session, EngineError> {
        let failed = |kind| self.error("open a build session".into(), kind);
        let services =
            SessionServices::open(spec).map_err(|error| failed(EngineErrorKind::Context(Arc::new(error))))?;
        if self.is_buildkit_alone() {
            let opening = async { self.buildkit.open_session(services).await.map_err(EngineErrorKind::from) };
            return within(ANSWER, opening).await.map_err(failed);
        }
        let upgrading = async {
            upgrade(&self.dialer, "/session", &services.introduction()).await.map_err(EngineErrorKind::Connect)
        };
        let connection = within(ANSWER, upgrading).await.map_err(failed)?;
        Ok(services.serve(connection))
    }

    /// Builds one platform, and sends events to `events` as they happen. Dropping the future stops the build on the
    /// engine.
    ///
    /// # Errors
    /// - The build fails.
    /// - polyarch cannot read the context.
    /// - The engine is lost, or reads nothing of the context for 60 s.
    /// - Solve answers without an image, or the image has another platform.
    pub async fn build(
        &self,
        request: &BuildRequest<'_>,
        session: &Session,
        events: mpsc::Sender<BuildEvent>,
    ) -> Result<BuiltImage, EngineError> {
        let failed = |kind| self.error(format!("build {}", request.platform), kind);
        let started = Instant::now();
        let solved = self.buildkit.solve(request, session, &events).await;
        let Solved { id, summary } = solved.map_err(|error| failed(kind(error, request)))?;
        // The engine does not keep a pushed image. polyarch later checks the content of the registry instead.
        if let Output::Engine(names) = request.to {
            if !request.build.attest.is_nothing() {
                self.give_own_name(&id, names).await?;
            }
            self.inspect(&id, request.platform).await.map_err(failed)?;
        }
        Ok(BuiltImage {
            id,
            store: self.facts().store,
            summary,
            took: started.elapsed(),
            context_bytes: request.sessions(session).map(Session::take_sent_bytes).sum(),
        })
    }

    /// Lints the Dockerfile of a build. The engine must [support this](super::EngineFacts::checks). The engine builds
    /// nothing, and base images from the plan count as empty images.
    ///
    /// # Errors
    /// The engine cannot read the Dockerfile, its frontend has no lint, or the engine is lost.
    pub async fn check(&self, request: &BuildRequest<'_>, session: &Session) -> Result<Lint, EngineError> {
        let failed = |kind| self.error(format!("check the Dockerfile for {}", request.platform), kind);
        self.buildkit.check(request, session).await.map_err(|error| failed(kind(error, request)))
    }

    /// Gives an image its own name, if BuildKit did not. Another build may have taken the image's other name already.
    async fn give_own_name(&self, id: &Digest, names: &EngineNames) -> Result<(), EngineError> {
        let TagRef { repository, tag } = &names.own;
        self.name_image(id, &repository.familiar(), tag.as_str()).await.map_err(|error| {
            let taken = || EngineErrorKind::NameTaken(names.shared.clone());
            let kind = if error.is_of_another_naming() { taken() } else { error.kind };
            EngineError { kind, ..error }
        })
    }

    /// Proves that the engine's image `id` has the planned platform.
    async fn inspect(&self, id: &Digest, planned: &Platform) -> Result<(), EngineErrorKind> {
        let asking = async { self.docker()?.inspect_image(id.as_str()).await.map_err(classify) };
        let image = within(ANSWER, asking).await?;
        let text = |field: Option<String>| field.unwrap_or_default();
        let (os, architecture, variant) = (text(image.os), text(image.architecture), text(image.variant));
        let actual = Platform::new(&os, &architecture, Some(&variant));
        if actual.as_ref().is_ok_and(|actual| planned.is_based_on(actual)) {
            return Ok(());
        }
        let actual = actual.map_or_else(|_| format!("{os:?}/{architecture:?}"), |platform| platform.to_string());
        Err(EngineErrorKind::WrongPlatform { planned: planned.clone(), actual, id: id.clone() })
    }
}

/// The failure of a build that may push.
fn kind(error: BuildKitError, request: &BuildRequest<'_>) -> EngineErrorKind {
    let to = request.to.repository();
    EngineErrorKind::from(error).pushing_to(to, Provider::of(to.host()))
}
