//! Limits for an engine's answers over HTTP/1.1. bollard keeps a whole answer in memory, and each line of a stream
//! until the line ends.
//!
//! The limits apply to the connection, because bollard accepts only its own body type. A connection carries one request
//! after the other, and each answer has its own limits.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest head of an answer, in bytes.
const MOST_HEAD: usize = 64 << 10;
/// The longest document of an engine, in bytes. The longest ones contain an image's whole config.
const MOST_DOCUMENT: u64 = 4 << 20;
/// The longest line of a stream, in bytes. bollard scans the whole line each time that a part of it arrives.
const MOST_LINE: u64 = 256 << 10;

/// The kind of an engine's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A document.
    Document,
    /// Lines, for the whole duration of an operation. A refusal is a document.
    Lines,
}

impl AnswerKind {
    /// The kind of the engine's answer to `path`.
    pub(super) fn of(path: &str) -> Self {
        let streams = ["/push", "/images/create", "/images/load"];
        if streams.iter().any(|stream| path.ends_with(stream)) { Self::Lines } else { Self::Document }
    }
}

/// A connection that fails when the answer is too long.
pub(super) struct Bounded<C> {
    connection: C,
    limits: Limits,
}

/// The limits of the answer that a connection carries at the moment.
#[derive(Debug, Clone)]
pub(super) struct Limits(Arc<Mutex<Meter>>);

impl<C> Bounded<C> {
    /// The connection, and the limits of its answers.
    pub(super) fn new(connection: C) -> (Self, Limits) {
        let limits = Limits(Arc::new(Mutex::new(Meter::of(AnswerKind::Document))));
        (Self { connection, limits: limits.clone() }, limits)
    }
}

impl Limits {
    /// Sets the kind of the next answer. The answer before it has ended.
    pub(super) fn expect(&self, answer: AnswerKind) {
        *self.meter() = Meter::of(answer);
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Bounded<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(cx, buffer))?;
        Poll::Ready(self.limits.meter().count(&buffer.filled()[before..]))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Bounded<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

/// A position in an answer (RFC 9112, 6 and 7).
#[derive(Debug)]
enum Position {
    /// In the head. These bytes of it have arrived.
    Head(Vec<u8>),
    /// In the line with a chunk's size.
    Size(u64),
    /// After the digits of the line with a chunk's size.
    Extension(u64),
    /// In a chunk, with this many bytes to come.
    Chunk(u64),
    /// In the line end after a chunk.
    ChunkEnd,
    /// In a body without chunks, or after the last chunk.
    Body,
}

#[derive(Debug)]
struct Meter {
    answer: AnswerKind,
    place: Position,
    /// The bytes so far, except the content of lines.
    document: u64,
    /// The bytes of the current line.
    line: u64,
}

impl Meter {
    fn of(answer: AnswerKind) -> Self {
        Self { answer, place: Position::Head(Vec::new()), document: 0, line: 0 }
    }

    fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.place {
                Position::Head(head) => {
                    head.push(*first);
                    if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
                        let head = std::mem::take(head);
                        self.begin(&head);
                    } else if head.len() > MOST_HEAD {
                        return Err(too_long("the head of the engine's answer", MOST_HEAD as u64));
                    }
                    bytes = rest;
                }
                Position::Size(size) | Position::Extension(size) if *first == b'\n' => {
                    self.place = if *size == 0 { Position::Body } else { Position::Chunk(*size) };
                    self.framing()?;
                    bytes = rest;
                }
                Position::Size(size) => {
                    let size = *size;
                    self.place = match char::from(*first).to_digit(16) {
                        Some(digit) => Position::Size(size.saturating_mul(16).saturating_add(digit.into())),
                        None => Position::Extension(size),
                    };
                    self.framing()?;
                    bytes = rest;
                }
                Position::Extension(_) => {
                    self.framing()?;
                    bytes = rest;
                }
                Position::ChunkEnd => {
                    if *first == b'\n' {
                        self.place = Position::Size(0);
                    }
                    self.framing()?;
                    bytes = rest;
                }
                Position::Chunk(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= length as u64;
                    if *left == 0 {
                        self.place = Position::ChunkEnd;
                    }
                    let (content, rest) = bytes.split_at(length);
                    self.content(content)?;
                    bytes = rest;
                }
                Position::Body => return self.content(bytes),
            }
        }
        Ok(())
    }

    /// Reads the head of an answer.
    fn begin(&mut self, head: &[u8]) {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
        if status.starts_with('1') {
            // Another head follows.
            return;
        }
        if !status.starts_with('2') {
            self.answer = AnswerKind::Document;
        }
        let is_chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
        self.place = if is_chunked { Position::Size(0) } else { Position::Body };
    }

    fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.answer {
            AnswerKind::Document => self.add(bytes.len() as u64),
            AnswerKind::Lines => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.line += line.len() as u64;
                    if self.line > MOST_LINE {
                        return Err(too_long("a line of the engine's answer", MOST_LINE));
                    }
                    if line.ends_with(b"\n") {
                        self.line = 0;
                    }
                }
                Ok(())
            }
        }
    }

    /// Counts one byte around chunks. A stream has many chunks, so its framing does not count.
    fn framing(&mut self) -> io::Result<()> {
        match self.answer {
            AnswerKind::Document => self.add(1),
            AnswerKind::Lines => Ok(()),
        }
    }

    fn add(&mut self, bytes: u64) -> io::Result<()> {
        self.document += bytes;
        if self.document > MOST_DOCUMENT { Err(too_long("the engine's answer", MOST_DOCUMENT)) } else { Ok(()) }
    }
}

