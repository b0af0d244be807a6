//! An ssh agent that `RUN --mount=type=ssh` uses: a real one, asked by a real client.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::project::{BUSYBOX, Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(ssh_agent_serves_two_platforms_and_stays_unchanged, unplanned_ssh_agent_is_not_reachable,);

/// An agent with one key. It ends with the value.
pub(crate) struct Agent {
    _process: Child,
    pub(crate) socket: PathBuf,
    /// As `ssh-add -l` shows it.
    pub(crate) fingerprint: String,
    private: String,
    public: PathBuf,
}

impl Agent {
    pub(crate) async fn start(project: &Project) -> Self {
        let (socket, key) = (project.path("agent.sock"), project.path("key"));
        let mut agent = Command::new("ssh-agent");
        let process = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).kill_on_drop(true).spawn();
        let process = process.expect("ssh-agent does not start: apt-get install openssh-client");
        let (at, limit) = (socket.clone(), parts::LIMIT);
        parts::eventually("ssh-agent listens", limit, || std::os::unix::net::UnixStream::connect(&at).is_ok()).await;
        let mut generate = Command::new("ssh-keygen");
        generate.args(["-q", "-t", "ed25519", "-N", "", "-C", &project.name, "-f"]).arg(&key);
        parts::printed(&parts::output(generate).await);
        parts::printed(&ssh_add(&socket, &[key.to_str().unwrap()]).await);
        let fingerprint = parts::printed(&ssh_add(&socket, &["-l"]).await);
        let private = fs::read_to_string(&key).unwrap();
        Self { _process: process, socket, fingerprint, private, public: key.with_extension("pub") }
    }
}

async fn ssh_add(socket: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new("ssh-add");
    command.args(args).env("SSH_AUTH_SOCK", socket);
    parts::output(command).await
}

/// A stage of the engine's own platform with a shell and this machine's `ssh-add`, which runs `script` once a
/// platform; and then the image.
pub(crate) async fn client(project: &Project, mounts: &str, script: &str) {
    parts::add_busybox(&project.context());
    let libraries = parts::printed(
        &parts::output({
            let mut command = Command::new("ldd");
            command.arg("/usr/bin/ssh-add");
            command
        })
        .await,
    );
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned);
    let mut stage = String::from(
        "FROM --platform=$BUILDPLATFORM scratch AS client\nARG BUILDARCH\nCOPY busybox-$BUILDARCH /bin/busybox\n",
    );
    for path in libraries.chain(["/usr/bin/ssh-add".to_owned()]) {
        let name = path.trim_start_matches('/').replace('/', "-");
        fs::copy(&path, project.context().join(&name)).unwrap();
        writeln!(stage, "COPY {name} {path}").unwrap();
    }
    let run = format!(
        "RUN {mounts} [\"/bin/busybox\", \"sh\", \"-c\", \"{script}; /bin/busybox echo used > /used # {}\"]",
        project.name
    );
    project.write(
        "context/Dockerfile",
        format!("{stage}ARG TARGETPLATFORM\n{run}\n{BUSYBOX}COPY --from=client /used /used\n"),
    );
}

async fn ssh_agent_serves_two_platforms_and_stays_unchanged(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "agent");
    let agent = Agent::start(&project).await;
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gate.local_addr().unwrap().port();
    // It lists, signs and checks the signature, fails to delete all keys, and waits at the gate with the mount in use.
    let script = format!(
        "set -e; /usr/bin/ssh-add -l; /usr/bin/ssh-add -T /key.pub; ! /usr/bin/ssh-add -D; \
         /bin/busybox echo gate | /bin/busybox nc 127.0.0.1 {port}; /usr/bin/ssh-add -T /key.pub"
    );
    client(&project, "--mount=type=bind,source=key.pub,target=/key.pub --mount=type=ssh,required=true", &script).await;
    fs::copy(&agent.public, project.path("context/key.pub")).unwrap();
    project.plan(registry.address(), "network: host\nssh: [default]\nplatforms: [linux/amd64, linux/arm64]");
    let building = project.command(&["build", "--report", "report.json"]).env("SSH_AUTH_SOCK", &agent.socket);
    let building = building.env("RUST_LOG", "trace").start();

    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
        let mut word = [0; 5];
        step.read_exact(&mut word).await.unwrap();
        held.push(step);
    }
    drop(held);
    let built = building.finish().await.expect_code(0);
    for platform in ["linux/amd64", "linux/arm64"] {
        let said = |text: &str| built.stderr.lines().any(|line| line.contains(platform) && line.contains(text));
        assert!(said(&agent.fingerprint), "{platform} saw no {}:\n{}", agent.fingerprint, built.stderr);
        assert!(said("Failed to remove all identities"), "{platform} deletes keys:\n{}", built.stderr);
    }
    assert_eq!(parts::printed(&ssh_add(&agent.socket, &["-l"]).await), agent.fingerprint);

    // Nothing of the key, nor of where the agent is, goes into the image or the report.
    let secret = agent.private.lines().nth(2).unwrap();
    let mut shown = vec![built.stderr, built.stdout, fs::read_to_string(project.path("report.json")).unwrap()];
    for arch in ["amd64", "arm64"] {
        let name = project.reference(registry.address(), &format!("1.0-{arch}"));
        let history = parts::printed(&project.engine.docker(["history", "--no-trunc", &name]).await);
        let config = crane(&["config", &name]).await;
        assert!(![&history, &config].iter().any(|text| text.contains("agent.sock")), "{history}\n{config}");
        shown.extend([history, config]);
    }
    assert!(shown.iter().all(|text| !text.contains(secret)), "the key is shown");
}

async fn unplanned_ssh_agent_is_not_reachable(engine: Engine) {
    let project = Project::new(engine, "no-agent");
    let agent = Agent::start(&project).await;
    // Without `required` a step runs, and finds nothing.
    client(&project, "--mount=type=ssh", "/bin/busybox test -z $SSH_AUTH_SOCK && ! /usr/bin/ssh-add -l").await;
    project.plan("local", "platforms: [linux/amd64]");
    project.command(&["build"]).env("SSH_AUTH_SOCK", &agent.socket).finish().await.expect_code(0);
    client(&project, "--mount=type=ssh,id=deploy,required=true", "/usr/bin/ssh-add -l").await;
    project.plan("local", "platforms: [linux/amd64]\nssh: [default]");
    let failed = project.command(&["build"]).env("SSH_AUTH_SOCK", &agent.socket).finish().await.expect_code(4);
    for text in ["no ssh agent \"deploy\" is planned", "under `ssh`"] {
        assert!(failed.stderr.contains(text), "no {text:?} in\n{}", failed.stderr);
    }
}
