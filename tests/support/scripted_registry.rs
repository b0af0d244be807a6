//! A registry that says what a test tells it to say, and fails the test when it is asked anything else.
//!
//! It lives on the test's own runtime (a current-thread one), so that a test can stop the clock between its
//! requests. Its faults are those of real networks: resets, cuts, silence, drips, endless bodies.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header, the name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// `METHOD target`, as rows name it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What the registry does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers. The length is that of the body unless a `Content-Length` is given.
    Answer { status: u16, headers: Vec<(String, String)>, body: Body },
    /// Resets the connection (RST).
    Reset,
    /// Ends the connection in the middle of the response's head (FIN).
    CutHead,
    /// Says nothing, for ever.
    Silence,
    /// Answers once the test says so.
    After(Arc<Notify>, Box<Self>),
}

/// How a body is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// As it is.
    Whole(Vec<u8>),
    /// In chunks, for ever.
    Endless,
    /// A byte each time the (stopped) clock was moved on by the interval, for ever.
    Drip(Duration),
}

/// An answer without body.
pub(crate) fn status(status: u16) -> Reply {
    Reply::Answer { status, headers: Vec::new(), body: Body::Whole(Vec::new()) }
}

impl Reply {
    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Sets the body.
    pub(crate) fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send(Body::Whole(bytes.into()))
    }

    /// Sets how the body is sent.
    pub(crate) fn send(mut self, how: Body) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = how;
        }
        self
    }
}

type Script = dyn FnMut(&Request) -> Option<Reply> + Send;

struct State {
    script: Mutex<Box<Script>>,
    requests: Mutex<Vec<Request>>,
    unexpected: Mutex<Vec<String>>,
    /// How many rows of an ordered script are still to come.
    left: Mutex<Option<usize>>,
    arrived: Notify,
}

/// The registry. Dropping it ends it, and fails the test if it was asked what its script does not have.
pub(crate) struct ScriptedRegistry {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl ScriptedRegistry {
    /// Answers these requests, each once and in this order.
    pub(crate) async fn ordered(rows: impl IntoIterator<Item = (&'static str, Reply)>) -> Self {
        let mut rows: VecDeque<_> = rows.into_iter().collect();
        let count = rows.len();
        let script = move |request: &Request| {
            let (_, reply) = rows.pop_front().filter(|(line, _)| *line == request.line())?;
            Some(reply)
        };
        let registry = Self::stateful(script).await;
        *registry.state.left.lock().unwrap() = Some(count);
        registry
    }

    /// Answers as `script` does; `None` is a request that must not come.
    pub(crate) async fn stateful(script: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Self {
        Self::start(script, None).await
    }

    /// As [`Self::stateful`], over TLS.
    pub(crate) async fn stateful_tls(
        acceptor: tokio_rustls::TlsAcceptor,
        script: impl FnMut(&Request) -> Option<Reply> + Send + 'static,
    ) -> Self {
        Self::start(script, Some(acceptor)).await
    }

    async fn start(
        script: impl FnMut(&Request) -> Option<Reply> + Send + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(Box::new(script)),
            requests: Mutex::default(),
            unexpected: Mutex::default(),
            left: Mutex::default(),
            arrived: Notify::new(),
        });
        let server = tokio::spawn(listen(listener, Arc::clone(&state), tls));
        Self { address, state, server }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many requests so far begin with this `METHOD target`.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.requests().iter().filter(|request| request.line().starts_with(line)).count()
    }

    /// Waits until as many requests that begin with this `METHOD target` have come.
    pub(crate) async fn asked(&self, line: &str, count: usize) {
        let asking = async {
            while self.count(line) < count {
                self.state.arrived.notified().await;
            }
        };
        let asked = tokio::time::timeout(super::parts::LIMIT, asking).await;
        assert!(asked.is_ok(), "{line} did not come {count} times; asked was {:?}", self.lines());
    }

    /// Waits until this `METHOD target` has come, and not one that only begins like it.
    pub(crate) async fn asked_exactly(&self, line: &str) {
        let asking = async {
            while !self.lines().iter().any(|asked| asked == line) {
                self.state.arrived.notified().await;
            }
        };
        let asked = tokio::time::timeout(super::parts::LIMIT, asking).await;
        assert!(asked.is_ok(), "{line} did not come; asked was {:?}", self.lines());
    }

    /// `METHOD target` of every request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn arrived(&self, count: usize) {
        while self.requests().len() < count {
            self.state.arrived.notified().await;
        }
    }
}

