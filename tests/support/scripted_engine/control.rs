//! BuildKit's control API, and what a build's script can do.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bollard::moby::buildkit::v1 as api;
use bollard::moby::buildkit::v1::control_server::{Control, ControlServer};
use bollard::moby::buildkit::v1::types::WorkerRecord;
use bollard::moby::buildkit::v1::{SolveRequest, SolveResponse, StatusResponse, Vertex, VertexLog};
use futures::{Stream, StreamExt};
use hyper::server::conn::http2;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::{Image, Ongoing, State};
use crate::support::images;

/// Serves the control API on a connection that was turned around.
pub(super) async fn serve(connection: Upgraded, state: Arc<State>) {
    let routes = Routes::new(ControlServer::new(Buildkit(state.clone())));
    let serving = http2::Builder::new(TokioExecutor::new())
        .serve_connection(connection, TowerToHyperService::new(routes.prepare()));
    tokio::select! {
        _ = serving => {}
        () = state.killed.cancelled() => {}
    }
}

/// The progress of builds, by their refs.
#[derive(Default)]
pub(super) struct Progress(Mutex<Builds>);

#[derive(Default)]
struct Builds {
    open: HashMap<String, Messages>,
    ended: HashSet<String>,
}

struct Messages {
    sender: mpsc::UnboundedSender<StatusResponse>,
    receiver: Option<mpsc::UnboundedReceiver<StatusResponse>>,
}

impl Default for Messages {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver: Some(receiver) }
    }
}

impl Progress {
    /// Solve and Status come in any order.
    fn sender(&self, id: &str) -> mpsc::UnboundedSender<StatusResponse> {
        self.0.lock().unwrap().open.entry(id.to_owned()).or_default().sender.clone()
    }

    fn receiver(&self, id: &str) -> Option<mpsc::UnboundedReceiver<StatusResponse>> {
        let mut builds = self.0.lock().unwrap();
        if builds.ended.contains(id) {
            return builds.open.remove(id).and_then(|messages| messages.receiver);
        }
        builds.open.entry(id.to_owned()).or_default().receiver.take()
    }

    fn end(&self, id: &str) {
        let mut builds = self.0.lock().unwrap();
        builds.ended.insert(id.to_owned());
        // What nobody has asked for yet stays to be asked for.
        if builds.open.get(id).is_some_and(|messages| messages.receiver.is_none()) {
            builds.open.remove(id);
        }
    }
}

/// One build.
pub(crate) struct SolveCall {
    pub(crate) request: SolveRequest,
    state: Arc<State>,
    progress: mpsc::UnboundedSender<StatusResponse>,
}

impl SolveCall {
    /// `linux/arm64`.
    pub(crate) fn platform(&self) -> &str {
        &self.request.frontend_attrs["platform"]
    }

    /// The name that the image is to have: `127.0.0.1:5000/hello:1.0-arm64`.
    pub(crate) fn name(&self) -> &str {
        self.names().last().unwrap()
    }

    /// All of them: the first is the run's own.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.request.exporter_attrs_deprecated["name"].split(',')
    }

    /// Bytes that a step wrote.
    pub(crate) fn log(&self, text: &str) {
        self.log_of("sha256:1", text);
    }

    /// Output of the step with this digest.
    pub(crate) fn log_of(&self, step: &str, text: &str) {
        let log = VertexLog { vertex: step.into(), msg: text.as_bytes().to_vec(), ..VertexLog::default() };
        drop(self.progress.send(StatusResponse { logs: vec![log], ..StatusResponse::default() }));
    }

    /// A step that was named.
    pub(crate) fn step(&self, name: &str) {
        let vertex = Vertex { digest: "sha256:1".into(), name: name.into(), ..Vertex::default() };
        drop(self.progress.send(StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }));
    }

    /// A step that began, and ended after so many seconds, if it did.
    pub(crate) fn step_ran(&self, name: &str, seconds: Option<i64>) {
        let mut vertex = Vertex { digest: "sha256:1".into(), name: name.into(), ..Vertex::default() };
        vertex.started.get_or_insert_default().seconds = 1;
        if let Some(seconds) = seconds {
            vertex.completed.get_or_insert_default().seconds = 1 + seconds;
        }
        drop(self.progress.send(StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }));
    }

    /// A step that failed.
    pub(crate) fn step_failed(&self, name: &str, error: &str) {
        let mut vertex =
            Vertex { digest: "sha256:1".into(), name: name.into(), error: error.into(), ..Vertex::default() };
        vertex.started.get_or_insert_default().seconds = 1;
        vertex.completed.get_or_insert_default().seconds = 2;
        drop(self.progress.send(StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }));
    }

    /// The client's session, once it is there.
    pub(crate) async fn session(&self) -> Channel {
        let mut sessions = self.state.sessions.subscribe();
        let there = sessions.wait_for(|sessions| sessions.contains_key(&self.request.session)).await.unwrap();
        there[&self.request.session].clone()
    }

    /// Success: an image of the planned platform, the same every time.
    pub(crate) fn built(&self) -> Result<SolveResponse, Status> {
        let seed = self.name().rsplit('/').next().unwrap();
        self.built_as(&images::Image::docker(self.platform(), seed))
    }

    /// Success with another image.
    #[expect(clippy::unnecessary_wraps, reason = "it is what a script ends with, as a failure is")]
    pub(crate) fn built_as(&self, image: &Image) -> Result<SolveResponse, Status> {
        let id = self.state.id(image);
        let mut images = self.state.images.lock().unwrap();
        images.insert(id.clone(), image.clone());
        images.extend(self.names().map(|name| (name.to_owned(), image.clone())));
        let exporter_response = HashMap::from([("containerimage.digest".to_owned(), id)]);
        Ok(SolveResponse { exporter_response })
    }

    /// Ends every connection of the engine, as if its process was killed.
    pub(crate) fn kill_engine(&self) {
        self.state.killed.cancel();
    }
}

