//! A program whose standard input and output are a connection.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::error::ConnectError;
use super::ping::{Answer, Server, ping};

/// The most bytes that polyarch keeps of the end of a program's standard error.
const MAX_ERRORS: usize = 4 << 10;
/// A running program. The end of the connection ends the program and every program of its process group.
///
/// The programs have a process group of their own, so a Ctrl-C in the terminal does not end a connection that polyarch
/// still needs. If polyarch itself is killed, the programs read the end of their standard input.
#[derive(Debug)]
pub(super) struct ProgramStream {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    /// The end of the standard error.
    said: Vec<u8>,
    has_answered: bool,
}

impl ProgramStream {
    /// Starts a program. `argv` has the program's name first.
    pub(super) fn start(argv: &[String]) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "the command is empty");
        let (name, arguments) = argv.split_first().ok_or_else(missing)?;
        let started = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|error| ConnectError::not_started(name, &error))?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let output = output.ok_or_else(|| io::Error::other("the program has no standard output"))?;
        let (said, has_answered) = (Vec::new(), false);
        Ok(Self { name: name.clone(), child, input, output, errors, said, has_answered })
    }

    /// Waits until the server answers on this stream. The stream has no other use afterwards.
    pub(super) async fn prove(&mut self, server: Server) -> io::Result<()> {
        match ping(self, server).await? {
            Answer::Proof => Ok(()),
            Answer::Other(begin) => Err(ConnectError::not_an_engine(&self.name, &begin)),
        }
    }

    /// All output of a program that reads nothing, up to `most` bytes.
    pub(super) async fn read_all(mut self, most: u64) -> io::Result<Vec<u8>> {
        self.input = None;
        let mut all = Vec::new();
        (&mut self).take(most).read_to_end(&mut all).await?;
        Ok(all)
    }

    /// Whether the program still runs.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Reads all of the standard error that the program has written by now. The result is ready at its end.
    fn listen(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; 1024];
        while let Some(errors) = &mut self.errors {
            let mut piece = ReadBuf::new(&mut piece);
            match ready!(Pin::new(errors).poll_read(context, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => self.said.extend_from_slice(piece.filled()),
                Ok(()) | Err(_) => self.errors = None,
            }
            let excess = self.said.len().saturating_sub(MAX_ERRORS);
            self.said.drain(..excess);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ProgramStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // The program would stop if its standard error were full.
        let ended = this.listen(context);
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            this.has_answered = true;
        } else if !this.has_answered {
            // The program ended without an answer. Its last words say why.
            ready!(ended);
            return Poll::Ready(Err(ConnectError::ended(&this.name, &this.said)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ProgramStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => match ready!(Pin::new(input).poll_write(context, bytes)) {
                // The program ended. The reader finds out why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.has_answered => {
                    Poll::Ready(Ok(bytes.len()))
                }
                written => Poll::Ready(written),
            },
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().map_or(Poll::Ready(Ok(())), |input| Pin::new(input).poll_flush(context))
    }

    /// Closes the program's standard input.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ProgramStream {
    fn drop(&mut self) {
        // The program was not waited for, so no other process has its id.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