impl Drop for ScriptedRegistry {
    fn drop(&mut self) {
        self.server.abort();
        if std::thread::panicking() {
            return;
        }
        let unexpected = self.state.unexpected.lock().unwrap();
        assert!(unexpected.is_empty(), "the registry was asked what its script does not have: {unexpected:?}");
        if let Some(left) = *self.state.left.lock().unwrap() {
            assert_eq!(left, 0, "rows of the script that nobody asked for; asked was: {:?}", self.requests());
        }
    }
}

async fn listen(listener: TcpListener, state: Arc<State>, tls: Option<tokio_rustls::TlsAcceptor>) {
    // The set ends the connections together with the registry.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        // An answer is written in parts. Without this each later part would wait 40 ms for a delayed acknowledgement.
        drop(stream.set_nodelay(true));
        let (state, tls) = (Arc::clone(&state), tls.clone());
        connections.spawn(async move {
            // A client that goes away in the middle is what many tests are about.
            let _ = match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &state, |_| Ok(())).await,
                    Err(error) => Err(error),
                },
                None => serve(stream, &state, TcpStream::set_zero_linger).await,
            };
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    state: &State,
    make_reset: impl Fn(&S) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let mut reply = state.reply(&request);
        while let Reply::After(gate, then) = reply {
            gate.notified().await;
            reply = *then;
        }
        match reply {
            Reply::After(..) => unreachable!("its gate was waited for"),
            Reply::Reset => return make_reset(&stream),
            Reply::CutHead => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await,
            Reply::Silence => std::future::pending().await,
            Reply::Answer { status, headers, body } => {
                write_answer(&mut stream, &request, status, &headers, body).await?;
            }
        }
    }
    Ok(())
}

impl State {
    fn reply(&self, request: &Request) -> Reply {
        let reply = (self.script.lock().unwrap())(request);
        self.requests.lock().unwrap().push(request.clone());
        self.arrived.notify_waiters();
        self.arrived.notify_one();
        if let (Some(left), Some(_)) = (self.left.lock().unwrap().as_mut(), &reply) {
            *left -= 1;
        }
        reply.unwrap_or_else(|| {
            self.unexpected.lock().unwrap().push(request.line());
            status(418).body("not in the script")
        })
    }
}

async fn read_request(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
        // A TLS handshake. Servers that speak HTTP answer it with a 400, in clear.
        if buffer[0] == 0x16 {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await?;
            return Ok(None);
        }
    };
    let text = String::from_utf8(buffer[..head].to_vec()).map_err(io::Error::other)?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, target, headers, body: Vec::new() };
    buffer.drain(..head + 4);
    if request.header("transfer-encoding") == Some("chunked") {
        let Some(body) = read_chunks(stream, buffer).await? else { return Ok(None) };
        request.body = body;
        return Ok(Some(request));
    }
    let length: usize = request.header("content-length").map_or(0, |value| value.parse().unwrap());
    if !fill(stream, buffer, length).await? {
        return Ok(None);
    }
    request.body = buffer.drain(..length).collect();
    Ok(Some(request))
}

/// A body in chunks (RFC 9112, 7.1), without trailers: as engines send layers.
async fn read_chunks(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        };
        let size = std::str::from_utf8(&buffer[..line]).map_err(io::Error::other)?;
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        // With the ends of both lines.
        if !fill(stream, buffer, line + 2 + size + 2).await? {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[line + 2..line + 2 + size]);
        buffer.drain(..line + 2 + size + 2);
        if size == 0 {
            return Ok(Some(body));
        }
    }
}

/// Reads until there are as many bytes; `false` if it ends before.
async fn fill(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, length: usize) -> io::Result<bool> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn write_answer(
    stream: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    status: u16,
    headers: &[(String, String)],
    body: Body,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    let has = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let declared = has("content-length");
    match &body {
        Body::Whole(bytes) if !declared => head.extend(["Content-Length: ", &bytes.len().to_string(), "\r\n"]),
        Body::Endless | Body::Drip(_) if !declared => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    if request.method == "HEAD" {
        return Ok(());
    }
    match body {
        Body::Whole(bytes) => {
            stream.write_all(&bytes).await?;
            // A length that lies leaves the connection useless: it ends here.
            if declared { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
        }
        Body::Endless => loop {
            stream.write_all(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).as_bytes()).await?;
        },
        Body::Drip(interval) => {
            tokio::time::pause();
            loop {
                stream.write_all(b"1\r\n \r\n").await?;
                // The client reads it before the clock moves.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                tokio::time::advance(interval).await;
            }
        }
    }
}
