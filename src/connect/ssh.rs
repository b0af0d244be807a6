//! Connections to an engine over ssh, as the docker CLI makes them: `ssh HOST docker system dial-stdio` (docker/cli,
//! `cli/connhelper`).
//!
//! The docker CLI logs in once for each connection. polyarch logs in once for many: the first `ssh` is a master of
//! OpenSSH (`ControlMaster`, `ssh_config(5)`), and all others share its connection. So a server with a small `MaxStartups`
//! is enough.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use super::commands;
use super::ping::Server;
use super::program::ProgramStream;
use crate::plan::SshHost;
use crate::random;

/// How many streams share one login. OpenSSH's server allows ten sessions by default (`MaxSessions`, `sshd_config(5)`).
/// The master has one of them.
const STREAMS: usize = 8;
/// How many streams polyarch opens before it needs them. A stream starts a program on both machines, which takes longer
/// than most requests. More of them would slow each other down.
const SPARES: usize = 1;
/// Options of every `ssh`: no questions, and nothing of the user's configuration that is not about the way to the host.
/// The options before `ConnectTimeout` end a connection to a host that vanished.
const OPTIONS: &[&str] = &[
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ConnectTimeout=10",
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlPersist=no",
];

/// The logins at one host. Each of them carries several streams.
#[derive(Debug)]
pub(super) struct Ssh {
    host: SshHost,
    /// The program on the other machine.
    server: Server,
    open: Mutex<Open>,
}

/// The logins, and the streams that nothing uses yet.
#[derive(Debug, Default)]
struct Open {
    masters: Vec<Master>,
    spares: VecDeque<SshStream>,
}

/// One login.
#[derive(Debug)]
struct Master {
    /// The socket at which the other `ssh` processes find this one. Its name has 128 random bits.
    socket: PathBuf,
    /// The session that keeps the login alive. When polyarch ends, however it ends, this session ends too.
    session: ProgramStream,
    free: Arc<Semaphore>,
}

/// The socket of a login, and room for one stream.
type Share = (PathBuf, OwnedSemaphorePermit);

/// A stream, and its share of a login.
#[derive(Debug)]
pub(super) struct SshStream {
    pub(super) program: ProgramStream,
    _share: OwnedSemaphorePermit,
}

impl Ssh {
    pub(super) fn new(host: SshHost, server: Server) -> Self {
        Self { host, server, open: Mutex::default() }
    }

    /// Logs in, unless a login has room for another stream. A login proves the engine.
    pub(super) async fn log_in(&self) -> io::Result<()> {
        let mut open = self.open().await;
        drop(open.share(&self.host, self.server).await?);
        self.prepare(&mut open);
        Ok(())
    }

    /// Opens a stream to the engine. It logs in only if no login has room for another stream.
    pub(super) async fn connect(&self) -> io::Result<SshStream> {
        let mut open = self.open().await;
        let stream = if let Some(spare) = open.spares.pop_front() {
            spare
        } else {
            let share = open.share(&self.host, self.server).await?;
            self.stream(share)?
        };
        self.prepare(&mut open);
        Ok(stream)
    }

    /// The logins and streams that still run. One caller has them at a time: a second one waits, and then shares the
    /// login.
    async fn open(&self) -> MutexGuard<'_, Open> {
        let mut open = self.open.lock().await;
        open.masters.retain_mut(|master| master.session.runs());
        open.spares.retain_mut(|spare| spare.program.runs());
        open
    }

    /// Starts the streams for the next callers.
    fn prepare(&self, open: &mut Open) {
        while open.spares.len() < SPARES
            && let Some(share) = open.masters.iter().find_map(Master::share)
            && let Ok(spare) = self.stream(share)
        {
            open.spares.push_back(spare);
        }
    }

    /// Starts a stream on a share of a login.
    fn stream(&self, (socket, share): Share) -> io::Result<SshStream> {
        // Without the master, `ssh` would log in a second time. This `ProxyCommand` prevents it.
        let shared =
            [format!("ControlPath={}", socket.display()), "ControlMaster=no".into(), "ProxyCommand=false".into()];
        let program = ProgramStream::start(&argv(&self.host, self.server, &shared))?;
        Ok(SshStream { program, _share: share })
    }
}

