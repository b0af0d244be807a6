//! One `Control.Solve`: one platform of one image, built as buildx builds it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bollard::moby::buildkit::v1::{SolveRequest, StatusRequest};
use futures::future::select_all;
use tokio::sync::mpsc;
use tonic::Status;

use super::cache::{self, Caches};
use super::client::{Engine, EngineFacts, ImageStore};
use super::error::{EngineError, EngineErrorKind};
use super::exporter::{exporter, exporter_attrs};
use super::fault::{BuildCause, BuildFault};
use super::request::{BuildRequest, EngineNames, Output, frontend_attrs};
use super::rest::{ANSWER, classify, innermost, within};
use super::session::{Session, UPLOAD_IDLE, random_id};
use super::source::excerpt;
use super::status::{BuildEvent, BuildSummary, NotStarted, Steps};
use crate::oci::{Digest, Platform, Provider, TagRef};
use crate::plan::Network;

/// An image that was built: Solve answered with it, and inspecting it showed the planned platform, where the engine
/// keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltImage {
    /// The engine's id: the digest of the config or of the manifest, by [`ImageStore`]. Of an image with attestations
    /// that of the index that has both.
    pub id: Digest,
    /// The store that it is in, which says what the id is of.
    pub store: ImageStore,
    /// The build's steps.
    pub summary: BuildSummary,
    /// How long the build took.
    pub took: Duration,
    /// Bytes of the context's files that the engine asked of the session for this build, without Dockerfile and
    /// `.dockerignore`, which are read anew in every build.
    pub context_bytes: u64,
}

impl Engine {
    /// Builds one platform. Events go to `events` as they happen. Dropping the future stops the build on the engine.
    ///
    /// # Errors
    /// The build fails, the context cannot be read, the engine is lost or takes nothing of the context for 60 s; or Solve answers without an image, or with
    /// one that inspecting shows to be of another platform.
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
            let message = format!("the build context has sockets, which an image cannot hold: {path} is skipped");
            // A receiver that went away hears nothing.
            let _ = events.send(BuildEvent::Warning { message, url: String::new() }).await;
        }
        cache::publish(request.build, &response).await.map_err(failed)?;
        // What the engine does not keep is proved by what the registry returns.
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

    /// Gives an image its own name, where BuildKit was not to. Somebody else may have taken the image's other name
    /// already.
    async fn give_own_name(&self, id: &Digest, names: &EngineNames) -> Result<(), EngineError> {
        let TagRef { repository, tag } = &names.own;
        self.name_image(id, &repository.familiar(), tag.as_str()).await.map_err(|error| {
            let taken = || EngineErrorKind::NameTaken(names.shared.clone());
            let kind = if error.is_of_another_naming() { taken() } else { error.kind };
            EngineError { kind, ..error }
        })
    }

    /// Solve and the status stream, side by side; the answer is Solve's.
    async fn solve(
        &self,
        request: &BuildRequest<'_>,
        session: &Session,
        steps: &mut Steps,
        events: &mpsc::Sender<BuildEvent>,
    ) -> Result<HashMap<String, String>, Status> {
        let (manifests, said) = cache::look(request.build).await;
        for event in said {
            // Who does not listen is not told.
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
                // The stream ends just before or just after the answer. The rest of the log is worth waiting for while it
                // comes, and a moment more: it decides nothing.
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
            // The fields that replaced these are unknown to BuildKit 0.8; new ones still read the old.
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

    /// Forwards the build's status until the stream ends; how it ends decides nothing, Solve's answer does.
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

    /// The positive proof: what the engine has under `id` is of the planned platform.
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

/// What a status that Solve ended with means.
pub(super) fn why(
    status: &Status,
    session: &Session,
    steps: &Steps,
    (facts, request): (&EngineFacts, &BuildRequest<'_>),
) -> EngineErrorKind {
    // BuildKit repeats what our file sync told it; our own words have the hint.
    let is_why = |text: String| status.message().contains(&text);
    let served = [Some(session), request.context.map(|context| context.session)];
    let context_error = served.into_iter().flatten().find_map(Session::context_error);
    if let Some(error) = context_error.filter(|error| is_why(error.to_string())) {
        return EngineErrorKind::Context(error);
    }
    if let Some(error) = session.auth_error().filter(|error| is_why(error.to_string())) {
        return EngineErrorKind::Credentials(error);
    }
    // A status that the engine sent has no source; one that tonic made of a broken connection has.
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
        // A step may say so and go on; another one then has a reason of its own.
        Some(NotStarted::Interpreter) if fault.cause == BuildCause::Other => BuildCause::NoInterpreter,
        Some(NotStarted::Interpreter) | None => fault.cause,
    };
    EngineErrorKind::Build(Box::new(BuildFault { cause, ..fault }))
}

/// Whether containerd says that another build created the name between BuildKit's two steps of naming an image.
/// BuildKit first updates the name, and creates it where there is none (`exporter/containerimage`).
fn is_of_another_naming(message: &str, name: &TagRef) -> bool {
    plain(message) == format!("image {:?}: already exists", name.to_string())
}

/// What BuildKit says of a push that failed (`exporter/containerimage`, `failed to push NAME`), the only failure of a
/// build that is not the build's.
fn unpushed(message: &str) -> Option<String> {
    let message = plain(message);
    message.starts_with("failed to push ").then_some(message)
}

/// How long the status stream may be silent after Solve answered.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often so much time may go by while the stream goes on.
const MOST_LAST_WORDS: u32 = 30;

/// BuildKit's answer: `containerimage.digest` is the image's id in the engine's own store.
fn image_id(response: &HashMap<String, String>) -> Result<Digest, EngineErrorKind> {
    let answer = response.get("containerimage.digest").map(String::as_str).unwrap_or_default();
    answer.parse().map_err(|_| EngineErrorKind::NoProof(format!("Solve answered with the digest {answer:?}")))
}

/// BuildKit's message without what every one of them begins with.
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
    fn only_the_images_own_name_is_one_that_another_build_took() {
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
