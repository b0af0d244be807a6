//! Keeps the reason why a connection to BuildKit failed. gRPC passes on only that it failed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::ConnectError;
use super::ping::SETTINGS;

/// The bytes that decide whether the other end speaks HTTP/2: the head of the first frame (RFC 9113, 4.1).
const HEAD: usize = 9;

/// The reason of the last failure, which all connections of a dialer share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Option<io::Error>>>);

impl Heard {
    /// Takes the reason, if a connection failed.
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a reason, and returns an error with the same text.
    fn keep(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        copy
    }

    /// Keeps the reason why no connection was made.
    pub(crate) fn result<T>(&self, connected: io::Result<T>) -> io::Result<HeardStream<T>> {
        match connected {
            Ok(stream) => Ok(HeardStream { stream, head: Vec::new(), heard: self.clone() }),
            Err(error) => Err(self.keep(error)),
        }
    }
}

/// A connection to BuildKit, which keeps the reason of its failure.
#[derive(Debug)]
pub(crate) struct HeardStream<S> {
    stream: S,
    /// The first bytes of the other end.
    head: Vec<u8>,
    heard: Heard,
}

impl<S> HeardStream<S> {
    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.head.len() >= HEAD {
            return Ok(());
        }
        self.head.extend(&bytes[..bytes.len().min(HEAD - self.head.len())]);
        let is_other = self.head.get(3).is_some_and(|kind| *kind != SETTINGS);
        if is_other { Err(self.heard.keep(ConnectError::not_buildkit(&self.head))) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeardStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let read = read.map_err(|error| self.heard.keep(error));
        let checked = read.and_then(|()| self.check(&buffer.filled()[before..]));
        // A failed read gives no bytes.
        if checked.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(checked)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeardStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) {
            // The other end refused the connection. The reader finds its reason.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.head.len() < HEAD => {
                Poll::Ready(Ok(bytes.len()))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The text that a reader of these pieces fails with.
    async fn refused(pieces: &[&[u8]]) -> Option<String> {
        let mut mock = tokio_test_stream(pieces);
        let heard = Heard::default();
        let mut stream = heard.result(Ok(&mut mock)).unwrap();
        let mut all = Vec::new();
        let failed = stream.read_to_end(&mut all).await.is_err();
        let reason = heard.take().map(|error| error.to_string());
        assert_eq!(failed, reason.is_some());
        reason
    }

    /// A stream with these pieces, and then its end.
    fn tokio_test_stream(pieces: &[&[u8]]) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, io::Error>(piece.to_vec())).collect();
        let reader = tokio_util::io::StreamReader::new(futures::stream::iter(
            pieces.into_iter().map(|piece| piece.map(std::io::Cursor::new)),
        ));
        tokio::io::join(reader, tokio::io::sink())
    }

    #[tokio::test]
    async fn server_without_http2_is_refused_by_its_first_bytes() {
        let settings: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 32];
        assert_eq!(refused(&[settings]).await, None);
        assert_eq!(refused(&[&settings[..3], &settings[3..], b"HTTP/1.1"]).await, None);
        for pieces in [&[&b"HTTP/1.1 400 Bad Request\r\n"[..]][..], &[b"HT", b"TP/1.1 400"], &[b"SSH-2.0-OpenSSH"]] {
            assert!(refused(pieces).await.unwrap().contains("no BuildKit"), "{pieces:?}");
        }
    }
}
