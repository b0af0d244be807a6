//! Connections that Docker Engine turns into raw streams: `/grpc` to its BuildKit, and `/session` for a build.

use std::io;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::connect::Dialer;

/// The most bytes of an engine's refusal that polyarch reads.
const MAX_REFUSAL: usize = 64 << 10;

/// A raw stream, which was an HTTP request before.
pub(super) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A connection that `POST path` turned into a raw stream of HTTP/2. The engine calls this hijacking (Engine API,
/// `/session`). BuildKit's control API uses the same for `/grpc`.
pub(super) async fn upgrade(dialer: &Dialer, path: &str, headers: &[(&str, &str)]) -> io::Result<Upgraded> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(dialer.connect().await?)).await.map_err(io::Error::other)?;
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
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(io::Error::other)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;
    use crate::plan::EngineHost;

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
        let dialer = Dialer::new(EngineHost::Unix(path).into());
        let (refused, ()) = tokio::join!(upgrade(&dialer, "/grpc", &[]), engine);
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(refused.to_string(), "POST /grpc: 404 Not Found page not found");
    }
}
