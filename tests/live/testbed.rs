//! The testbed is what the other tests take it for. Look here first when all of them fail.

use std::path::Path;

use rustix::process::Signal;

use crate::project::Project;
use crate::support::ecr::Ecr;
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;
use crate::support::program::Home;

#[tokio::test]
async fn testbed_engines_have_both_kinds_of_image_store() {
    for (engine, modern, containerd) in
        [(Engine::old(), false, false), (Engine::new(), true, true), (Engine::graph(), true, false)]
    {
        let store = parts::printed(&engine.docker(["info", "--format={{.Driver}} {{.DriverStatus}}"]).await);
        assert_eq!(store.contains("io.containerd.snapshotter"), containerd, "{}: {store}", engine.host);
        let version = parts::printed(&engine.docker(["version", "--format={{.Server.Version}}"]).await);
        let major: u16 = version.split('.').next().unwrap().parse().unwrap();
        assert_eq!(major >= 28, modern, "{}: {version}", engine.host);
    }
    let driver = parts::printed(&Engine::graph().docker(["info", "--format={{.Driver}}"]).await);
    assert_eq!(driver, "overlay2", "as hosted CI runners have it");
}

#[tokio::test]
async fn testbed_has_the_tools_that_read_images() {
    for (name, args) in [
        ("crane", ["version"].as_slice()),
        ("oras", &["version"]),
        ("skopeo", &["--version"]),
        ("buildah", &["--version"]),
        ("docker", &["buildx", "version"]),
    ] {
        let output = parts::tool(name, args).await;
        assert_ne!(output.status.code(), Some(127), "{name} is not there: {output:?}");
    }
}

#[tokio::test]
async fn testbed_runs_busybox_on_every_platform() {
    for (name, machine) in [("busybox-amd64", "x86_64"), ("busybox-arm64", "aarch64"), ("busybox-armv7", "armv7l")] {
        let mut command = tokio::process::Command::new(parts::part(name).join("bin/busybox"));
        command.args(["uname", "-m"]);
        assert_eq!(parts::printed(&parts::output(command).await), machine, "{name}: is binfmt on? `make parts`");
    }
}

#[tokio::test]
async fn testbed_removes_images_of_a_test_from_the_engine() {
    for engine in Engine::both() {
        let name = parts::unique("cleanup");
        let cleanup = engine.cleanup(&name);
        let mut import = engine.docker_command(["import", "-", &format!("127.0.0.1:5000/{name}:1.0")]);
        import.stdin(std::process::Stdio::null());
        parts::printed(&parts::output(import).await);
        let count = || async {
            let listed = parts::printed(&engine.docker(["images", "--format={{.Repository}}"]).await);
            listed.lines().filter(|line| line.contains(&name)).count()
        };
        assert_eq!(count().await, 1, "{}", engine.host);
        drop(cleanup);
        assert_eq!(count().await, 0, "{}", engine.host);
    }
}

#[tokio::test]
async fn killing_a_private_engine_leaves_the_shared_ones_alive() {
    for engine in Engine::both().into_iter().chain([Engine::graph()]) {
        let private = PrivateEngine::start(&engine, "dies").await;
        parts::printed(&private.engine.docker(["version"]).await);
        private.signal(Signal::KILL);
        assert!(!private.engine.docker(["version"]).await.status.success());
        parts::printed(&engine.docker(["version"]).await);
    }
}

/// As the seeds do it: `aws ecr get-login-password | docker login`, `docker push`, `docker pull`.
async fn docker_client_pushes_to_the_test_ecr_and_pulls_from_it(engine: Engine) {
    let (ecr, project) = (Ecr::start_in(&["us-east-1", "eu-west-1"]).await, Project::new(engine.clone(), "ecr"));
    let docker = |args: &[&str]| {
        let mut command = engine.docker_command(args);
        command.env("DOCKER_CONFIG", project.home.docker_config()).env("DOCKER_BUILDKIT", "1");
        parts::output(command)
    };
    project.busybox("CMD [\"/bin/busybox\", \"uname\", \"-m\"]\n");
    let image = format!("{}/{}:1.0", ecr.host(), project.name);
    let context = project.context();
    parts::printed(&docker(&["build", "--tag", &image, context.to_str().unwrap()]).await);

    ecr.known_to(&engine).await;
    let refused = docker(&["push", &image]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no basic auth credentials"), "{refused:?}");
    let wrong = docker(&["login", "--username", "AWS", "--password", "wrong", ecr.host()]).await;
    assert!(!wrong.status.success(), "{wrong:?}");
    ecr.create(&project.name).await;
    ecr.log_in(&engine, &project.home.docker_config()).await;
    parts::printed(&docker(&["push", &image]).await);
    assert_eq!(ecr.tags(&project.name).await, ["1.0"]);

    parts::printed(&docker(&["rmi", &image]).await);
    parts::printed(&docker(&["pull", &image]).await);
    assert_eq!(parts::printed(&engine.docker(["run", "--rm", "--network=none", &image]).await), "x86_64");
    // A region is a registry of its own.
    let elsewhere = format!("{}/{}:1.0", ecr.host_in("eu-west-1"), project.name);
    assert!(!docker(&["pull", &elsewhere]).await.status.success());
}

on_both_engines!(docker_client_pushes_to_the_test_ecr_and_pulls_from_it);

#[tokio::test]
async fn test_ecr_account_leaves_nothing_on_the_machine() {
    let ecr = Ecr::start().await;
    let host = ecr.host().to_owned();
    let trusted = Path::new("/etc/docker/certs.d").join(&host);
    let known = || async {
        let mut machine = tokio::process::Command::new("cat");
        machine.arg("/etc/hosts");
        let engine = parts::printed(&parts::tool("cat", ["/etc/hosts"]).await).contains(&host);
        (parts::printed(&parts::output(machine).await).contains(&host), engine, trusted.exists())
    };
    assert_eq!(known().await, (true, true, true));
    drop(ecr);
    assert_eq!(known().await, (false, false, false));
}

#[tokio::test]
#[should_panic(expected = "pushed, and the account does not take it")]
async fn testbed_fails_on_a_push_to_a_missing_ecr_repository() {
    let (ecr, name) = (Ecr::start().await, parts::unique("absent"));
    let reference = format!("{}/{name}:1.0", ecr.host());
    let mut push = parts::tool_command("crane");
    push.env("SSL_CERT_FILE", ecr.environment().into_iter().find(|(name, _)| *name == "SSL_CERT_FILE").unwrap().1);
    let home = Home::new();
    push.env("DOCKER_CONFIG", home.docker_config());
    ecr.log_in(&Engine::new(), &home.docker_config()).await;
    push.args(["append", "--new_tag", &reference, "--new_layer", "/dev/null"]);
    parts::printed(&parts::output(push).await);
    ecr.settled().await;
}
