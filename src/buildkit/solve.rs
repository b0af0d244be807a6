//! One `Control.Solve`: builds one platform of one image, as buildx does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::moby::buildkit::v1::{SolveRequest, StatusRequest};
use futures::future::select_all;
use tokio::sync::mpsc;
use tonic::Status;

use super::cache_directories;
use super::client::BuildKit;
use super::error::BuildKitError;
use super::failure::failure_of;
use super::request::{BuildRequest, Caches, exporter_attrs, frontend_attrs};
use super::session::{Session, UPLOAD_IDLE, random_id};
use super::status::{BuildEvent, BuildSummary, Steps};
use crate::oci::Digest;
use crate::plan::Network;

/// Solve's answer.
#[derive(Debug)]
pub(crate) struct Solved {
    /// The image's id in the worker's own store.
    pub(crate) id: Digest,
    /// The build's steps.
    pub(crate) summary: BuildSummary,
}

impl BuildKit {
    /// Builds one platform, and sends events to `events` as they happen. Dropping the future stops the build.
    ///
    /// # Errors
    /// - The build fails.
    /// - polyarch cannot read the context.
    /// - The connection is lost, or BuildKit reads nothing of the context for 60 s.
    /// - Solve answers without an image.
    pub(crate) async fn solve(
        &self,
        request: &BuildRequest<'_>,
        session: &Session,
        events: &mpsc::Sender<BuildEvent>,
    ) -> Result<Solved, BuildKitError> {
        let mut steps = Steps::default();
        let stalled = select_all(request.sessions(session).map(|session| Box::pin(session.stalled())));
        let solved = tokio::select! {
            solved = self.run(request, session, &mut steps, events) => solved,
            (bytes, ..) = stalled => {
                return Err(BuildKitError::UploadStalled { bytes, seconds: UPLOAD_IDLE.as_secs() });
            }
        };
        let response = solved.map_err(|status| failure_of(&status, session, &steps, (&self.worker, request)))?;
        let id = image_id(&response)?;
        if let Some(path) = request.sessions(session).find_map(Session::socket) {
            let message = format!("polyarch skips the socket {path} in the build context: no image can hold sockets");
            // This result does not matter: a receiver that went away needs no events.
            let _ = events.send(BuildEvent::Warning { message, url: String::new() }).await;
        }
        cache_directories::publish(request.build, &response).await?;
        Ok(Solved { id, summary: steps.summary() })
    }

    /// Runs Solve and the status stream side by side. The answer is Solve's.
    async fn run(
        &self,
        request: &BuildRequest<'_>,
        session: &Session,
        steps: &mut Steps,
        events: &mpsc::Sender<BuildEvent>,
    ) -> Result<HashMap<String, String>, Status> {
        let (manifests, said) = cache_directories::find(request.build).await;
        for event in said {
            // This result does not matter: a receiver that went away needs no events.
            let _ = events.send(event).await;
        }
        let id = random_id();
        let mut control = self.control();
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
            frontend_attrs: frontend_attrs(&self.worker, request, &caches),
            // BuildKit 0.8 does not know the fields that replaced these. Newer versions still read the old ones.
            exporter_deprecated: self.worker.exporter.as_str().into(),
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
        let mut control = self.control();
        let Ok(stream) = control.status(StatusRequest { r#ref: id.to_owned() }).await else { return };
        let mut stream = stream.into_inner();
        while let Ok(Some(message)) = stream.message().await {
            heard.fetch_add(1, Ordering::Relaxed);
            for event in steps.take(message) {
                if events.send(cache_directories::with_directory_names(event, request.build)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How long the status stream may be silent after Solve's answer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The most such periods while the stream continues.
const MOST_LAST_WORDS: u32 = 30;

/// BuildKit's answer: `containerimage.digest` is the image's id in the engine's own store.
fn image_id(response: &HashMap<String, String>) -> Result<Digest, BuildKitError> {
    let answer = response.get("containerimage.digest").map(String::as_str).unwrap_or_default();
    answer.parse().map_err(|_| BuildKitError::NoProof(format!("BuildKit answered with the digest {answer:?}")))
}