struct Buildkit(Arc<State>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Buildkit {
    fn unknown<T>(&self, call: &str) -> Result<Response<T>, Status> {
        self.0.unexpected(call);
        Err(Status::unimplemented(call.to_owned()))
    }
}

#[tonic::async_trait]
impl Control for Buildkit {
    type PruneStream = Answers<api::UsageRecord>;
    type StatusStream = Answers<StatusResponse>;
    type SessionStream = Answers<api::BytesMessage>;
    type ListenBuildHistoryStream = Answers<api::BuildHistoryEvent>;

    async fn solve(&self, request: Request<SolveRequest>) -> Result<Response<SolveResponse>, Status> {
        let request = request.into_inner();
        let id = request.r#ref.clone();
        let mut ongoing = Ongoing::begin(&self.0, |counts| &mut counts.solves);
        let call = SolveCall { progress: self.0.progress.sender(&id), request, state: self.0.clone() };
        self.0.asked(format!("SOLVE {} {}", call.name(), call.platform()));
        let answer = (self.0.script.solve)(call).await;
        self.0.progress.end(&id);
        ongoing.finish();
        answer.map(Response::new)
    }

    async fn status(&self, request: Request<api::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let messages = self.0.progress.receiver(&request.into_inner().r#ref);
        Ok(Response::new(match messages {
            Some(messages) => Box::pin(UnboundedReceiverStream::new(messages).map(Ok)),
            None => Box::pin(futures::stream::empty()),
        }))
    }

    async fn list_workers(
        &self,
        _: Request<api::ListWorkersRequest>,
    ) -> Result<Response<api::ListWorkersResponse>, Status> {
        let mut worker = WorkerRecord { id: "worker".into(), ..WorkerRecord::default() };
        for platform in &self.0.script.runs {
            let mut parts = platform.split('/').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            // bollard exports no path to the type of an entry.
            let mut entry = default_of(&worker.platforms);
            (entry.os, entry.architecture, entry.variant) = (next(), next(), next());
            worker.platforms.push(entry);
        }
        Ok(Response::new(api::ListWorkersResponse { record: vec![worker] }))
    }

    async fn disk_usage(&self, _: Request<api::DiskUsageRequest>) -> Result<Response<api::DiskUsageResponse>, Status> {
        self.unknown("DiskUsage")
    }

    async fn prune(&self, _: Request<api::PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        self.unknown("Prune")
    }

    async fn session(&self, _: Request<Streaming<api::BytesMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        self.unknown("Session")
    }

    async fn info(&self, _: Request<api::InfoRequest>) -> Result<Response<api::InfoResponse>, Status> {
        self.unknown("Info")
    }

    async fn listen_build_history(
        &self,
        _: Request<api::BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        self.unknown("ListenBuildHistory")
    }

    async fn update_build_history(
        &self,
        _: Request<api::UpdateBuildHistoryRequest>,
    ) -> Result<Response<api::UpdateBuildHistoryResponse>, Status> {
        self.unknown("UpdateBuildHistory")
    }
}

fn default_of<T: Default>(_: &[T]) -> T {
    T::default()
}
