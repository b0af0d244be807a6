//! polyarch as a plugin of the real docker CLI: `docker polyarch build`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::project::Project;
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::{Home, Run};
use crate::support::tls_front::{Authority, Front, Listen};

/// The docker CLI of this machine.
const DOCKER: &str = "/usr/bin/docker";

/// Links polyarch to the place of the user's plugins.
fn install(home: &Home) {
    let plugins = home.docker_config().join("cli-plugins");
    fs::create_dir(&plugins).unwrap();
    symlink(env!("CARGO_BIN_EXE_polyarch"), plugins.join("docker-polyarch")).unwrap();
}

fn docker(home: &Home, args: &[&str]) -> Run {
    Run::of(DOCKER, home, args)
}

#[tokio::test]
async fn docker_lists_its_plugin_and_shows_its_help() {
    let home = Home::new();
    install(&home);
    let help = docker(&home, &["--help"]).finish().await.expect_code(0);
    assert!(help.stdout.contains("polyarch*"), "{}", help.stdout);
    for words in [&["polyarch", "build", "--help"][..], &["help", "polyarch"], &["polyarch", "help"]] {
        let help = docker(&home, words).finish().await.expect_code(0).stdout;
        assert!(help.contains("Usage: docker polyarch "), "{help}");
        assert!(help.contains("\n  docker polyarch build\n") && !help.contains("\n  polyarch "), "{help}");
    }
    for (words, said) in [
        (&["polyarch", "bild"][..], "Usage: docker polyarch "),
        (&["polyarch", "bake"], "use `docker polyarch build`"),
        (&["polyarch", "join", "web", "--append"], "hint: run `docker polyarch join -t"),
    ] {
        let refused = docker(&home, words).finish().await.expect_code(2);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn docker_polyarch_builds_on_the_engine_of_the_docker_context() {
    let project = Project::new(Engine::graph(), "plugin");
    install(&project.home);
    project.busybox("");
    project.plan("local", "platforms: [linux/amd64]");
    let folder = project.path("");
    let endpoint = format!("host={}", project.engine.host);
    docker(&project.home, &["context", "create", "lab", "--docker", &endpoint]).finish().await.expect_code(0);

    // The variable names another engine, and the option takes precedence.
    let old = Engine::old().host;
    let words = ["--context", "lab", "polyarch", "build", "--load"];
    let built = docker(&project.home, &words).env("DOCKER_HOST", &old).folder(&folder).finish().await.expect_code(0);
    assert_eq!(built.stdout, format!("{}:1.0\n", project.name));
    let image = ["image", "inspect", "--format={{.Architecture}}", &format!("{}:1.0", project.name)];
    assert_eq!(parts::printed(&project.engine.docker(image).await), "amd64");
    assert!(!Engine::old().docker(image).await.status.success(), "the image is on the engine of DOCKER_HOST");

    let words = ["-c", "lab", "polyarch", "engines"];
    let listed = docker(&project.home, &words).env("DOCKER_HOST", &old).finish().await.expect_code(0).stdout;
    let used = listed.lines().find(|line| line.contains('*')).unwrap();
    assert!(used.contains("context lab"), "{listed}");
    assert!(listed.contains("\n* `docker polyarch build` uses this engine here"), "{listed}");
}

#[tokio::test]
async fn docker_certificate_options_reach_the_engine() {
    let project = Project::new(Engine::old(), "plugin-tls");
    install(&project.home);
    let authority = Authority::new();
    let certificates = project.path("certs");
    authority.write_for_client(&certificates);
    let front = Front::start(&project.engine.host, Listen::tls(&authority.sign("localhost"), Some(&authority))).await;
    let host = format!("tcp://localhost:{}", front.port());
    fs::rename(certificates.join("ca.pem"), certificates.join("authority.pem")).unwrap();
    let file = |name: &str| certificates.join(name).to_str().unwrap().to_owned();
    let (authority, cert, key) = (file("authority.pem"), file("cert.pem"), file("key.pem"));
    let files = ["-H", &host, "--tlscacert", &authority, "--tlscert", &cert, "--tlskey", &key];
    let words = |more: &[&'static str]| [&files[..], more].concat();
    let listed =
        docker(&project.home, &words(&["--tlsverify", "polyarch", "engines"])).finish().await.expect_code(0).stdout;
    let used = listed.lines().find(|line| line.contains('*')).unwrap();
    assert!(used.contains("DOCKER_HOST") && used.contains("linux/amd64"), "{listed}");
    let refused = docker(&project.home, &words(&["--tlsverify=false", "polyarch", "build", "--load"]));
    project.plan("local", "platforms: [linux/amd64]");
    let refused = refused.folder(project.path("")).finish().await.expect_code(3);
    assert!(refused.stderr.contains("DOCKER_TLS without DOCKER_TLS_VERIFY"), "{}", refused.stderr);
}

/// docker passes no signal on: since version 25 it closes a socket.
#[tokio::test]
async fn docker_that_is_terminated_ends_its_plugin() {
    let home = Home::new();
    let plugins = home.docker_config().join("cli-plugins");
    fs::create_dir(&plugins).unwrap();
    // The newer docker CLI sees no files of this machine but those in /tmp.
    fs::copy(env!("CARGO_BIN_EXE_polyarch"), plugins.join("docker-polyarch")).unwrap();
    let script = format!(
        "docker --config {} polyarch serve >out 2>err & docker=$!
         until [ -s out ] || ! kill -0 $docker; do :; done
         kill -TERM $docker; wait $docker; echo $?; cat err; cat out",
        home.docker_config().display()
    );
    let script = format!("cd {} && export POLYARCH_HOME=$PWD/polyarch\n{script}", home.path().display());
    // docker ends only with its plugin, and `serve` has no other end than a request to stop.
    let ended = parts::printed(&parts::tool("sh", ["-c", &script]).await);
    assert!(ended.starts_with("0\nthe embedded registry serves"), "{ended}");
}
