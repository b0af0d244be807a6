//! Opens a TCP connection to an engine.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// The pauses between the attempts. An engine that restarts, or a port that a tunnel opens right now, refuses a
/// connection or resets it. No engine ever saw a request of such an attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

/// A new connection.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut pauses = PAUSES.into_iter();
    let stream = loop {
        match TcpStream::connect((host, port)).await {
            Ok(stream) => break stream,
            Err(error) => {
                let Some(pause) = pauses.next().filter(|_| may_pass(&error)) else { return Err(error) };
                tracing::debug!("{host}:{port}: {error}; polyarch connects again");
                tokio::time::sleep(pause).await;
            }
        }
    };
    stream.set_nodelay(true)?;
    // A host that vanished sends nothing. Without these probes a build would wait endlessly.
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(&stream, Duration::from_secs(30))?;
    rustix::net::sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(10))?;
    Ok(stream)
}

fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}
