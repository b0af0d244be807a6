//! The Docker Engines that the live tests build on.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::{Pid, Signal};
use tokio::process::Command;

use super::parts;

/// A Docker Engine, and the client that speaks its version.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// As `-H` and `engines:` take it: `unix:///var/run/docker.sock`.
    pub(crate) host: String,
    client: Vec<String>,
    /// As `scripts/engine-private` names its version.
    version: &'static str,
}

impl Engine {
    /// The engine that is there: with a graph driver, as Debian's 20.10 has.
    pub(crate) fn old() -> Self {
        let host = parts::variable("POLYARCH_TEST_ENGINE_OLD", Some("unix:///var/run/docker.sock"));
        Self { host, client: vec![system_client()], version: "old" }
    }

    /// The newer engine, with the containerd image store.
    pub(crate) fn new() -> Self {
        let host = parts::variable("POLYARCH_TEST_ENGINE_NEW", None);
        let client = vec![parts::variable("POLYARCH_TEST_TOOLS", None), "docker".to_owned()];
        Self { host, client, version: "new" }
    }

    /// The newer engine with a graph driver, as hosted CI runners have it.
    pub(crate) fn graph() -> Self {
        let shared = "unix:///tmp/polyarch-test-engines/graph/engine.sock";
        let host = parts::variable("POLYARCH_TEST_ENGINE_GRAPH", Some(shared));
        Self { host, version: "graph", ..Self::new() }
    }

    /// The oldest and the newest, which differ most.
    pub(crate) fn both() -> [Self; 2] {
        [Self::old(), Self::new()]
    }

    /// Runs the engine's client: `docker(["run", "--rm", "hello:1.0"])`.
    ///
    /// On a busy machine a client may lose all that a container said that ends at once, and still succeed (moby#45689):
    /// a run that said nothing is made again, twice at most.
    pub(crate) async fn docker(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let said_nothing = |output: &Output| args[0] == "run" && output.status.success() && output.stdout.is_empty();
        let mut output = parts::output(self.docker_command(&args)).await;
        for _ in 0..2 {
            if said_nothing(&output) {
                output = parts::output(self.docker_command(&args)).await;
            }
        }
        output
    }

    /// The same as a command that is yet to run: with an input, or to be stopped.
    pub(crate) fn docker_command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]).arg("-H").arg(&self.host).args(args);
        command
    }

    /// Takes what a test made off the engine when it goes out of scope: images whose name or tag contains `name`, and
    /// containers that are named so. Only names of [`parts::unique`] are safe.
    #[must_use = "dropping it removes at once"]
    pub(crate) fn cleanup(&self, name: &str) -> Cleanup {
        assert!(name.starts_with("polyarch-test-"), "{name} may belong to somebody: use parts::unique");
        Cleanup { engine: self.clone(), name: name.to_owned() }
    }

    /// The client without waiting: for `Drop`, when no server of the test is needed any more.
    fn docker_now(&self, args: &[&str]) -> String {
        let mut command = std::process::Command::new(&self.client[0]);
        let output = command.args(&self.client[1..]).arg("-H").arg(&self.host).args(args).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }
}

/// See [`Engine::cleanup`].
#[derive(Debug)]
pub(crate) struct Cleanup {
    engine: Engine,
    name: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        for (list, remove) in [
            (["ps", "--all", "--no-trunc", "--format={{.Names}}"], ["rm", "--force"]),
            (["images", "--all", "--no-trunc", "--format={{.Repository}}:{{.Tag}}"], ["rmi", "--force"]),
            (["images", "--digests", "--no-trunc", "--format={{.Repository}}@{{.Digest}}"], ["rmi", "--force"]),
        ] {
            let listed = self.engine.docker_now(&list);
            let ours = listed.lines().filter(|line| line.contains(&self.name) && !line.contains("<none>"));
            let args: Vec<_> = remove.into_iter().chain(ours).collect();
            if args.len() > remove.len() {
                self.engine.docker_now(&args);
            }
        }
    }
}

/// An engine of one test, to kill and to freeze. It ends with the value.
#[derive(Debug)]
pub(crate) struct PrivateEngine {
    pub(crate) engine: Engine,
    name: String,
}

impl PrivateEngine {
    /// Of the same version as `like`.
    pub(crate) async fn start(like: &Engine, what: &str) -> Self {
        Self::up(like, what, &[]).await
    }

    /// With a disk of a size, as `mount` takes it: `64m`.
    pub(crate) async fn start_on_a_disk_of(size: &str, like: &Engine, what: &str) -> Self {
        Self::up(like, what, &[size]).await
    }

    /// With a network of its own, which has no route to anywhere.
    pub(crate) async fn start_alone(like: &Engine, what: &str) -> Self {
        Self::up(like, what, &["alone"]).await
    }

    async fn up(like: &Engine, what: &str, more: &[&str]) -> Self {
        let name = parts::unique(what);
        let host = script(&[&["start", &name, like.version], more].concat()).await;
        Self { engine: Engine { host, ..like.clone() }, name }
    }

    /// Its `daemon.json`, which a restart reads.
    pub(crate) fn configuration(&self) -> PathBuf {
        Path::new(self.engine.host.trim_start_matches("unix://")).with_file_name("daemon.json")
    }

    /// Brings it up again after its death, with all that it had on disk.
    pub(crate) async fn restart(&self) {
        script(&["start", &self.name, self.engine.version]).await;
    }

    /// Sends a signal to the engine's own process: `KILL` as the out-of-memory killer would, `STOP` to freeze it.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Files, sockets among them, that the engine's own process has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    fn pid(&self) -> i32 {
        let socket = Path::new(self.engine.host.trim_start_matches("unix://"));
        let pid = fs::read_to_string(socket.with_file_name("engine.pid")).unwrap();
        pid.trim().parse().unwrap()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        let stopped = std::process::Command::new(script_path()).args(["stop", &self.name]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "scripts/engine-private stop {} failed", self.name);
    }
}

async fn script(args: &[&str]) -> String {
    let mut command = Command::new(script_path());
    command.args(args);
    parts::printed(&parts::output(command).await)
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engine-private")
}

/// The distribution's own client: another that comes first in PATH may be of another version.
fn system_client() -> String {
    let packaged = "/usr/bin/docker";
    if Path::new(packaged).exists() { packaged } else { "docker" }.to_owned()
}
