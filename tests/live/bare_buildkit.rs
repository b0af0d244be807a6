//! Builds on a BuildKit without a Docker Engine: by its address, in a container or a pod, and as a builder of buildx.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::project::{Project, crane, read_json};
use crate::support::bare_buildkit::BareBuildKit;
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

/// The plan of the project, with one engine.
fn plan(project: &Project, registry: impl std::fmt::Display, engine: &str, settings: &str) {
    let settings = settings.replace('\n', "\n    ");
    let name = &project.name;
    let text = format!(
        "version: 1\nregistry: {registry}\nengines:\n  far: {{ {engine} }}\nimages:\n  {name}:\n    context: context\n    \
         tags: [\"1.0\"]\n    {settings}\n"
    );
    project.write("build.yaml", text);
}

/// A step with a secret.
fn step(project: &Project) {
    let script = format!("/bin/busybox sha256sum /run/secrets/word > /sum # {}", project.name);
    let mount = "--mount=type=secret,id=word,required=true";
    project.busybox(&format!("RUN {mount} [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
}

const SECRET: &str = "secrets: [{ id: word, env: WORD }]";

/// Builds two platforms with a secret and a cache in the registry, and returns the log of the second build.
async fn builds_twice(project: &Project, registry: &Distribution, engine: &str, path: &str) -> String {
    step(project);
    let settings = format!("platforms: [linux/amd64, linux/arm64]\n{SECRET}\ncache: {{ registry: true, mode: max }}");
    plan(project, registry.address(), engine, &settings);
    let command = |args: &[&str]| {
        project.command(args).env("DOCKER_HOST", "").env("PATH", path).env("WORD", "canary-of-buildkit")
    };
    let built = command(&["build", "--report", "report.json"]).finish().await.expect_code(0);
    assert!(!built.stderr.contains("canary-of-buildkit"), "{}", built.stderr);
    let report = read_json(&project.path("report.json"));
    for platform in report["images"][0]["platforms"].as_array().unwrap() {
        let (arch, image) = (platform["platform"].as_str().unwrap(), platform["reference"].as_str().unwrap());
        let tag = project.reference(registry.address(), &format!("1.0-{}", arch.trim_start_matches("linux/")));
        assert!(image.ends_with(crane(&["digest", &tag]).await.trim()), "{report:#}");
    }
    command(&["verify", &project.reference(registry.address(), "1.0")]).finish().await.expect_code(0);
    command(&["build"]).finish().await.expect_code(0).stderr
}

fn system_path() -> String {
    std::env::var("PATH").unwrap()
}

#[tokio::test]
async fn buildkit_on_a_socket_builds_and_pushes() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "bare-unix"));
    let buildkit = BareBuildKit::start(&project.engine).await;
    let engine = format!("buildkit: \"{}\"", buildkit.unix());
    let again = builds_twice(&project, &registry, &engine, &system_path()).await;
    assert!(again.contains("building on far"), "{again}");
    // BuildKit keeps no image.
    let images = parts::printed(&project.engine.docker(["images", "--all"]).await);
    assert!(!images.contains(&project.name), "{images}");
}

#[tokio::test]
async fn buildkit_host_variable_names_the_buildkit() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "bare-tcp"));
    let buildkit = BareBuildKit::start(&project.engine).await;
    project.busybox("");
    project.plan(registry.address(), "platforms: [linux/amd64]\nprovenance: max");
    let command = |args: &[&str]| project.command(args).env("DOCKER_HOST", "").env("BUILDKIT_HOST", buildkit.tcp());
    command(&["build"]).finish().await.expect_code(0);
    let tags = crane(&["ls", &format!("{}/{}", registry.address(), project.name)]).await;
    let mut tags: Vec<_> = tags.split_whitespace().collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1.0", "1.0-amd64", "latest"]);
    command(&["verify", &project.reference(registry.address(), "1.0")]).finish().await.expect_code(0);
    // The variables of docker take precedence.
    let docker = command(&["build", "--dry-run"]).env("DOCKER_HOST", &project.engine.host);
    let docker = docker.finish().await.expect_code(0);
    assert!(docker.stdout.contains(&project.engine.host), "{}", docker.stdout);
    let shown = command(&["build", "--dry-run"]).finish().await.expect_code(0);
    assert!(shown.stdout.contains(&buildkit.tcp()) && shown.stdout.contains("BuildKit"), "{}", shown.stdout);
}

