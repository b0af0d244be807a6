//! Opens the connections to one endpoint, all in the same way.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::commands;
use super::error::ConnectError;
use super::heard::HeardStream;
use super::ping::Server;
use super::program::ProgramStream;
use super::ssh::{Ssh, SshStream};
use super::tcp;
use super::tls::{Tls, TlsConnection};
use crate::plan::{BuildKitHost, DockerContext, Endpoint, EngineHost};

/// The time limit for a connection attempt.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connection(Stream);

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsConnection>),
    Ssh(Box<SshStream>),
    Program(Box<ProgramStream>),
}

/// A connection to a BuildKit.
pub(crate) type HeardConnection = HeardStream<Connection>;

/// Opens connections to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    way: Way,
}

/// The way to an endpoint, with the state that a dialer keeps between two connections.
#[derive(Debug, Clone)]
enum Way {
    Unix(PathBuf),
    Tcp(String, u16),
    Tls(Arc<Tls>),
    Ssh(Arc<Ssh>),
    Program(Vec<String>),
    Unknown(DockerContext),
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let way = match &endpoint {
            Endpoint::Docker(host) => Way::to(host, Server::DockerEngine),
            Endpoint::BuildKit(BuildKitHost::Direct(host)) => Way::to(host, Server::BuildKit),
            Endpoint::BuildKit(BuildKitHost::Container(container)) => Way::Program(commands::in_container(container)),
            Endpoint::BuildKit(BuildKitHost::Pod(pod)) => Way::Program(commands::in_pod(pod)),
            // The caller dials the pods one by one. This program lists them, and is not a BuildKit.
            Endpoint::BuildKit(BuildKitHost::Pods(pods)) => Way::Program(commands::list_pods(pods)),
            Endpoint::BuildKit(BuildKitHost::Builder(builder)) => Way::Program(commands::to_builder(builder)),
        };
        Self { endpoint, way }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The name of the other end in requests over HTTP/2.
    pub(crate) fn authority(&self) -> String {
        match &self.way {
            Way::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Way::Tcp(host, port) => format!("{host}:{port}"),
            Way::Tls(tls) => tls.authority(),
            Way::Unix(_) | Way::Ssh(_) | Way::Program(_) | Way::Unknown(_) => "localhost".to_owned(),
        }
    }

    /// Whether a new connection starts programs, which take longer than a short request.
    pub(crate) fn starts_programs(&self) -> bool {
        matches!(self.way, Way::Ssh(_) | Way::Program(_))
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        within_limit(self.stream()).await.map(Connection)
    }

    /// Proves that there is a way to a Docker Engine. A program that starts proves nothing, so the engine must answer there.
    /// A server of TLS may refuse the certificate of this client after the handshake, so the engine must answer there, too.
    pub(crate) async fn prove(&self) -> io::Result<()> {
        within_limit(async {
            if let Way::Ssh(ssh) = &self.way {
                return ssh.log_in().await;
            }
            match self.stream().await? {
                Stream::Program(mut program) => program.prove(Server::DockerEngine).await,
                Stream::Tls(mut stream) => stream.prove(Server::DockerEngine).await,
                Stream::Unix(_) | Stream::Tcp(_) | Stream::Ssh(_) => Ok(()),
            }
        })
        .await
    }

    async fn stream(&self) -> io::Result<Stream> {
        match &self.way {
            Way::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Way::Tcp(host, port) => tcp::connect(host, *port).await.map(Stream::Tcp),
            Way::Tls(tls) => tls.connect().await.map(Box::new).map(Stream::Tls),
            Way::Ssh(ssh) => ssh.connect().await.map(Box::new).map(Stream::Ssh),
            Way::Program(argv) => ProgramStream::start(argv).map(Box::new).map(Stream::Program),
            Way::Unknown(context) => Err(unknown(context)),
        }
    }
}

impl Way {
    /// The way to `server` at `host`.
    fn to(host: &EngineHost, server: Server) -> Self {
        match host {
            EngineHost::Unix(path) => Self::Unix(path.clone()),
            EngineHost::Tcp { host, port } => Self::Tcp(host.clone(), *port),
            EngineHost::Tls(host) => Self::Tls(Arc::new(Tls::new(host.clone(), server))),
            EngineHost::Ssh(host) => Self::Ssh(Arc::new(Ssh::new(host.clone(), server))),
            EngineHost::Command(argv) => Self::Program(argv.clone()),
            EngineHost::Context(name) => Self::Unknown(name.clone()),
        }
    }
}

/// The failure of a docker context that still has no address. The program looks the address up; the library does not.
fn unknown(context: &DockerContext) -> io::Error {
    let message = format!("the address of docker context {context} is unknown");
    let error = ConnectError::new(message, "write the address of the engine as `host` into the plan");
    io::Error::new(io::ErrorKind::Unsupported, error)
}

async fn within_limit<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let timeout = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", CONNECT.as_secs()));
    tokio::time::timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(timeout()))
}

/// A stream of bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

impl Connection {
    fn stream(&mut self) -> Pin<&mut dyn Duplex> {
        match &mut self.0 {
            Stream::Unix(stream) => Pin::new(stream),
            Stream::Tcp(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
            Stream::Ssh(stream) => Pin::new(&mut stream.program),
            Stream::Program(stream) => Pin::new(&mut **stream),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
