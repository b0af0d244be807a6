//! Asks the other end of a stream for the first bytes of its answer. Only an answer proves an engine.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The question that proves an engine at the other end (Engine API, `/_ping`).
const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
/// The beginning of a connection over HTTP/2, with an empty frame of settings (RFC 9113, 3.4). BuildKit answers with its
/// own settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of the frame that a server sends first (RFC 9113, 3.4 and 6.5).
pub(super) const SETTINGS: u8 = 4;

/// The program at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    DockerEngine,
    BuildKit,
}

/// The beginning of an endpoint's answer.
pub(super) enum Answer {
    /// The answer of the server.
    Proof,
    /// Something else, which begins with these bytes.
    Other([u8; 7]),
}

/// Waits for an answer on this stream. The stream has no other use afterwards.
pub(super) async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), server: Server) -> io::Result<Answer> {
    let question = if server == Server::DockerEngine { PING } else { PREFACE };
    let asked = async {
        stream.write_all(question).await?;
        stream.flush().await
    }
    .await;
    let mut answer = [0; 7];
    // An endpoint that refuses the connection may send its reason before it closes the stream. So polyarch reads even if it
    // cannot write.
    match (stream.read_exact(&mut answer).await, asked) {
        (Ok(_), _) => {}
        (Err(error), Err(first)) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(first),
        (Err(error), _) => return Err(error),
    }
    let is_proof = match server {
        Server::DockerEngine => answer == *b"HTTP/1.",
        Server::BuildKit => answer[3] == SETTINGS,
    };
    Ok(if is_proof { Answer::Proof } else { Answer::Other(answer) })
}