#[tokio::test]
async fn images_build_on_images_of_a_buildkit() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "bare-chain"));
    let buildkit = BareBuildKit::start(&project.engine).await;
    project.busybox("");
    project.write("child/Dockerfile", "FROM parent\nCOPY Dockerfile /copied\n");
    let name = &project.name;
    let text = format!(
        "version: 1\nregistry: {}\nengines: {{ far: {{ buildkit: \"{}\" }} }}\n\
         defaults: {{ tags: [\"1.0\"], platforms: [linux/amd64], arch_tags: none }}\nimages:\n  {name}: {{ context: context }}\n  \
         {name}-child: {{ context: child, contexts: {{ parent: \"image:{name}\" }} }}\n",
        registry.address(),
        buildkit.unix()
    );
    project.write("build.yaml", text);
    project.run(&["build"]).await.expect_code(0);
    let refused = project.run(&["build", "--no-push"]).await.expect_code(3);
    assert!(refused.stderr.contains("only in the cache of BuildKit"), "{}", refused.stderr);
    project.run(&["build", "--no-push", name]).await.expect_code(0);
    project.run(&["build", "--check"]).await.expect_code(0);
    let refused = project.run(&["build", "--load", name]).await.expect_code(3);
    for words in ["engine far (BuildKit", "BuildKit alone keeps no images", "on a Docker Engine"] {
        assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
    }
}

#[tokio::test]
async fn buildkit_in_a_container_or_a_pod_is_reached() {
    let project = Project::new(Engine::new(), "bare-exec");
    let buildkit = BareBuildKit::start(&project.engine).await;
    for (address, program, arguments) in [
        ("docker-container://buildkitd?context=far", "docker", "--context=far exec -i buildkitd buildctl dial-stdio"),
        ("podman-container://buildkitd", "podman", "exec -i buildkitd buildctl dial-stdio"),
        (
            "kube-pod://b-0?namespace=ci&container=main",
            "kubectl",
            "--namespace=ci exec --container=main -i b-0 -- buildctl dial-stdio",
        ),
    ] {
        let registry = Distribution::start(Setup::Plain);
        let script = format!("[ \"$*\" = '{arguments}' ] || {{ echo \"unexpected: $*\" >&2; exit 64; }}\ndial");
        let path = buildkit.path_with(program, &script);
        let again = builds_twice(&project, &registry, &format!("buildkit: \"{address}\""), &path).await;
        assert!(again.contains("building on far"), "{again}");
    }
    let registry = Distribution::start(Setup::Plain);
    // The embedded registry is on the network of this machine.
    project.busybox("");
    plan(&project, "local", "buildkit: \"kube-pod://b-0\"", "platforms: [linux/amd64]");
    let path = buildkit.path_with("kubectl", "dial");
    let refused = project.command(&["build"]).env("PATH", &path).finish().await.expect_code(3);
    assert!(refused.stderr.contains("it may have another network than this machine"), "{}", refused.stderr);
    plan(&project, "local", &format!("buildkit: \"{}\"", buildkit.unix()), "platforms: [linux/amd64]");
    project.run(&["build"]).await.expect_code(0);
    let path = buildkit.path_with("dial", "dial");
    builds_twice(&project, &registry, "buildkit: { command: [dial] }", &path).await;
}

