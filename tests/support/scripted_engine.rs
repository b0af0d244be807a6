//! A Docker Engine that does what a test tells it to do, and fails the test when it is asked anything else.
//!
//! It speaks what polyarch uses: the Engine API's version, info, inspect, tag, push and distribution, BuildKit's
//! control API over `POST /grpc`, and `POST /session`, where it is the client. What Solve and a push do is a future
//! of the test's: it may wait for a gate, cut the connection, ask for files as slowly as it likes.

mod control;
pub(crate) mod receiver;
mod rest;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bollard::moby::buildkit::v1::SolveResponse;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) use control::SolveCall;
pub(crate) use rest::{PushCall, Rest};

use super::images::Image;
use super::parts::LIMIT;
use super::store::Store;

type SolveScript = dyn Fn(SolveCall) -> BoxFuture<'static, Result<SolveResponse, Status>> + Send + Sync;
type PushScript = dyn Fn(PushCall) -> BoxFuture<'static, ()> + Send + Sync;
type RestScript = dyn Fn(&str) -> Option<Rest> + Send + Sync;

/// What an engine is and does. It begins as a willing Engine 20.10 on amd64.
#[derive(Clone)]
pub(crate) struct Script {
    architecture: &'static str,
    api: &'static str,
    /// What BuildKit there can run.
    runs: Vec<&'static str>,
    containerd: bool,
    solve: Arc<SolveScript>,
    push: Arc<PushScript>,
    rest: Arc<RestScript>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            architecture: "amd64",
            api: "1.41",
            runs: vec!["linux/amd64", "linux/arm64"],
            containerd: false,
            solve: Arc::new(|call| Box::pin(async move { call.built() })),
            push: Arc::new(|call| Box::pin(async move { call.pushed() })),
            rest: Arc::new(|_| None),
        }
    }
}

impl Script {
    pub(crate) fn runs(mut self, platforms: &[&'static str]) -> Self {
        self.runs = platforms.to_vec();
        self
    }

    /// The architecture of its processor.
    pub(crate) fn on(mut self, architecture: &'static str) -> Self {
        self.architecture = architecture;
        self
    }

    /// As Engine 28 with containerd's image store.
    pub(crate) fn containerd(mut self) -> Self {
        (self.api, self.containerd) = ("1.51", true);
        self
    }

    /// What a build does.
    pub(crate) fn solve<F>(mut self, solve: impl Fn(SolveCall) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<SolveResponse, Status>> + Send + 'static,
    {
        self.solve = Arc::new(move |call| Box::pin(solve(call)));
        self
    }

    /// What a push does.
    pub(crate) fn push<F>(mut self, push: impl Fn(PushCall) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.push = Arc::new(move |call| Box::pin(push(call)));
        self
    }

    /// Answers `METHOD path` in another way than a willing engine.
    pub(crate) fn rest(mut self, rest: impl Fn(&str) -> Option<Rest> + Send + Sync + 'static) -> Self {
        self.rest = Arc::new(rest);
        self
    }
}

/// How often something was begun, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) started: usize,
    pub(crate) finished: usize,
    /// The client went away.
    pub(crate) cancelled: usize,
    /// The most at a time.
    pub(crate) most: usize,
}

/// What happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) solves: Tally,
    pub(crate) pushes: Tally,
    /// All requests.
    pub(crate) requests: usize,
}

/// What connections of one engine share.
struct State {
    script: Script,
    store: Store,
    /// Images on the engine, by id; those that were built under a name, by it.
    images: Mutex<HashMap<String, Image>>,
    requests: Mutex<Vec<String>>,
    unexpected: Mutex<Vec<String>>,
    sessions: watch::Sender<HashMap<String, Channel>>,
    progress: control::Progress,
    counts: watch::Sender<Counts>,
    /// Ends everything, as if the process was killed.
    killed: CancellationToken,
}

/// The engine. Dropping it ends it, and fails the test if it was asked what it does not know.
pub(crate) struct ScriptedEngine {
    state: Arc<State>,
    socket: PathBuf,
    server: JoinHandle<()>,
    _folder: TempDir,
}

