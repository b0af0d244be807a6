//! Opens the connections to one endpoint, all in the same way.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::plan::EngineHost;

/// The time limit for a connection attempt.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection over a Unix socket or TCP.
pub(crate) type Connection = Either<UnixStream, TcpStream>;

/// Opens connections to one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    host: EngineHost,
}

impl Dialer {
    pub(crate) fn new(host: EngineHost) -> Self {
        Self { host }
    }

    pub(crate) fn host(&self) -> &EngineHost {
        &self.host
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let connecting = async {
            match &self.host {
                EngineHost::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
                EngineHost::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    // A host that vanished sends nothing. Without these probes a build would wait endlessly.
                    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
                    rustix::net::sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30))?;
                    rustix::net::sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(10))?;
                    Ok(Either::Right(stream))
                }
            }
        };
        let timeout =
            || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", CONNECT.as_secs()));
        tokio::time::timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(timeout()))
    }
}