#[tokio::test]
async fn images_spread_over_ready_pods_and_stay_there() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "bare-pods"));
    let buildkit = BareBuildKit::start(&project.engine).await;
    let pod = |name: &str, ready: &str| json!({ "metadata": { "name": name }, "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
    let pods = json!({ "items": [pod("b-0", "True"), pod("b-1", "True"), pod("b-2", "False")] });
    fs::write(buildkit.file("pods.json"), pods.to_string()).unwrap();
    let list = buildkit.file("pods.json");
    let script = format!(
        "case \"$*\" in\n'--namespace=ci get pods --selector=app=buildkitd --output=json') exec cat {} ;;\n\
         '--namespace=ci exec -i b-'[01]' -- buildctl dial-stdio') dial ;;\nesac\necho \"unexpected: $*\" >&2; exit 64",
        list.display()
    );
    let path = buildkit.path_with("kubectl", &script);
    project.busybox("");
    let name = &project.name;
    let images: Vec<_> = (0..12).map(|number| format!("  {name}-{number}: {{ context: context }}\n")).collect();
    let images = images.concat();
    let text = format!(
        "version: 1\nregistry: {}\nengines: {{ ci: {{ buildkit: \"kube-pod://?selector=app=buildkitd&namespace=ci\" }} }}\n\
         defaults: {{ tags: [\"1.0\"], platforms: [linux/amd64] }}\nimages:\n{images}",
        registry.address()
    );
    project.write("build.yaml", text);
    let homes = async || {
        let built = project.command(&["build"]).env("PATH", &path).finish().await.expect_code(0);
        let mut homes: Vec<_> =
            built.stderr.lines().filter(|line| line.contains("building on ci/b-")).map(str::to_owned).collect();
        homes.sort();
        homes
    };
    let first = homes().await;
    assert_eq!(first.len(), 12);
    for pod in ["ci/b-0", "ci/b-1"] {
        assert!(first.iter().any(|line| line.ends_with(pod)), "{pod}: {first:#?}");
    }
    assert_eq!(homes().await, first);
    // No pod is ready.
    fs::write(list, json!({ "items": [pod("b-2", "False")] }).to_string()).unwrap();
    let refused = project.command(&["build"]).env("PATH", &path).finish().await.expect_code(3);
    assert!(refused.stderr.contains("no pod with app=buildkitd is ready"), "{}", refused.stderr);
}

#[tokio::test]
async fn builder_of_buildx_builds() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "bare-builder"));
    let buildkit = BareBuildKit::start(&project.engine).await;
    let tools = parts::variable("POLYARCH_TEST_TOOLS", None);
    let state = parts::variable("HOME", None) + "/.cache/polyarch-test";
    let state = parts::variable("POLYARCH_TEST_STATE", Some(&state));
    let docker = |host: &str| {
        format!("export PATH=/usr/bin:/bin POLYARCH_TEST_STATE={state}\nexec {tools} docker --host {host} \"$@\"")
    };
    let path = buildkit.path_with("docker", &docker(&project.engine.host));
    let again = builds_twice(&project, &registry, "builder: default", &path).await;
    assert!(again.contains("building on far"), "{again}");
    builds_twice(&project, &registry, "builder: current", &path).await;
    // A builder that does not exist, and one that cannot push.
    for (builder, host, words) in [
        ("none", Engine::new().host, "name a builder that exists"),
        ("default", Engine::graph().host, "in place of `builder:`"),
    ] {
        let path = buildkit.path_with("docker", &docker(&host));
        plan(&project, registry.address(), &format!("builder: {builder}"), "platforms: [linux/amd64]");
        let refused = project.command(&["build"]).env("PATH", &path).finish().await.expect_code(3);
        assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
    }
}

#[tokio::test]
async fn unusable_buildkit_is_reported_with_a_remedy() {
    let project = Project::new(Engine::new(), "bare-refused");
    let buildkit = BareBuildKit::start(&project.engine).await;
    project.busybox("");
    let refused = async |engine: String, path: &str, words: [&str; 2]| {
        plan(&project, "local", &engine, "platforms: [linux/amd64]");
        let refused = project.command(&["build", "--no-push"]).env("PATH", path).finish().await.expect_code(3);
        for words in words {
            assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
        }
    };
    let docker = format!("buildkit: \"{}\"", project.engine.host);
    refused(docker, &system_path(), ["no BuildKit answers", "write `host:` in place of `buildkit:`"]).await;
    let none = "buildkit: unix:///tmp/no-such-buildkitd.sock".to_owned();
    refused(none, &system_path(), ["engine far: cannot connect to unix:///tmp/no-such-buildkitd.sock", "hint: "]).await;
    for (said, words) in [
        ("Error from server (NotFound): pods \"b-0\" not found", "name a pod that exists"),
        ("Error from server (Forbidden): pods \"b-0\" is forbidden", "the rights `get` on `pods`"),
        (
            "error: Internal error occurred: exec: \"buildctl\": executable file not found in $PATH: unknown",
            "has no buildctl",
        ),
    ] {
        let path = buildkit.path_with("kubectl", &format!("cat >&2 <<'E'\n{said}\nE\nexit 1"));
        let message = said.trim_start_matches("error: ");
        refused("buildkit: \"kube-pod://b-0\"".to_owned(), &path, [message, words]).await;
    }
}

#[tokio::test]
async fn stopped_run_leaves_no_build_on_a_buildkit() {
    let project = Project::new(Engine::new(), "bare-stopped");
    let buildkit = BareBuildKit::start(&project.engine).await;
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let script =
        format!("/bin/busybox echo {} | /bin/busybox nc 127.0.0.1 {}", project.name, gate.local_addr().unwrap().port());
    project.busybox(&format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
    let engine = format!("buildkit: \"{}\"", buildkit.unix());
    plan(&project, "local", &engine, "platforms: [linux/amd64]\nnetwork: host");
    let running = project.command(&["build", "--no-push"]).start();
    let (mut step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
    running.signal(Signal::INT);
    running.finish().await.expect_code(130);
    // BuildKit ends the step, and with it the step's connection.
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut step, &mut rest);
    tokio::time::timeout(parts::LIMIT, ended).await.expect("the step goes on").unwrap();
}