impl ScriptedEngine {
    /// Listens. What is pushed goes to `store`.
    pub(crate) fn start(script: Script, store: &Store) -> Self {
        let folder = TempDir::with_prefix("polyarch-test-").unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(State {
            script,
            store: store.clone(),
            images: Mutex::default(),
            requests: Mutex::default(),
            unexpected: Mutex::default(),
            sessions: watch::Sender::new(HashMap::new()),
            progress: control::Progress::default(),
            counts: watch::Sender::new(Counts::default()),
            killed: CancellationToken::new(),
        });
        let server = tokio::spawn(listen(listener, state.clone()));
        Self { state, socket, server, _folder: folder }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `unix:///…`, as plans and `DOCKER_HOST` have it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The engine over plain TCP, at an address of this machine that is not loopback: as another machine's.
    pub(crate) async fn over_tcp(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = self.socket.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let socket = socket.clone();
                tokio::spawn(async move {
                    let mut to = UnixStream::connect(socket).await?;
                    tokio::io::copy_bidirectional(&mut from, &mut to).await
                });
            }
        });
        format!("tcp://0.0.0.0:{port}")
    }

    /// Ends every connection in the middle of whatever it does, and listens no more.
    pub(crate) fn kill(&self) {
        self.state.killed.cancel();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.counts.borrow().clone()
    }

    /// `METHOD path` of every request, `SOLVE platform` among them, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Waits until it was asked this `METHOD path`.
    pub(crate) async fn asked(&self, line: &str) {
        self.until(|_| self.requests().iter().any(|request| request == line)).await;
    }

    /// Waits until what happened is enough.
    pub(crate) async fn until(&self, enough: impl FnMut(&Counts) -> bool) {
        let mut counts = self.state.counts.subscribe();
        let waited = tokio::time::timeout(LIMIT, counts.wait_for(enough)).await.map(drop);
        assert!(waited.is_ok(), "it never happened: {:?}; asked was {:?}", self.counts(), self.requests());
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            let unexpected = self.state.unexpected.lock().unwrap();
            assert!(unexpected.is_empty(), "the engine was asked what it does not know: {unexpected:?}");
        }
    }
}

impl State {
    fn asked(&self, line: impl Into<String>) {
        self.requests.lock().unwrap().push(line.into());
        self.counts.send_modify(|counts| counts.requests += 1);
    }

    fn unexpected(&self, line: &str) {
        self.unexpected.lock().unwrap().push(line.to_owned());
    }

    /// The id of an image in this engine's store.
    fn id(&self, image: &Image) -> String {
        if self.script.containerd { image.manifest.digest() } else { image.config.digest() }
    }
}

async fn listen(listener: UnixListener, state: Arc<State>) {
    // The set ends the connections together with the engine.
    let mut connections = JoinSet::new();
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            let state = state.clone();
            connections.spawn(async move {
                let service = service_fn(|request| rest::answer(request, state.clone()));
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                tokio::select! {
                    // A client that goes away is what many tests are about.
                    _ = serving => {}
                    () = state.killed.cancelled() => {}
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = state.killed.cancelled() => {}
    }
}

/// Counts what goes on while it lives; dropped before [`Ongoing::finish`], it was cancelled.
struct Ongoing {
    state: Arc<State>,
    tally: fn(&mut Counts) -> &mut Tally,
    finished: bool,
}

impl Ongoing {
    fn begin(state: &Arc<State>, tally: fn(&mut Counts) -> &mut Tally) -> Self {
        state.counts.send_modify(|counts| {
            let tally = tally(counts);
            tally.started += 1;
            tally.most = tally.most.max(tally.started - tally.finished - tally.cancelled);
        });
        Self { state: state.clone(), tally, finished: false }
    }

    fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let (tally, finished) = (self.tally, self.finished);
        self.state.counts.send_modify(|counts| {
            let tally = tally(counts);
            *(if finished { &mut tally.finished } else { &mut tally.cancelled }) += 1;
        });
    }
}