impl Open {
    /// A share of a login that has room, or of a new login.
    async fn share(&mut self, host: &SshHost, server: Server) -> io::Result<Share> {
        if let Some(share) = self.masters.iter().find_map(Master::share) {
            return Ok(share);
        }
        let master = Master::start(host, server).await?;
        let share = master.share().ok_or_else(|| io::Error::other("the login has no room"))?;
        self.masters.push(master);
        Ok(share)
    }
}

impl Master {
    /// Logs in, and waits until the engine answers.
    async fn start(host: &SshHost, server: Server) -> io::Result<Self> {
        // Not in the directory for temporary files: its path may be too long for a socket.
        let socket = PathBuf::from(format!("/tmp/polyarch-ssh-{}", random::name()));
        let own = [format!("ControlPath={}", socket.display()), "ControlMaster=yes".into()];
        let session = ProgramStream::start(&argv(host, server, &own))?;
        let mut master = Self { socket, session, free: Arc::new(Semaphore::new(STREAMS)) };
        // The socket exists as soon as the other side runs a command.
        master.session.prove(server).await?;
        Ok(master)
    }

    /// Its socket and a share of its login, if it has room.
    fn share(&self) -> Option<Share> {
        Some((self.socket.clone(), self.free.clone().try_acquire_owned().ok()?))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // `ssh` removes it at its end, but not if it is killed.
        let _ = fs::remove_file(&self.socket);
    }
}

/// The command for one stream. The shell of the other machine reads the words after the host.
fn argv(host: &SshHost, server: Server, options: &[String]) -> Vec<String> {
    let mut argv = vec!["ssh".to_owned(), "-T".into()];
    for option in OPTIONS.iter().map(|option| (*option).to_owned()).chain(options.iter().cloned()) {
        argv.extend(["-o".to_owned(), option]);
    }
    if let Some(user) = host.user() {
        argv.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = host.port() {
        argv.extend(["-p".to_owned(), port.to_string()]);
    }
    argv.extend(["--".to_owned(), host.host().to_owned()]);
    argv.extend(commands::over_ssh(host, server));
    argv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EngineHost;

    fn host(text: &str) -> SshHost {
        match text.parse() {
            Ok(EngineHost::Ssh(host)) => host,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ssh_gets_user_port_and_socket_as_own_arguments() {
        let (host, options) = (host("ssh://b@h:2222/run/docker.sock"), ["ControlMaster=no".into()]);
        let buildctl = argv(&host, Server::BuildKit, &options);
        assert_eq!(buildctl[buildctl.len() - 3..], ["buildctl", "--addr=unix:///run/docker.sock", "dial-stdio"]);
        let argv = argv(&host, Server::DockerEngine, &options);
        let end = [
            "-o",
            "ControlMaster=no",
            "-l",
            "b",
            "-p",
            "2222",
            "--",
            "h",
            "docker",
            "--host=unix:///run/docker.sock",
            "system",
            "dial-stdio",
        ];
        assert_eq!(argv[argv.len() - end.len()..], end);
        assert!(argv.contains(&"BatchMode=yes".to_owned()));
    }

    /// The words after the host go through a shell on the other machine (V-49).
    #[test]
    fn socket_of_an_ssh_address_means_itself_to_a_shell() {
        let mut accepted = String::new();
        for byte in 0..=u8::MAX {
            let character = char::from(byte);
            let path = format!("/run/a{character}b");
            if let Ok(EngineHost::Ssh(host)) = format!("ssh://h{path}").parse() {
                let words = commands::over_ssh(&host, Server::DockerEngine).join(" ");
                let shell = std::process::Command::new("sh").args(["-c", &format!("printf '%s\n' {words}")]).output();
                let read = String::from_utf8(shell.unwrap().stdout).unwrap();
                let expected = format!("docker\n--host=unix://{path}\nsystem\ndial-stdio\n");
                assert_eq!(read, expected, "{character:?}");
                accepted.push(character);
            }
        }
        let plain: String = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
        let mut expected: Vec<_> = plain.chars().chain("/._-+@:".chars()).collect();
        expected.sort_unstable();
        assert_eq!(accepted, expected.into_iter().collect::<String>());
    }
}
