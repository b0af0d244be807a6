//! The Engine API's REST side.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::transport::Endpoint;

use super::{Image, Ongoing, State, control};
use crate::support::images;

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Lines = mpsc::UnboundedSender<io::Result<Bytes>>;

/// What of a stream is on its way before it is read, in bytes.
const WINDOW: u32 = (64 << 10) - 1;

/// What the engine does in place of a willing answer.
pub(crate) enum Rest {
    /// A status and a body.
    Answer(u16, String),
    /// The connection ends in the middle of the body.
    Cut(String),
    /// Nothing, for ever.
    Silence,
    /// A status, a beginning, and then one text again and again, for ever.
    Endless(u16, &'static str, &'static str),
}

/// One push.
pub(crate) struct PushCall {
    /// `hello`: without the registry's host.
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// `X-Registry-Auth`, as it came.
    pub(crate) auth: String,
    image: Option<Image>,
    state: Arc<State>,
    lines: Lines,
}

impl PushCall {
    /// What is pushed.
    pub(crate) fn image(&self) -> &Image {
        self.image.as_ref().expect("it was built")
    }

    /// A line of the engine's answer, whatever it is.
    pub(crate) fn line(&self, line: &str) {
        drop(self.lines.send(Ok(Bytes::from(format!("{line}\r\n")))));
    }

    /// Ends the connection in the middle of the answer.
    pub(crate) fn cut(&self) {
        drop(self.lines.send(Err(io::ErrorKind::ConnectionReset.into())));
    }

    /// The image goes to the registry; nothing is said of it.
    pub(crate) fn store(&self) {
        self.state.store.push(&self.repository, &self.tag, self.image());
    }

    /// Somebody else pushes to the same tag.
    pub(crate) fn move_tag(&self, image: &Image) {
        self.state.store.push(&self.repository, &self.tag, image);
    }

