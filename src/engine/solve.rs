//! One `Control.Solve`: builds one platform of one image, as buildx does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bollard::moby::buildkit::v1::{SolveRequest, StatusRequest};
use futures::future::select_all;
use tokio::sync::mpsc;
use tonic::Status;

use super::cache::{self, Caches};
use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::exporter::{exporter, exporter_attrs};
use super::facts::{EngineFacts, ImageStore};
use super::fault::{BuildCause, BuildFault};
use super::request::{BuildRequest, EngineNames, Output, frontend_attrs};
use super::rest::{ANSWER, classify, within};
use super::session::{Session, UPLOAD_IDLE, random_id};
use super::source::excerpt;
use super::status::{BuildEvent, BuildSummary, NotStarted, Steps};
use crate::oci::{Digest, Platform, Provider, TagRef};
use crate::plan::Network;
use crate::text::innermost;

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
        let mut steps = Steps::default();
        let sessions = [Some(session), request.context.map(|context| context.session)];
        let sessions = || sessions.into_iter().flatten();
        let stalled = select_all(sessions().map(|session| Box::pin(session.stalled())));
        let solved = tokio::select! {
            solved = self.solve(request, session, &mut steps, &events) => solved,
            (bytes, ..) = stalled => {
                return Err(failed(EngineErrorKind::UploadStalled { bytes, seconds: UPLOAD_IDLE.as_secs() }));
            }
        };
        let response = solved.map_err(|status| failed(why(&status, session, &steps, (self.facts(), request))))?;
        let id = image_id(&response).map_err(failed)?;
        if let Some(path) = sessions().find_map(Session::socket) {
            let message = format!("polyarch skips the socket {path} in the build context: no image can hold sockets");
            // This result does not matter: a receiver that went away needs no events.
            let _ = events.send(BuildEvent::Warning { message, url: String::new() }).await;
        }
        cache::publish(request.build, &response).await.map_err(failed)?;
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
            summary: steps.summary(),
            took: started.elapsed(),
            context_bytes: sessions().map(Session::take_sent_bytes).sum(),
        })
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

    /// Runs Solve and the status stream side by side. The answer is Solve's.
    async fn solve(
        &self,
        request: &BuildRequest<'_>,
        session: &Session,
        steps: &mut Steps,
        events: &mpsc::Sender<BuildEvent>,
    ) -> Result<HashMap<String, String>, Status> {
        let (manifests, said) = cache::look(request.build).await;
        for event in said {
            // This result does not matter: a receiver that went away needs no events.
            let _ = events.send(event).await;
        }
        let id = random_id();
        let mut control = self.control.clone();
        let caches = Caches::of(request, &manifests);
        let mut solve = std::pin::pin!(control.solve(self.solve_request(&id, request, caches, session.id())));
        let heard = AtomicU64::new(0);
        let mut status = std::pin::pin!(self.follow(&id, request, steps, (events, &heard)));
        let answer = tokio::select! {
            answer = &mut solve => {
                // The stream ends just before or just after the answer. polyarch waits for the rest of the log while it
                // arrives, and a moment longer. The log does not change the result.
                for _ in 0..MOST_LAST_WORDS {
                    let before = heard.load(Ordering::Relaxed);
                    let ended = tokio::time::timeout(LAST_WORDS, &mut status).await.is_ok();
                    if ended || heard.load(Ordering::Relaxed) == before {
                        break;
                    }
                }
                answer
            }
            () = &mut status => solve.await,
        };
        answer.map(|response| response.into_inner().exporter_response)
    }

    fn solve_request(&self, id: &str, request: &BuildRequest<'_>, caches: Caches, session: &str) -> SolveRequest {
        let mut entitlements = Vec::new();
        if request.build.network == Network::Host {
            entitlements.push("network.host".to_owned());
        }
        let mut solve = SolveRequest {
            r#ref: id.to_owned(),
            session: session.to_owned(),
            frontend: "dockerfile.v0".into(),
            frontend_attrs: frontend_attrs(self.facts(), request, &caches),
            // BuildKit 0.8 does not know the fields that replaced these. Newer versions still read the old ones.
            exporter_deprecated: exporter(self.facts().store).into(),
            exporter_attrs_deprecated: exporter_attrs(request),
            cache: Some(caches.into_options()),
            entitlements,
            ..SolveRequest::default()
        };
        if let Some(context) = request.context {
            context.add_to(&mut solve);
        }
        solve
    }

    /// Forwards the build's status until the stream ends. Only Solve's answer decides on the result.
    async fn follow(
        &self,
        id: &str,
        request: &BuildRequest<'_>,
        steps: &mut Steps,
        (events, heard): (&mpsc::Sender<BuildEvent>, &AtomicU64),
    ) {
        let mut control = self.control.clone();
        let Ok(stream) = control.status(StatusRequest { r#ref: id.to_owned() }).await else { return };
        let mut stream = stream.into_inner();
        while let Ok(Some(message)) = stream.message().await {
            heard.fetch_add(1, Ordering::Relaxed);
            for event in steps.take(message) {
                if events.send(cache::in_our_words(event, request.build)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Proves that the engine's image `id` has the planned platform.
    async fn inspect(&self, id: &Digest, planned: &Platform) -> Result<(), EngineErrorKind> {
        let asking = async { self.docker.inspect_image(id.as_str()).await.map_err(classify) };
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

/// The meaning of the status that ended Solve.
pub(super) fn why(
    status: &Status,
    session: &Session,
    steps: &Steps,
    (facts, request): (&EngineFacts, &BuildRequest<'_>),
) -> EngineErrorKind {
    // BuildKit repeats the text of polyarch's own error. polyarch's value also has a hint.
    let is_why = |text: String| status.message().contains(&text);
    let served = [Some(session), request.context.map(|context| context.session)];
    let context_error = served.into_iter().flatten().find_map(Session::context_error);
    if let Some(error) = context_error.filter(|error| is_why(error.to_string())) {
        return EngineErrorKind::Context(error);
    }
    if let Some(error) = session.auth_error().filter(|error| is_why(error.to_string())) {
        return EngineErrorKind::Credentials(error);
    }
    // A status from the engine has no source. A status that tonic made of a broken connection has one.
    if let Some(source) = std::error::Error::source(status) {
        return EngineErrorKind::Lost(innermost(source));
    }
    if let Some(to) = cache::exported_to(request).filter(|_| steps.failed_to_export_cache()) {
        return EngineErrorKind::CacheExport { to, message: plain(status.message()) };
    }
    if let Output::Engine(names) = request.to
        && is_of_another_naming(status.message(), &names.shared)
    {
        return EngineErrorKind::NameTaken(names.shared.clone());
    }
    if let Some(message) = unpushed(status.message()) {
        let to = request.to.repository();
        return EngineErrorKind::Push { message, ecr: None }.pushing_to(to, Provider::of(to.host()));
    }
    let at = excerpt(status.details(), session.added_lines());
    let fault = BuildFault::of(session.in_lines_of_the_file(plain(status.message())), steps.failed(), at);
    let said = status.message().contains("exec format error").then_some(NotStarted::Format);
    let platform = request.platform.clone();
    let cause = match said.or(steps.not_started()) {
        Some(NotStarted::Format) if facts.platform.runs(&platform) => BuildCause::NotAProgram(platform),
        Some(NotStarted::Format) => BuildCause::NotEmulated(platform),
        // One step may print such a message and continue, while another step fails for a different reason.
        Some(NotStarted::Interpreter) if fault.cause == BuildCause::Other => BuildCause::NoInterpreter,
        Some(NotStarted::Interpreter) | None => fault.cause,
    };
    EngineErrorKind::Build(Box::new(BuildFault { cause, ..fault }))
}

/// Whether containerd reports that another build created the name between BuildKit's two steps of naming an image.
/// BuildKit first tries to update the name, and creates it if it does not exist (`exporter/containerimage`).
fn is_of_another_naming(message: &str, name: &TagRef) -> bool {
    plain(message) == format!("image {:?}: already exists", name.to_string())
}

/// BuildKit's message about a failed push (`exporter/containerimage`, `failed to push NAME`). Other failures of Solve
/// are failures of the build.
fn unpushed(message: &str) -> Option<String> {
    let message = plain(message);
    message.starts_with("failed to push ").then_some(message)
}

/// How long the status stream may be silent after Solve's answer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The most such periods while the stream continues.
const MOST_LAST_WORDS: u32 = 30;

/// BuildKit's answer: `containerimage.digest` is the image's id in the engine's own store.
fn image_id(response: &HashMap<String, String>) -> Result<Digest, EngineErrorKind> {
    let answer = response.get("containerimage.digest").map(String::as_str).unwrap_or_default();
    answer.parse().map_err(|_| EngineErrorKind::NoProof(format!("BuildKit answered with the digest {answer:?}")))
}

/// BuildKit's message without the prefixes of all messages.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("failed to solve: ").unwrap_or(message);
    let rpc = message.strip_prefix("rpc error: code = Unknown desc = ").unwrap_or(message);
    let said = rpc.strip_prefix("failed to solve with frontend dockerfile.v0: ").unwrap_or(rpc);
    said.strip_prefix("failed to create LLB definition: ").unwrap_or(said).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_conflict_is_recognised_only_for_the_own_name() {
        let name = "127.0.0.1:5000/hello:1.0-amd64";
        let reference: crate::oci::Reference = name.parse().unwrap();
        let name = TagRef { repository: reference.repository, tag: "1.0-amd64".parse().unwrap() };
        for (message, is) in [
            (r#"image "127.0.0.1:5000/hello:1.0-amd64": already exists"#, true),
            (r#"failed to solve: image "127.0.0.1:5000/hello:1.0-amd64": already exists"#, true),
            (r#"image "127.0.0.1:5000/hello:1.0-arm64": already exists"#, false),
            ("process \"/bin/sh -c mkdir /x\" did not complete: mkdir: /x: already exists", false),
        ] {
            assert_eq!(is_of_another_naming(message, &name), is, "{message}");
        }
    }
}