fn too_long(part: &str, most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("{part} is longer than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The result for an answer that arrives in parts of this many bytes.
    fn told(answer: AnswerKind, bytes: &[u8], parts: usize) -> Result<(), String> {
        let mut meter = Meter::of(answer);
        bytes.chunks(parts).try_for_each(|part| meter.count(part)).map_err(|error| error.to_string())
    }

    fn chunked(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n".to_vec();
        for chunk in chunks {
            answer.extend(format!("{:X};x=y\r\n", chunk.len()).into_bytes());
            answer.extend([&chunk[..], b"\r\n"].concat());
        }
        answer.extend(b"0\r\n\r\n");
        answer
    }

    #[test]
    fn engine_answer_is_limited_exactly() {
        let most = usize::try_from(MOST_DOCUMENT).unwrap();
        for parts in [7, 64 << 10] {
            let plain = |length: usize| [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'x'; length]].concat();
            assert_eq!(told(AnswerKind::Document, &plain(most), parts), Ok(()));
            assert!(
                told(AnswerKind::Document, &plain(most + 1), parts)
                    .unwrap_err()
                    .contains("the engine's answer is longer")
            );
            assert!(told(AnswerKind::Document, &chunked(vec![vec![b'\n'; most / 2]; 3]), parts).is_err());
            let line = usize::try_from(MOST_LINE).unwrap();
            let lines = vec![[vec![b'x'; line - 1], b"\n".to_vec()].concat(); 40];
            assert_eq!(told(AnswerKind::Lines, &chunked(lines), parts), Ok(()));
            // The end of a chunk is not the end of a line.
            let endless = chunked(vec![vec![b'x'; 1000]; line / 1000 + 1]);
            assert!(
                told(AnswerKind::Lines, &endless, parts)
                    .unwrap_err()
                    .contains("a line of the engine's answer is longer")
            );
            let refusal = [&b"HTTP/1.1 500 X\r\n\r\n"[..], &vec![b'\n'; most + 1]].concat();
            assert!(told(AnswerKind::Lines, &refusal, parts).unwrap_err().contains("the engine's answer is longer"));
            let head = [&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; MOST_HEAD]].concat();
            assert!(told(AnswerKind::Lines, &head, parts).unwrap_err().contains("the head of the engine's answer"));
        }
    }

    #[test]
    fn streams_are_distinguished_from_documents() {
        for (path, answer) in [
            ("/v1.41/images/a/b/push", AnswerKind::Lines),
            ("/images/create", AnswerKind::Lines),
            ("/v1.48/images/load", AnswerKind::Lines),
            ("/version", AnswerKind::Document),
            ("/images/push/json", AnswerKind::Document),
        ] {
            assert_eq!(AnswerKind::of(path), answer, "{path}");
        }
    }

    proptest! {
        #[test]
        fn answer_length_does_not_depend_on_how_bytes_are_split(
            bytes in "(HTTP/1.1 [125]00 |transfer-encoding: chunked|\r\n|[0-9a-f]|;|x|\n){0,60}",
            parts in 1_usize..9,
        ) {
            for answer in [AnswerKind::Document, AnswerKind::Lines] {
                let (mut whole, mut cut) = (Meter::of(answer), Meter::of(answer));
                whole.count(bytes.as_bytes()).unwrap();
                bytes.as_bytes().chunks(parts).for_each(|part| cut.count(part).unwrap());
                prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
            }
        }
    }
}
