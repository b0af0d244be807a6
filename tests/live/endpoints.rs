//! The matrix of endpoints: every way to an engine, with the same checks.
//!
//! `endpoints/kinds.rs` has a constructor for each kind. Add the name of a new constructor to the list below.

mod kinds;

use std::fs;

use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::project::Project;
use crate::ssh::{Agent, client};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Run;
use kinds::Endpoint;

/// Makes the tests of each kind.
macro_rules! of_each_kind {
    ($($kind:ident),+ $(,)?) => {
        $(mod $kind {
            #[tokio::test]
            async fn endpoint_builds_with_every_input_and_is_verified() {
                let project = super::project(stringify!($kind));
                super::builds(&project, &super::kinds::$kind(&project).await).await;
            }

            #[tokio::test]
            async fn interrupted_build_leaves_nothing_at_the_endpoint() {
                let project = super::project(stringify!($kind));
                super::stops(&project, &super::kinds::$kind(&project).await).await;
            }
        })+
    };
}

of_each_kind!(unix, rootless_context, tcp, tls, ssh, ssh_context, program);
of_each_kind!(buildkit_unix, buildkit_tcp, buildkit_tls, buildkit_container, buildkit_pod, builder);

/// The variable that marks a run and all programs that it starts.
const MARK: &str = "POLYARCH_TEST_MARK";

fn project(kind: &str) -> Project {
    Project::new(Engine::new(), &kind.replace('_', "-"))
}

/// A run that reaches the engine only through the endpoint.
fn run(project: &Project, endpoint: &Endpoint, args: &[&str]) -> Run {
    let run = project.command(args).env("DOCKER_HOST", "").env(MARK, &project.name);
    endpoint.variables.iter().fold(run, |run, (name, value)| run.env(name, value))
}

/// Writes the plan of one image with these settings.
fn plan(project: &Project, endpoint: &Endpoint, registry: &str, settings: &str) {
    project.plan(registry, settings);
    let plan = fs::read_to_string(project.path("build.yaml")).unwrap();
    project.write("build.yaml", format!("{plan}{}", endpoint.engines));
}

/// Processes of this machine that the project's runs started, the runs included.
fn processes(project: &Project) -> usize {
    let mark = format!("{MARK}={}", project.name);
    let environments =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    environments.filter(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())).count()
}

async fn nothing_is_left(project: &Project, endpoint: &Endpoint) {
    parts::eventually("no program of the run is left", parts::LIMIT, || processes(project) == 0).await;
    parts::eventually("no session is left", parts::LIMIT, || (endpoint.sessions)() == 0).await;
}

/// A build with a secret, an ssh agent, a cache in the registry and a push.
async fn builds(project: &Project, endpoint: &Endpoint) {
    let registry = Distribution::start(Setup::Plain);
    let agent = Agent::start(project).await;
    let word = format!("canary-{}", project.name);
    let mounts = "--mount=type=secret,id=word,required=true --mount=type=ssh,required=true";
    client(project, mounts, "set -e; /bin/busybox sha256sum /run/secrets/word; /usr/bin/ssh-add -l").await;
    let settings = "platforms: [linux/amd64, linux/arm64]\nsecrets: [{ id: word, env: WORD }]\nssh: [default]\n\
                    cache: { registry: true, mode: max }";
    plan(project, endpoint, &registry.address().to_string(), settings);
    let building = run(project, endpoint, &["build"]).env("WORD", &word).env("SSH_AUTH_SOCK", &agent.socket);
    let built = building.finish().await.expect_code(0);
    let sum = polyarch::oci::Digest::of(word.as_bytes()).to_string().replace("sha256:", "");
    for text in [&sum, &agent.fingerprint] {
        assert!(built.stderr.contains(text.as_str()), "no {text} in\n{}", built.stderr);
    }
    assert!(!built.stderr.contains(&word), "{}", built.stderr);
    let requests = registry.requests();
    for tag in ["buildcache-amd64", "buildcache-arm64", "1.0-amd64", "1.0-arm64", "latest"] {
        let put = format!("/{}/manifests/{tag}", project.name);
        assert!(requests.iter().any(|line| line.contains("PUT") && line.contains(&put)), "no {put}: {requests:#?}");
    }
    run(project, endpoint, &["verify"]).finish().await.expect_code(0);
    nothing_is_left(project, endpoint).await;
}

/// Ctrl-C in the middle of a step.
async fn stops(project: &Project, endpoint: &Endpoint) {
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gate.local_addr().unwrap().port();
    let script = format!("/bin/busybox echo {} | /bin/busybox nc 127.0.0.1 {port}", project.name);
    project.busybox(&format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
    plan(project, endpoint, "local", "network: host\nplatforms: [linux/amd64]");
    let running = run(project, endpoint, &["build", "--no-push"]).start();
    let (mut step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
    running.signal(Signal::INT);
    let ended = running.finish().await.expect_code(130);
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    // The engine ends the step, so the step's connection ends. Otherwise it would wait for this test.
    let mut rest = Vec::new();
    let read = tokio::time::timeout(parts::LIMIT, step.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the step still runs on the engine");
    nothing_is_left(project, endpoint).await;
}
