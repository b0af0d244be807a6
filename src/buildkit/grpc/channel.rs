//! The gRPC connection to BuildKit, and BuildKit's control API on it.

use std::io;
use std::time::Duration;

use bollard::moby::buildkit::v1::control_client::ControlClient;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint};

use super::windows::{CONNECTION_WINDOW, STREAM_WINDOW};

/// The largest gRPC message that polyarch reads, in bytes. BuildKit splits logs far below this size, and grpc-go's own
/// limit is 4 MiB.
pub(in crate::buildkit) const MAX_MESSAGE: usize = 16 << 20;

/// A build may be silent for hours, but a stopped or paused engine must not hang polyarch. After `PING` without data
/// polyarch asks the engine for a sign of life, and waits for `PONG`.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_mins(1);

/// A client of BuildKit's control API; clones share one connection.
pub(in crate::buildkit) type Control = ControlClient<Channel>;

/// Connects to BuildKit over a stream that `dial` opens. `authority` is BuildKit's name in requests: a proxy in between may
/// choose the BuildKit by it. This fails if the other end has no BuildKit. A lost connection
/// is opened again.
pub(crate) async fn connect<D, F, S>(authority: &str, dial: D) -> Result<Channel, tonic::transport::Error>
where
    D: Fn() -> F + Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connector = tower::service_fn(move |_: http::Uri| {
        let dialing = dial();
        async move { dialing.await.map(TokioIo::new) }
    });
    // The connector dials the engine, so this name is never resolved.
    Endpoint::from_shared(format!("http://{authority}"))?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .connect_with_connector(connector)
        .await
}

/// The control API on `channel`.
pub(in crate::buildkit) fn control(channel: &Channel) -> Control {
    ControlClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::ListWorkersRequest;
    use tokio::io::AsyncReadExt;
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopped_engine_does_not_block_forever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let engine = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The engine reads everything and answers nothing, not even a ping.
            while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {}
            std::future::pending::<()>().await;
        };
        let dial = move || UnixStream::connect(path.clone());
        let asking = async {
            control(&connect("docker", dial).await.unwrap()).list_workers(ListWorkersRequest::default()).await
        };
        let answer = tokio::select! {
            () = engine => unreachable!(),
            answer = tokio::time::timeout(Duration::from_mins(10), asking) => answer,
        };
        answer.expect("it ends by itself").unwrap_err();
    }
}
