//! Debian's docker-registry (distribution 2.8): a registry that we did not write.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// The user that [`Setup::Login`] lets in, with [`PASSWORD`].
pub(crate) const USER: &str = "tester";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "correct horse";
/// The line of `htpasswd -nbB` for them.
const HTPASSWD: &str = "tester:$2y$05$qL0RIi3y6wNBs0fHGjT9eeweCQ6JEg9RXfr38XW0bEjOXPFd5Icpi";
const CONFIG: &str = "config.yml";
/// Where it writes its access log.
const REQUESTS: &str = "requests.log";
/// Longer than a busy machine needs to start it.
const START: Duration = Duration::from_mins(1);

/// How a registry is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// HTTP, open to everybody.
    Plain,
    /// HTTP, open to everybody, and nothing can be pushed.
    ReadOnly,
    /// HTTP, open to everybody, on a disk of one mebibyte.
    Full,
    /// HTTP with a login (Basic).
    Login,
    /// HTTPS with a certificate of its own, open to everybody.
    Tls,
    /// HTTPS and a login.
    TlsLogin,
}

/// A running docker-registry on 127.0.0.1, with storage of its own; killed and removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Distribution {
    child: Child,
    address: SocketAddr,
    certificate: Option<String>,
    dir: TempDir,
}

impl Distribution {
    /// Starts one on a port of its choice and waits until it listens.
    pub(crate) fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, certificate) = configure(&dir, setup);
        fs::write(dir.path().join(CONFIG), config).unwrap();
        let (child, address) = Self::spawn(&dir, program(&dir, setup));
        Self { child, address, certificate, dir }
    }

    /// Kills it, and starts it again at the same address with the same storage; a small disk is gone then.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let path = self.dir.path().join(CONFIG);
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace("addr: 127.0.0.1:0", &format!("addr: {}", self.address))).unwrap();
        (self.child, self.address) = Self::spawn(&self.dir, Command::new("docker-registry"));
    }

    fn spawn(dir: &TempDir, mut command: Command) -> (Child, SocketAddr) {
        let path = dir.path().join(CONFIG);
        let requests = fs::OpenOptions::new().append(true).create(true).open(dir.path().join(REQUESTS)).unwrap();
        let started = command.arg("serve").arg(&path).stdout(requests).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("docker-registry does not start: apt-get install docker-registry");
        let (sender, port) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Reads to the end, so that the registry never waits for us; ends with the registry.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(['"', ',']).next());
                // After the first address nobody listens any more.
                let _ = address.and_then(|text| text.parse().ok()).map(|address: SocketAddr| sender.send(address));
            }
        });
        let address = port.recv_timeout(START).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("docker-registry did not say where it listens: {:?}", child.wait());
        });
        (child, address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`.
    pub(crate) fn base(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What it was asked so far, `METHOD /path`, each answered by now.
    pub(crate) fn requests(&self) -> Vec<String> {
        // Apache's combined log: the request stands between the first quotes.
        let log = fs::read_to_string(self.dir.path().join(REQUESTS)).unwrap();
        let request = |line: &str| Some(line.split('"').nth(1)?.trim_end_matches(" HTTP/1.1").to_owned());
        log.lines().filter_map(request).collect()
    }

    /// Its certificate as PEM, where it speaks TLS; it is of `localhost` and 127.0.0.1 and signed by itself.
    pub(crate) fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program; where its disk is to be small, in a mount namespace of its own.
fn program(dir: &TempDir, setup: Setup) -> Command {
    if setup != Setup::Full {
        return Command::new("docker-registry");
    }
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@""#;
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(data).arg("docker-registry");
    command
}

/// The configuration and the certificate that it names.
fn configure(dir: &TempDir, setup: Setup) -> (String, Option<String>) {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut config = format!(
        "version: 0.1\nlog: {{ level: info, accesslog: {{ disabled: false }} }}\n\
         storage: {{ filesystem: {{ rootdirectory: {} }}, maintenance: {{ readonly: {{ enabled: {} }} }} }}\n",
        path("data"),
        setup == Setup::ReadOnly
    );
    if matches!(setup, Setup::Login | Setup::TlsLogin) {
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        writeln!(config, "auth: {{ htpasswd: {{ realm: test, path: {} }} }}", path("htpasswd")).unwrap();
    }
    config += "http:\n  addr: 127.0.0.1:0\n  secret: not-a-secret\n";
    if !matches!(setup, Setup::Tls | Setup::TlsLogin) {
        return (config, None);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.pem();
    fs::write(dir.path().join("cert.pem"), &certificate).unwrap();
    fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    writeln!(config, "  tls: {{ certificate: {}, key: {} }}", path("cert.pem"), path("key.pem")).unwrap();
    (config, Some(certificate))
}
