//! An OpenSSH server of the test on loopback, with one user, and the configuration of a client that reaches it as
//! `graviton`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::parts;

/// Who may log in, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// The client has a key that the server accepts.
    Key,
    /// The server wants a password.
    Password,
    /// The client does not know the server.
    UnknownHost,
}

/// It ends with the value.
#[derive(Debug)]
pub(crate) struct SshServer {
    folder: TempDir,
    process: Child,
}

impl SshServer {
    pub(crate) async fn start(login: Login) -> Self {
        let folder = TempDir::with_prefix("polyarch-test-").unwrap();
        let own = folder.path().to_owned();
        let path = |name: &str| own.join(name).to_str().unwrap().to_owned();
        for key in ["host", "client"] {
            let mut generate = tokio::process::Command::new("ssh-keygen");
            generate.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", &path(key)]);
            parts::printed(&parts::output(generate).await);
        }
        fs::create_dir_all("/run/sshd").unwrap();
        fs::copy(path("client.pub"), path("authorized")).unwrap();
        let methods = if login == Login::Password { "password,keyboard-interactive" } else { "publickey" };
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nAuthenticationMethods any\nPubkeyAuthentication {}\nPasswordAuthentication yes\n\
             MaxStartups 1\nPidFile none\nLogLevel VERBOSE\n",
            path("host"),
            path("authorized"),
            if methods == "publickey" { "yes" } else { "no" },
        );
        fs::write(path("sshd_config"), config).unwrap();
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", &path("sshd_config"), "-E", &path("log")])
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd does not start: apt-get install openssh-server");
        let server = Self { folder, process };
        let log = server.log_file();
        parts::eventually("sshd listens", parts::LIMIT, || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("Server listening"))
        })
        .await;
        let known = if login == Login::UnknownHost {
            String::new()
        } else {
            format!("[127.0.0.1]:{port} {}", fs::read_to_string(path("host.pub")).unwrap())
        };
        fs::write(path("known"), known).unwrap();
        let config = format!(
            "Host graviton\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n",
            path("client"),
            path("known")
        );
        fs::write(path("config"), config).unwrap();
        // `ssh` finds its configuration in the home of the account, and not by `HOME`.
        fs::create_dir(path("bin")).unwrap();
        fs::write(path("bin/ssh"), format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path("config"))).unwrap();
        fs::set_permissions(path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        server
    }

    /// The `PATH` with the client that knows the host `graviton`.
    pub(crate) fn path(&self) -> String {
        format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.path().join("bin").display())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// How often somebody logged in.
    pub(crate) fn logins(&self) -> usize {
        fs::read_to_string(self.log_file()).unwrap().matches("Accepted publickey").count()
    }

    /// The processes of `ssh` that use the configuration of this server.
    pub(crate) fn clients(&self) -> Vec<Pid> {
        let config = self.folder.path().join("config");
        processes(|command| command.starts_with("/usr/bin/ssh\0") && command.contains(config.to_str().unwrap()))
    }

    /// Ends every connection, as a network that breaks would.
    pub(crate) fn cut(&self) {
        let server = i32::try_from(self.process.id()).unwrap();
        for session in children(server) {
            let _ = kill_process(session, Signal::KILL);
        }
    }

    /// The programs that sessions of this server run.
    pub(crate) fn sessions(&self) -> usize {
        children(i32::try_from(self.process.id()).unwrap()).len()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.cut();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn processes(is_one: impl Fn(&str) -> bool) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let one = |number: i32| {
        let command = fs::read(Path::new("/proc").join(number.to_string()).join("cmdline")).ok()?;
        is_one(&String::from_utf8_lossy(&command)).then(|| Pid::from_raw(number)).flatten()
    };
    numbers.filter_map(one).collect()
}

/// The processes that `parent` started.
fn children(parent: i32) -> Vec<Pid> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let one = |number: i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let above = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok()?;
        (above == parent).then(|| Pid::from_raw(number)).flatten()
    };
    all.filter_map(one).collect()
}
