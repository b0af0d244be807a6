//! The files in `examples/ci`, `action.yml` and the component of GitLab, run as their CI systems run them: the same shells, the
//! same variables, and the kind of engine that the runner has. A test replaces only the addresses of the registry and
//! of the releases, and says which processor a runner has.

mod github;
mod runner;
mod scripts;

use std::fs;

use rustix::process::Signal;

use crate::support::bare_buildkit::BareBuildKit;
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;
use github::{Uses, Workflow};
use runner::{Shell, System};

const CONTAINERD: &str = r#"{"features": {"containerd-snapshotter": true}}"#;

/// The engine of GitHub's `ubuntu-24.04`: version 28 with a graph driver.
async fn hosted(what: &str) -> (PrivateEngine, System) {
    let engine = PrivateEngine::start(&Engine::graph(), what).await;
    let system = System::new(engine.engine.clone(), what).await;
    (engine, system)
}

/// Restarts an engine with this `daemon.json`.
async fn configure(engine: &PrivateEngine, configuration: &str) {
    fs::write(engine.configuration(), configuration).unwrap();
    engine.signal(Signal::KILL);
    engine.restart().await;
}

#[tokio::test]
async fn github_example_publishes_on_hosted_runners() {
    let (_engine, system) = hosted("ci-github").await;
    let ran = Workflow::read(&system, "github.yaml").run(&system, &Uses::default()).await;
    let digest = ran["join"]["digest"].as_str().unwrap();
    assert!(system.index("build.yaml").await.contains(digest), "{ran:#}");
}

#[tokio::test]
async fn github_containerd_example_publishes_with_provenance() {
    let (engine, system) = hosted("ci-containerd").await;
    let uses = Uses { engine: Some(&engine), ..Uses::default() };
    Workflow::read(&system, "github-containerd.yaml").run(&system, &uses).await;
    assert!(system.index("build-features.yaml").await.contains("attestation-manifest"));
}

#[tokio::test]
async fn github_buildx_example_publishes_with_provenance() {
    let (_engine, system) = hosted("ci-buildx").await;
    // The builder of this machine is the BuildKit of an engine with the containerd store.
    let buildkit = BareBuildKit::start(&Engine::new()).await;
    let (tools, host) = (parts::variable("POLYARCH_TEST_TOOLS", None), Engine::new().host);
    let state = parts::variable("HOME", None) + "/.cache/polyarch-test";
    let state = parts::variable("POLYARCH_TEST_STATE", Some(&state));
    let script = format!(
        "[ \"$1\" = buildx ] || exec /usr/bin/docker \"$@\"\nexport PATH=/usr/bin:/bin POLYARCH_TEST_STATE={state}\n\
         unset DOCKER_HOST\nexec {tools} docker --host {host} \"$@\""
    );
    let path = buildkit.path_with("docker", &script);
    let uses = Uses { builder: Some(path.split(':').next().unwrap().to_owned()), ..Uses::default() };
    Workflow::read(&system, "github-buildx.yaml").run(&system, &uses).await;
    assert!(system.index("build-buildx.yaml").await.contains("attestation-manifest"));
}

#[tokio::test]
async fn action_pins_the_program_by_its_sum() {
    let (_engine, system) = hosted("ci-sum").await;
    let step = |sum: &str| {
        format!(
            "jobs: {{ one: {{ steps: [{{ uses: OWNER/polyarch@v1, with: {{ command: '', sha256: '{sum}' }} }}] }} }}"
        )
    };
    let other = "0".repeat(64);
    let both = format!("{other} {}", system.sum());
    Workflow::parse(&step(&both)).run(&system, &Uses::default()).await;
    let refused = Workflow::parse(&step(&other)).fails(&system).await;
    assert!(refused.stderr.contains(&system.sum()) && refused.stderr.contains(&other), "{}", refused.stderr);
}

#[tokio::test]
async fn gitlab_example_and_component_publish() {
    let (engine, system) = hosted("ci-gitlab").await;
    configure(&engine, CONTAINERD).await;
    for (steps, plan) in [
        (scripts::gitlab(&system, &system.example("gitlab.yaml")), "build-features.yaml"),
        (scripts::gitlab_component(&system, "build.yaml"), "build.yaml"),
    ] {
        system.run(Shell::Posix, &steps).await;
        system.index(plan).await;
        let results = fs::read_to_string(system.checkout().join("image.env")).unwrap();
        assert!(results.contains("DIGEST=sha256:"), "{results}");
    }
}

#[tokio::test]
async fn aws_examples_publish() {
    let (_engine, system) = hosted("ci-aws").await;
    for steps in [scripts::codebuild(&system), scripts::codecatalyst(&system)] {
        system.run(Shell::Posix, &steps).await;
        system.index("build.yaml").await;
    }
}

#[tokio::test]
async fn jenkins_and_buildkite_examples_publish() {
    let (_engine, system) = hosted("ci-agents").await;
    system.run(Shell::Posix, &scripts::jenkins(&system)).await;
    system.index("build.yaml").await;
    system.run(Shell::Bash, &scripts::buildkite(&system)).await;
    system.index("build.yaml").await;
}
