//! A gate before a registry that we did not write: every request waits there until the test lets it through.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Longest body that passes, in bytes.
const LONGEST: usize = 64 << 20;

/// The gate; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    waiting: mpsc::UnboundedReceiver<Waiting>,
    _server: AbortOnDropHandle<()>,
}

/// A request that waits. Dropped, it never gets an answer, nor to the registry.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// `METHOD /path`.
    pub(crate) line: String,
    /// Whether the program under test asks, and not an engine.
    pub(crate) is_ours: bool,
    pass: oneshot::Sender<Passage>,
}

#[derive(Debug)]
enum Passage {
    /// To the registry, and the answer back.
    Through,
    /// To the registry, and the answer to nobody; it is said when there is one.
    Swallowed(oneshot::Sender<()>),
}

#[derive(Clone)]
struct Behind {
    client: reqwest::Client,
    base: String,
    waiting: mpsc::UnboundedSender<Waiting>,
}

impl Gate {
    /// Before the registry at `base`: `http://127.0.0.1:PORT`.
    pub(crate) async fn before(base: &str) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The first test installs it; it is there for the others.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.build().unwrap();
        let behind = Behind { client, base: base.to_owned(), waiting: sender };
        let router = Router::new().fallback(hold).with_state(behind);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, waiting, _server: AbortOnDropHandle::new(server) }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Waiting {
        self.waiting.recv().await.expect("the gate is open")
    }

    /// What waits now is never answered: who asked is gone.
    pub(crate) fn forget(&mut self) {
        while self.waiting.try_recv().is_ok() {}
    }

    /// Lets everything through for as long as `work` takes.
    pub(crate) async fn open<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                waiting = self.next() => waiting.pass(),
            }
        }
    }
}

impl Waiting {
    /// Lets it through. Who asked may be gone.
    pub(crate) fn pass(self) {
        let _ = self.pass.send(Passage::Through);
    }

    /// Lets it through, and nobody gets the answer. Comes back when the registry has done what was asked.
    pub(crate) async fn swallow(self) {
        let (done, answered) = oneshot::channel();
        if self.pass.send(Passage::Swallowed(done)).is_ok() {
            let _ = answered.await;
        }
    }
}

async fn hold(State(behind): State<Behind>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Who is killed sends no more of it.
    let Ok(body) = to_bytes(body, LONGEST).await else { return std::future::pending().await };
    let target = parts.uri.path_and_query().unwrap().as_str();
    let (pass, passage) = oneshot::channel();
    let line = format!("{} {target}", parts.method);
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let is_ours = agent.is_some_and(|agent| agent.starts_with("polyarch/"));
    // Nobody waits any more when the test has ended.
    let _ = behind.waiting.send(Waiting { line, is_ours, pass });
    let Ok(passage) = passage.await else { return std::future::pending().await };
    let mut forwarded = behind.client.request(parts.method, format!("{}{target}", behind.base));
    // With the gate as its host, so that the registry's own addresses lead back here.
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
        forwarded = forwarded.header(name, value);
    }
    // The registry ends with its test, and an engine may still ask.
    let Ok(answer) = forwarded.body(body).send().await else { return std::future::pending().await };
    let mut response = Response::builder().status(answer.status());
    response.headers_mut().unwrap().extend(answer.headers().clone());
    let answer = answer.bytes().await.unwrap();
    match passage {
        Passage::Through => response.body(Body::from(answer)).unwrap(),
        Passage::Swallowed(done) => {
            let _ = done.send(());
            std::future::pending().await
        }
    }
}
