//! The way of a session through `Control.Session`, for a BuildKit without a Docker Engine. Its messages carry the bytes of
//! an HTTP/2 connection. BuildKit is the client on that connection (BuildKit, `session/grpchijack`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::moby::buildkit::v1::BytesMessage;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::{Stream, TryStreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::StreamReader;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Request, Status};

use crate::buildkit::grpc::Control;

/// The most bytes of a message, the size of BuildKit's own messages.
const MAX_PIECE: usize = 32 << 10;
/// How many messages may wait for the connection.
const WAITING: usize = 4;

/// Bytes in both directions, over one call.
pub(super) struct Tunnel<R> {
    received: R,
    sender: mpsc::Sender<BytesMessage>,
}

/// Opens a session. `introduction` has the names and values that introduce the session.
pub(super) async fn open(
    mut control: Control,
    introduction: &[(&str, &str)],
) -> Result<Tunnel<impl AsyncRead + Unpin + Send + 'static>, Status> {
    let (sender, messages) = mpsc::channel(WAITING);
    let mut request = Request::new(messages);
    for (name, value) in introduction {
        let unusable = || Status::internal(format!("{name} cannot be sent"));
        let name = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| unusable())?;
        let value: AsciiMetadataValue = value.parse().map_err(|_| unusable())?;
        request.metadata_mut().append(name, value);
    }
    let received = control.session(request).await?.into_inner();
    Ok(Tunnel { received: reader(received), sender })
}

fn reader(received: impl Stream<Item = Result<BytesMessage, Status>> + Unpin + Send) -> impl AsyncRead + Unpin + Send {
    StreamReader::new(received.map_ok(|message| Bytes::from(message.data)).map_err(io::Error::other))
}

impl<R: AsyncRead + Unpin> AsyncRead for Tunnel<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.received).poll_read(cx, buffer)
    }
}

impl<R: Unpin> AsyncWrite for Tunnel<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ended = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.sender.poll_ready(cx)).map_err(ended)?;
        let piece = &bytes[..bytes.len().min(MAX_PIECE)];
        self.sender.start_send(BytesMessage { data: piece.to_vec() }).map_err(ended)?;
        Poll::Ready(Ok(piece.len()))
    }

    /// gRPC sends each message at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.close_channel();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_of_a_session_travel_in_bounded_messages() {
        let (sender, messages) = mpsc::channel(WAITING);
        let (mut other, received) = mpsc::unbounded();
        let mut tunnel = Tunnel { received: reader(received), sender };
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let writing = async {
            tunnel.write_all(&sent).await.unwrap();
            tunnel.shutdown().await.unwrap();
        };
        let (pieces, ()) = tokio::join!(messages.map(|message| message.data).collect::<Vec<_>>(), writing);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_PIECE), "{:?}", pieces.len());
        assert_eq!(pieces.concat(), sent);
        // A message may be empty, and is not the end.
        for data in [b"a".to_vec(), Vec::new(), b"bc".to_vec()] {
            other.start_send(Ok(BytesMessage { data })).unwrap();
        }
        drop(other);
        let mut read = Vec::new();
        tunnel.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"abc");
    }
}
