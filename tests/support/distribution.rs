//! Debian's docker-registry (distribution 2.8): a registry that we did not write.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::parts;

/// The user that [`Setup::Login`] lets in, with [`PASSWORD`].
pub(crate) const USER: &str = "tester";
/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "correct horse";
/// The line of `htpasswd -nbB` for them.
const HTPASSWD: &str = "tester:$2y$05$qL0RIi3y6wNBs0fHGjT9eeweCQ6JEg9RXfr38XW0bEjOXPFd5Icpi";
const CONFIG: &str = "config.yml";
/// Where it writes its access log.
const REQUESTS: &str = "requests.log";

/// How a registry is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// HTTP, open to everybody.
    Plain,
    /// HTTP, open to everybody, and nothing can be pushed.
    ReadOnly,
    /// HTTP, open to everybody, who can delete by digest, too.
    Deleting,
    /// HTTP, open to everybody, on a disk of one mebibyte.
    Full,
    /// HTTP with a login (Basic).
    Login,
    /// HTTPS with a certificate of its own, open to everybody.
    Tls,
    /// HTTPS and a login.
    TlsLogin,
}

/// A registry with a name of its own: HTTPS, and a login.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) address: SocketAddr,
    /// PEM, of the name.
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
    /// A line of htpasswd.
    pub(crate) login: &'a str,
    /// Where it tells what was pushed.
    pub(crate) events: &'a str,
}

/// A running docker-registry on loopback, with storage of its own; killed and removed when it is dropped.
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
        Self::start_at(Ipv4Addr::LOCALHOST.into(), setup)
    }

    /// The same at another address of this machine: an engine trusts loopback without TLS, and no other address.
    pub(crate) fn start_at(address: IpAddr, setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, certificate) = configure(&dir, address, setup);
        fs::write(dir.path().join(CONFIG), config).unwrap();
        let (child, address) = Self::spawn(&dir, program(&dir, setup));
        Self { child, address, certificate, dir }
    }

    /// Starts one with a name.
    pub(crate) fn start_named(named: &Named<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for (file, text) in [("htpasswd", named.login), ("cert.pem", named.certificate), ("key.pem", named.key)] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let config = format!(
            "{}auth: {{ htpasswd: {{ realm: ecr, path: {} }} }}\n\
             notifications: {{ endpoints: [{{ name: test, url: '{}', timeout: 10s, threshold: 3, backoff: 1s }}] }}\n\
             http:\n  addr: {}\n  secret: not-a-secret\n  tls: {{ certificate: {}, key: {} }}\n",
            kept_in(&dir, Setup::TlsLogin),
            path("htpasswd"),
            named.events,
            named.address,
            path("cert.pem"),
            path("key.pem")
        );
        fs::write(dir.path().join(CONFIG), config).unwrap();
        let (child, address) = Self::spawn(&dir, Command::new("docker-registry"));
        Self { child, address, certificate: Some(named.certificate.to_owned()), dir }
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
        let said = |line: &str| line.split("listening on ").nth(1)?.split(['"', ',']).next()?.parse().ok();
        let Some(address) = parts::listening(child.stderr.take().unwrap(), said) else {
            let _ = child.kill();
            panic!("docker-registry did not say where it listens: {:?}", child.wait());
        };
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
        self.answered().into_iter().map(|(request, _)| request).collect()
    }

    /// How many manifests were put so far, with success.
    pub(crate) fn count_of_put_manifests(&self) -> usize {
        let put = |(request, status): &(String, String)| {
            request.starts_with("PUT ") && request.contains("/manifests/") && status == "201"
        };
        self.answered().iter().filter(|answered| put(answered)).count()
    }

    /// Loses a blob, as a garbage collection does that runs while somebody pushes: every manifest that names it stays.
    pub(crate) fn lose(&self, blob: &polyarch::oci::Digest) {
        fs::remove_dir_all(self.stored(blob)).unwrap();
    }

    /// Loses all of a blob but its first bytes, as a disk that was full does.
    pub(crate) fn truncate(&self, blob: &polyarch::oci::Digest, bytes: u64) {
        let file = fs::OpenOptions::new().write(true).open(self.stored(blob).join("data")).unwrap();
        file.set_len(bytes).unwrap();
    }

    /// The directory of a blob.
    fn stored(&self, blob: &polyarch::oci::Digest) -> std::path::PathBuf {
        let hex = blob.as_str().trim_start_matches("sha256:");
        self.dir.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// Requests, each with the status of its answer.
    fn answered(&self) -> Vec<(String, String)> {
        // Apache's combined log: the request stands between the first quotes, and the status after them.
        let log = fs::read_to_string(self.dir.path().join(REQUESTS)).unwrap();
        let answered = |line: &str| {
            let mut quoted = line.split('"').skip(1);
            let request = quoted.next()?.trim_end_matches(" HTTP/1.1").trim_end_matches(" HTTP/2.0").to_owned();
            Some((request, quoted.next()?.split_whitespace().next()?.to_owned()))
        };
        log.lines().filter_map(answered).collect()
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

/// The part of the configuration that says where content and log are.
fn kept_in(dir: &TempDir, setup: Setup) -> String {
    let (read_only, deletes) = (setup == Setup::ReadOnly, setup == Setup::Deleting);
    format!(
        "version: 0.1\nlog: {{ level: info, accesslog: {{ disabled: false }} }}\n\
         storage: {{ filesystem: {{ rootdirectory: {} }}, maintenance: {{ readonly: {{ enabled: {read_only} }} }}, \
         delete: {{ enabled: {deletes} }} }}\n",
        dir.path().join("data").display()
    )
}

/// The configuration and the certificate that it names.
fn configure(dir: &TempDir, address: IpAddr, setup: Setup) -> (String, Option<String>) {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut config = kept_in(dir, setup);
    if matches!(setup, Setup::Login | Setup::TlsLogin) {
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        writeln!(config, "auth: {{ htpasswd: {{ realm: test, path: {} }} }}", path("htpasswd")).unwrap();
    }
    writeln!(config, "http:\n  addr: {address}:0\n  secret: not-a-secret").unwrap();
    if !matches!(setup, Setup::Tls | Setup::TlsLogin) {
        return (config, None);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), address.to_string()]).unwrap();
    let certificate = made.cert.pem();
    fs::write(dir.path().join("cert.pem"), &certificate).unwrap();
    fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    writeln!(config, "  tls: {{ certificate: {}, key: {} }}", path("cert.pem"), path("key.pem")).unwrap();
    (config, Some(certificate))
}
