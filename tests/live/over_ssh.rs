//! Engines that a real OpenSSH reaches, and engines behind a program.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::project::Project;
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Run;
use crate::support::ssh_server::{Login, SshServer};

on_both_engines!(engine_over_ssh_builds_with_one_login, killed_run_leaves_no_ssh, engine_behind_a_program_builds);

/// The address of the project's engine over ssh.
fn address(project: &Project) -> String {
    format!("ssh://graviton{}", project.engine.host.strip_prefix("unix://").unwrap())
}

/// A run with the engine over ssh.
fn over_ssh(project: &Project, server: &SshServer, args: &[&str]) -> Run {
    project.command(args).env("DOCKER_HOST", address(project)).env("PATH", server.path())
}

async fn nothing_is_left(server: &SshServer) {
    parts::eventually("no ssh is left", parts::LIMIT, || server.clients().is_empty()).await;
    parts::eventually("no session is left", parts::LIMIT, || server.sessions() == 0).await;
}

/// A step that waits at a gate, so that a test can do something in the middle of the build. `step` makes it new to the
/// engine's cache.
fn waiting(project: &Project, port: u16, step: &str) {
    let script = format!("/bin/busybox echo {} {step} | /bin/busybox nc 127.0.0.1 {port}", project.name);
    project.busybox(&format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
}

async fn engine_over_ssh_builds_with_one_login(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let server = SshServer::start(Login::Key).await;
    let project = Project::new(engine, "over-ssh");
    let run = "--mount=type=secret,id=word,required=true";
    let script = format!("/bin/busybox sha256sum /run/secrets/word > /sum # {}", project.name);
    project.busybox(&format!("RUN {run} [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]\nsecrets: [{ id: word, env: WORD }]");
    let built = over_ssh(&project, &server, &["build"]).env("WORD", "canary-of-ssh").finish().await.expect_code(0);
    assert!(!built.stderr.contains("canary-of-ssh"), "{}", built.stderr);
    assert_eq!(server.logins(), 1, "{}", built.stderr);
    nothing_is_left(&server).await;
    // The same from a docker context.
    let context = project.home.docker_config().join("contexts/meta");
    // The directory is `printf graviton | sha256sum`.
    let context = context.join(polyarch::oci::Digest::of(b"graviton").to_string().replace("sha256:", ""));
    fs::create_dir_all(&context).unwrap();
    let meta = json!({ "Name": "graviton", "Endpoints": { "docker": { "Host": address(&project) } } });
    fs::write(context.join("meta.json"), meta.to_string()).unwrap();
    let again = project.command(&["build"]).env("DOCKER_HOST", "").env("DOCKER_CONTEXT", "graviton");
    let again = again.env("PATH", server.path()).env("WORD", "canary-of-ssh").finish().await.expect_code(0);
    assert!(again.stderr.contains("unchanged "), "{}", again.stderr);
    assert_eq!(server.logins(), 2);
}

async fn killed_run_leaves_no_ssh(engine: Engine) {
    let server = SshServer::start(Login::Key).await;
    let project = Project::new(engine, "killed-ssh");
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    project.plan("local", "network: host\nplatforms: [linux/amd64]");
    for (signal, step) in [(Signal::KILL, "killed"), (Signal::INT, "stopped")] {
        waiting(&project, gate.local_addr().unwrap().port(), step);
        let running = over_ssh(&project, &server, &["build", "--no-push"]).start();
        let (step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
        assert!(!server.clients().is_empty());
        running.signal(signal);
        let ended = running.finish().await;
        if signal == Signal::INT {
            ended.expect_code(130);
        }
        nothing_is_left(&server).await;
        drop(step);
    }
}

#[tokio::test]
async fn refused_ssh_login_is_reported_with_a_remedy() {
    let project = Project::new(Engine::old(), "refused-ssh");
    project.busybox("");
    project.plan("local", "platforms: [linux/amd64]");
    for (login, words) in [
        (Login::Password, ["Permission denied (", "make `ssh HOST` work without a password"]),
        (Login::UnknownHost, ["Host key verification failed", "run `ssh HOST` once by hand"]),
    ] {
        let server = SshServer::start(login).await;
        let began = std::time::Instant::now();
        let refused = over_ssh(&project, &server, &["build", "--no-push"]).finish().await.expect_code(3);
        assert!(began.elapsed().as_secs() < 10, "{login:?} took {:?}", began.elapsed());
        for words in words {
            assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
        }
        nothing_is_left(&server).await;
    }
    let server = SshServer::start(Login::Key).await;
    let no_engine =
        over_ssh(&project, &server, &["build", "--no-push"]).env("DOCKER_HOST", "ssh://graviton/tmp/none.sock");
    let no_engine = no_engine.finish().await.expect_code(3);
    assert!(no_engine.stderr.contains("on the host"), "{}", no_engine.stderr);
}

#[tokio::test]
async fn cut_ssh_connection_fails_the_build_and_names_the_engine() {
    let server = SshServer::start(Login::Key).await;
    let project = Project::new(Engine::new(), "cut-ssh");
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    waiting(&project, gate.local_addr().unwrap().port(), "cut");
    project.plan("local", "network: host\nplatforms: [linux/amd64]");
    let running = over_ssh(&project, &server, &["build", "--no-push"]).start();
    let (step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
    server.cut();
    let failed = running.finish().await.expect_code(4);
    assert!(failed.stderr.contains("engine default: cannot build linux/amd64"), "{}", failed.stderr);
    drop(step);
    nothing_is_left(&server).await;
}

async fn engine_behind_a_program_builds(engine: Engine) {
    let project = Project::new(engine, "program");
    project.busybox("");
    let host = &project.engine.host;
    let plan = format!(
        "version: 1\nregistry: local\nengines:\n  far: {{ command: [docker, --host, \"{host}\", system, dial-stdio] }}\n\
         images:\n  {}:\n    context: context\n    tags: [\"1.0\"]\n    platforms: [linux/amd64]\n",
        project.name
    );
    project.write("build.yaml", &plan);
    let built = project.command(&["build"]).env("DOCKER_HOST", "").finish().await.expect_code(0);
    assert!(built.stderr.contains("building on far"), "{}", built.stderr);
    for (program, words) in [
        ("none-of-this-name", ["cannot start none-of-this-name", "install none-of-this-name"]),
        ("echo", ["echo printed \"--host \" before the answer of an engine", "startup files of the shell"]),
        ("/bin/false", ["/bin/false ended without an answer", "run the same /bin/false command by hand"]),
    ] {
        project.write("build.yaml", plan.replace("[docker, ", &format!("[{program}, ")));
        let failed = project.command(&["build"]).env("DOCKER_HOST", "").finish().await.expect_code(3);
        for words in words {
            assert!(failed.stderr.contains(words), "{words}:\n{}", failed.stderr);
        }
    }
}
