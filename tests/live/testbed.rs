//! The testbed is what the other tests take it for. Look here first when all of them fail.

use rustix::process::Signal;

use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

#[tokio::test]
async fn the_engines_are_of_the_two_kinds_of_image_store() {
    for (engine, containerd) in [(Engine::old(), false), (Engine::new(), true)] {
        let store = parts::printed(&engine.docker(["info", "--format={{.DriverStatus}}"]).await);
        assert_eq!(store.contains("io.containerd.snapshotter"), containerd, "{}: {store}", engine.host);
    }
}

#[tokio::test]
async fn the_tools_that_read_what_we_publish_are_there() {
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
async fn busybox_runs_on_every_platform() {
    for (name, machine) in [("busybox-amd64", "x86_64"), ("busybox-arm64", "aarch64"), ("busybox-armv7", "armv7l")] {
        let mut command = tokio::process::Command::new(parts::part(name).join("bin/busybox"));
        command.args(["uname", "-m"]);
        assert_eq!(parts::printed(&parts::output(command).await), machine, "{name}: is binfmt on? `make parts`");
    }
}

#[tokio::test]
async fn what_a_test_made_is_removed_from_the_engine() {
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
async fn a_private_engine_dies_alone() {
    for engine in Engine::both() {
        let private = PrivateEngine::start(&engine, "dies").await;
        parts::printed(&private.engine.docker(["version"]).await);
        private.signal(Signal::KILL);
        assert!(!private.engine.docker(["version"]).await.status.success());
        parts::printed(&engine.docker(["version"]).await);
    }
}