    /// Success: the image is in the registry, and the engine says so.
    pub(crate) fn pushed(&self) {
        self.store();
        let digest = self.image().manifest.digest();
        self.line(r#"{"status":"Pushed","progressDetail":{},"id":"layer"}"#);
        self.line(&json!({ "status": format!("{}: digest: {digest} size: 528", self.tag) }).to_string());
    }
}

pub(super) async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<Body>> {
    let path = request.uri().path();
    // `/v1.41/info` is `/info`.
    let versioned = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/'));
    let path = versioned.map_or_else(|| decode(path), |(_, rest)| decode(&format!("/{rest}")));
    let line = format!("{} {path}", request.method());
    state.asked(&line);
    match (state.script.rest)(&line) {
        Some(Rest::Answer(status, body)) => return Ok(respond(status, body)),
        Some(Rest::Cut(body)) => {
            let pieces = vec![Ok(Bytes::from(body)), Err(io::ErrorKind::ConnectionReset.into())];
            return Ok(streamed(stream::iter(pieces)));
        }
        Some(Rest::Silence) => std::future::pending().await,
        Some(Rest::Endless(status, first, then)) => {
            let piece = Bytes::from(then.repeat((16 << 10) / then.len()));
            let pieces = stream::once(async move { Ok(Bytes::from(first)) })
                .chain(stream::repeat_with(move || Ok(piece.clone())));
            let mut response = streamed(pieces);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            return Ok(response);
        }
        None => {}
    }
    Ok(match line.as_str() {
        "GET /_ping" => respond(200, "OK"),
        "GET /version" => respond(200, version(&state)),
        "GET /info" => respond(200, info(&state)),
        "POST /grpc" => grpc(request, state),
        "POST /session" => session(request, &state),
        // The registry is there, and does not have the tag.
        line if line.starts_with("GET /distribution/") => respond(404, r#"{"message":"manifest unknown"}"#),
        _ => image(&line, &request, &state).unwrap_or_else(|| {
            state.unexpected(&line);
            respond(501, r#"{"message":"not in the script"}"#)
        }),
    })
}

fn version(state: &State) -> String {
    let script = &state.script;
    json!({ "Version": "20.10.24", "ApiVersion": script.api, "Os": "linux", "Arch": script.architecture }).to_string()
}

fn info(state: &State) -> String {
    let driver = if state.script.containerd { "io.containerd.snapshotter.v1" } else { "none" };
    json!({ "DriverStatus": [["driver-type", driver]] }).to_string()
}

/// The requests about one image.
fn image(line: &str, request: &Request<Incoming>, state: &Arc<State>) -> Option<Response<Body>> {
    if let Some(name) = line.strip_prefix("POST /images/").and_then(|rest| rest.strip_suffix("/push")) {
        return Some(push(name, request, state));
    }
    if line.starts_with("POST /images/") && line.ends_with("/tag") {
        return Some(respond(201, ""));
    }
    if let Some(name) = line.strip_prefix("DELETE /images/") {
        let removed = state.images.lock().unwrap().remove(name);
        return Some(if removed.is_some() {
            respond(200, "[]")
        } else {
            respond(404, r#"{"message":"No such image"}"#)
        });
    }
    if line == "GET /images/json" {
        return Some(respond(200, "[]"));
    }
    let name = line.strip_prefix("GET /images/")?.strip_suffix("/json")?;
    let found = state.images.lock().unwrap().get(name).cloned();
    let Some(image) = found else { return Some(respond(404, r#"{"message":"no such image"}"#)) };
    let fields = images::fields(&image.platform);
    let inspected = json!({
        "Id": state.id(&image),
        "Os": fields["os"],
        "Architecture": fields["architecture"],
        "Variant": fields["variant"].as_str().unwrap_or_default(),
    });
    Some(respond(200, inspected.to_string()))
}

fn push(name: &str, request: &Request<Incoming>, state: &Arc<State>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let tag = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "tag");
    let tag = tag.map(|(_, tag)| tag.into_owned()).unwrap_or_default();
    let (_, repository) = name.split_once('/').expect("a registry's host and a repository");
    let auth = request.headers().get("x-registry-auth").map_or("", |value| value.to_str().unwrap());
    let image = state.images.lock().unwrap().get(&format!("{name}:{tag}")).cloned();
    let (lines, mut said) = mpsc::unbounded_channel();
    let (repository, auth) = (repository.to_owned(), auth.to_owned());
    let call = PushCall { repository, tag, auth, image, state: state.clone(), lines };
    let mut ongoing = Ongoing::begin(state, |counts| &mut counts.pushes);
    let mut script = Some((state.script.push)(call));
    // The script runs as the body is read, and goes when the client does.
    streamed(stream::poll_fn(move |context| {
        if script.as_mut().is_some_and(|script| script.as_mut().poll(context).is_ready()) {
            script = None;
            ongoing.finish();
        }
        said.poll_recv(context)
    }))
}

fn grpc(mut request: Request<Incoming>, state: Arc<State>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            control::serve(connection, state).await;
        }
    });
    switching()
}

/// The connection turns around: we call what the client serves.
fn session(mut request: Request<Incoming>, state: &Arc<State>) -> Response<Body> {
    let id = request.headers()["x-docker-expose-session-uuid"].to_str().unwrap().to_owned();
    let upgrade = hyper::upgrade::on(&mut request);
    let state = state.clone();
    tokio::spawn(async move {
        let Ok(connection) = upgrade.await else { return };
        let mut connection = Some(connection);
        let connector = tower::service_fn(move |_: http::Uri| {
            let connection = connection.take().ok_or(io::ErrorKind::NotConnected);
            async move { connection.map_err(io::Error::from) }
        });
        // The windows of grpc-go, which engines are made with.
        let endpoint = Endpoint::from_static("http://client")
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        if let Ok(channel) = endpoint.connect_with_connector(connector).await {
            state.sessions.send_modify(|sessions| drop(sessions.insert(id, channel)));
        }
    });
    switching()
}

fn switching() -> Response<Body> {
    let mut response = respond(101, "");
    response.headers_mut().insert(header::CONNECTION, "Upgrade".parse().unwrap());
    response.headers_mut().insert(header::UPGRADE, "h2c".parse().unwrap());
    response
}

fn respond(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    let whole = Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(whole);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    response
}

fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    Response::new(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync())
}

fn decode(path: &str) -> String {
    // A `+` of a path is a plus.
    let query = format!("p={}", path.replace('+', "%2B"));
    form_urlencoded::parse(query.as_bytes()).next().map(|(_, path)| path.into_owned()).unwrap_or_default()
}
