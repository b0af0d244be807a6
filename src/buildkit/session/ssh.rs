//! `moby.sshforward.v1.SSH`: forwards requests of `RUN --mount=type=ssh` to one of the user's agents.
//!
//! A step may list keys and request signatures. Like buildx, polyarch refuses requests that would change the agent,
//! because the Dockerfile may be untrusted. The agent's protocol is draft-miller-ssh-agent: a length, a type, contents,
//! and one answer to each request.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bollard::moby::sshforward::v1::ssh_server::Ssh;
use bollard::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::io::StreamReader;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

/// The sockets of the agents that a build may use, by id.
pub type BuildAgents = BTreeMap<String, PathBuf>;

/// The most connections of one session to agents at the same time.
const MOST_CONNECTIONS: usize = 64;
/// The longest message that polyarch passes on, in bytes (OpenSSH, `AGENT_MAX_LEN`).
const MAX_MESSAGE: u32 = 256 << 10;

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
/// The complete answer `SSH_AGENT_FAILURE`.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// Forwards to the agents of the session's builds.
#[derive(Debug)]
pub(super) struct SshService {
    agents: BuildAgents,
    connections: Arc<Semaphore>,
}

impl SshService {
    pub(super) fn new(agents: BuildAgents) -> Self {
        Self { agents, connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)) }
    }

    /// The socket of the agent that a step names, or of the default agent.
    fn socket(&self, id: &str) -> Result<&PathBuf, Status> {
        let id = if id.is_empty() { "default" } else { id };
        self.agents.get(id).ok_or_else(|| Status::not_found(format!("no ssh agent {id:?} is planned")))
    }
}

#[tonic::async_trait]
impl Ssh for SshService {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.socket(&request.into_inner().id).map(|_| Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let socket = self.socket(id)?;
        let held = self.connections.clone().try_acquire_owned();
        let held = held.map_err(|_| Status::resource_exhausted("too many connections to ssh agents at once"))?;
        let agent = UnixStream::connect(socket).await;
        let agent = agent.map_err(|error| Status::unavailable(format!("the ssh agent does not answer: {error}")))?;
        let (answers, said) = mpsc::channel(1);
        let asked = request.into_inner().map(|part| part.map(|part| Bytes::from(part.data)).map_err(io::Error::other));
        // The response owns the task. When the engine drops the stream, the task ends.
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _held = held;
            // When one side ends, the other ends, too. There is no receiver for the reason.
            let _ = forward(StreamReader::new(asked), agent, answers).await;
        }));
        let stream = futures::stream::unfold((said, task), async |(mut said, task)| {
            let answer: Vec<u8> = said.recv().await?;
            Some((Ok(BytesMessage { data: answer }), (said, task)))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Passes on one request after the other with its answer, until one side ends.
async fn forward(
    mut asked: impl AsyncRead + Unpin,
    mut agent: impl AsyncRead + AsyncWrite + Unpin,
    answers: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let request = message(&mut asked).await?;
        let answer = if matches!(request.get(4), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST))) {
            agent.write_all(&request).await?;
            message(&mut agent).await?
        } else {
            FAILURE.to_vec()
        };
        answers.send(answer).await.map_err(io::Error::other)?;
    }
}

/// The next message, with its length in front.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut message = length.to_be_bytes().to_vec();
    let read = from.take(length.into()).read_to_end(&mut message).await?;
    if read as u64 == u64::from(length) { Ok(message) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `kind` with `contents`.
    fn framed(kind: u8, contents: &[u8]) -> Vec<u8> {
        let length = u32::try_from(contents.len() + 1).unwrap().to_be_bytes();
        [&length[..], &[kind], contents].concat()
    }

    /// Forwards the requests `asked` of a step to an agent, which replies with `answer` and ends. Returns the bytes
    /// that reached the agent, and the bytes that reached the step.
    async fn forwarded(asked: &[u8], answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (ours, mut agent) = tokio::io::duplex(1 << 20);
        agent.write_all(answer).await.unwrap();
        agent.shutdown().await.unwrap();
        let (answers, mut said) = mpsc::channel(64);
        forward(asked, ours, answers).await.unwrap_err();
        let (mut heard, mut answered) = (Vec::new(), Vec::new());
        agent.read_to_end(&mut heard).await.unwrap();
        while let Some(part) = said.recv().await {
            answered.extend(part);
        }
        (heard, answered)
    }

    #[tokio::test]
    async fn ssh_agent_lists_and_signs_but_refuses_changes() {
        let list = framed(REQUEST_IDENTITIES, b"");
        let sign = framed(SIGN_REQUEST, &vec![7; 100_000]);
        let (keys, signature) = (framed(12, b"keys"), framed(14, b"signature"));
        // Requests to add, remove, remove all and lock, an extension, and an empty message.
        let refused = [framed(17, b"key"), framed(18, b"key"), framed(19, b""), framed(22, b"x"), framed(27, b"x")];
        let asked = [&list[..], &refused.concat(), &[0; 4], &sign].concat();
        let (heard, answered) = forwarded(&asked, &[&keys[..], &signature].concat()).await;
        assert_eq!(heard, [list, sign].concat());
        assert_eq!(answered, [&keys[..], &FAILURE.repeat(6), &signature].concat());
    }

    #[tokio::test]
    async fn invalid_ssh_agent_message_ends_the_connection() {
        let long = (MAX_MESSAGE + 1).to_be_bytes();
        assert_eq!(forwarded(&long, &[]).await, (Vec::new(), Vec::new()));
        assert_eq!(forwarded(&[0, 0, 0, 9, SIGN_REQUEST], &[]).await, (Vec::new(), Vec::new()));
        let list = framed(REQUEST_IDENTITIES, b"");
        assert_eq!(forwarded(&list, &long).await, (list.clone(), Vec::new()));
        assert_eq!(forwarded(&list, &[0, 0, 0, 9, 12]).await, (list.clone(), Vec::new()));
    }
}
