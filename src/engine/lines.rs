//! The HTTP/1.1 connections to one engine. A connection carries one request after the other (RFC 9112, 9.3), because a
//! new one may cost a login, a handshake or two programs.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::bounds::{AnswerKind, Bounded, Limits};
use crate::connect::Dialer;

/// How many connections polyarch keeps for later requests. Every one is a session of the login over ssh.
const KEPT: usize = 3;
/// How long a connection may be unused. Routers forget connections without a word.
const UNUSED: Duration = Duration::from_secs(30);

/// The connections to one engine that may carry another request.
#[derive(Debug)]
pub(super) struct Lines<B> {
    dialer: Dialer,
    kept: Mutex<VecDeque<Line<B>>>,
}

#[derive(Debug)]
struct Line<B> {
    sender: SendRequest<B>,
    limits: Limits,
    used: Instant,
}

impl<B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static> Lines<B> {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, kept: Mutex::default() }
    }

    /// Sends a request on a connection that is free, or else on a new one.
    pub(super) async fn send(&self, mut request: Request<B>) -> Result<Response<Incoming>, Error> {
        let answer = AnswerKind::of(request.uri().path());
        loop {
            let (mut line, is_new) = match self.free() {
                Some(line) => (line, false),
                None => (self.open().await?, true),
            };
            line.limits.expect(answer);
            match line.sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(line);
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    // The engine closed the connection while nothing used it, and saw nothing of the request.
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(failed.into_error().into()),
                },
            }
        }
    }

    async fn open(&self) -> io::Result<Line<B>> {
        let (connection, limits) = Bounded::new(self.dialer.connect().await?);
        let (sender, driver) = http1::handshake(TokioIo::new(connection)).await.map_err(io::Error::other)?;
        // This task drives the connection. It ends with the last response after `sender` is gone.
        tokio::spawn(driver);
        Ok(Line { sender, limits, used: Instant::now() })
    }

    fn free(&self) -> Option<Line<B>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|line| !line.sender.is_closed() && (line.used.elapsed() < UNUSED || !line.sender.is_ready()));
        let free = kept.iter().position(|line| line.sender.is_ready())?;
        kept.remove(free)
    }

    /// Keeps a connection. Its response may not have ended.
    fn keep(&self, line: Line<B>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Line { used: Instant::now(), ..line });
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::plan::EngineHost;

    /// Answers requests on one connection, at most this many, and returns their number.
    async fn serve(mut stream: UnixStream, most: usize) -> usize {
        let mut request = [0; 1024];
        for served in 0..most {
            if stream.read(&mut request).await.unwrap() == 0 {
                return served;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
        most
    }

    /// The number of requests on each connection, if the engine closes a connection after `most` of them.
    async fn asked(requests: usize, most: usize) -> Vec<usize> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let lines = Lines::new(Dialer::new(EngineHost::Unix(path).into()));
        let asking = async {
            for _ in 0..requests {
                let request =
                    Request::get("/info").header("host", "docker").body(Empty::<bytes::Bytes>::new()).unwrap();
                let response = lines.send(request).await.unwrap();
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
            }
            drop(lines);
        };
        let serving = async {
            let mut served = Vec::new();
            while served.iter().sum::<usize>() < requests {
                served.push(serve(listener.accept().await.unwrap().0, most).await);
            }
            served
        };
        futures::join!(asking, serving).1
    }

    #[tokio::test]
    async fn engine_connection_carries_one_request_after_the_other() {
        assert_eq!(asked(5, usize::MAX).await, [5]);
    }

    #[tokio::test]
    async fn closed_engine_connection_is_replaced() {
        assert_eq!(asked(5, 2).await, [2, 2, 1]);
    }
}
