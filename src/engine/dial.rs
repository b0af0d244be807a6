//! Connections to an engine: one dialer for the REST client, gRPC and the session.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::plan::EngineHost;

/// The time limit for a connection attempt.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// HTTP/2 flow control of gRPC with the engine: the most unread bytes of one stream and of all streams.
///
/// BuildKit sends many small frames, such as a short request for each file, or single log lines. Since 0.4.16 h2 ends a
/// connection with too many small unread frames (`too_many_data_frames`). Its limit is half of the connection's window,
/// here 32 MiB, and it counts up to 256 bytes for a frame. A stream's window full of ten-byte frames counts only 1.6
/// MiB.
pub(super) const STREAM_WINDOW: u32 = 64 << 10;
pub(super) const CONNECTION_WINDOW: u32 = 64 << 20;
/// The most bytes of an engine's refusal that polyarch reads.
const MAX_REFUSAL: usize = 64 << 10;

/// A connection over a Unix socket or TCP.
pub(super) type Connection = Either<UnixStream, TcpStream>;

/// Opens connections to one engine.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    host: EngineHost,
}

impl Dialer {
    pub(super) fn new(host: EngineHost) -> Self {
        Self { host }
    }

    pub(super) fn host(&self) -> &EngineHost {
        &self.host
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
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

    /// A connection that `POST path` turned into a raw stream of HTTP/2. The engine calls this hijacking (Engine API,
    /// `/session`). BuildKit's control API uses the same for `/grpc`.
    pub(super) async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> io::Result<Upgraded> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await.map_err(io::Error::other)?;
        let mut request = Request::post(path)
            .header(header::HOST, "docker")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "h2c");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let ask = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let status = response.status();
                let body = Limited::new(response.into_body(), MAX_REFUSAL).collect().await;
                let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).trim().to_owned()).unwrap_or_default();
                return Err(io::Error::new(io::ErrorKind::Unsupported, format!("POST {path}: {status} {text}")));
            }
            hyper::upgrade::on(response).await.map_err(io::Error::other)
        };
        // The connection must be polled until the upgrade takes it over. Then its future ends.
        let driver = async {
            let ended = connection.with_upgrades().await;
            match ended {
                Ok(()) => std::future::pending().await,
                Err(error) => io::Error::other(error),
            }
        };
        tokio::select! {
            biased;
            upgraded = ask => upgraded,
            error = driver => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn refused_upgrade_error_quotes_the_engine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let engine = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"POST /grpc HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 14\r\n\r\npage not found").await.unwrap();
        };
        let dialer = Dialer::new(EngineHost::Unix(path));
        let (refused, ()) = tokio::join!(dialer.upgrade("/grpc", &[]), engine);
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(refused.to_string(), "POST /grpc: 404 Not Found page not found");
    }
}
