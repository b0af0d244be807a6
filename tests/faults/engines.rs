//! Engines that are not there, not willing, or not for the platform.

use std::fs;
use std::time::{Duration, Instant};

use super::world::{HELLO, World, says};
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_engine::{Rest, Script, ScriptedEngine};
use crate::support::store::Store;
use crate::support::tls_front::{Front, Listen};

#[tokio::test]
async fn missing_socket_error_names_path_and_origin() {
    let world = World::start(Script::default()).await;
    let socket = world.home.path().join("nothing.sock");
    let started = Instant::now();
    let host = format!("unix://{}", socket.display());
    let by_environment = Run::new(&world.home, ["build"]).env("DOCKER_HOST", &host).finish().await.expect_code(3);
    assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
    let socket = socket.display().to_string();
    says(&by_environment, &[&socket, "DOCKER_HOST", "No such file", "start Docker"]);

    world.plan(&format!("engines: {{ builder: {{ host: '{host}' }} }}\n{HELLO}"));
    let by_plan = Run::new(&world.home, ["build"]).finish().await.expect_code(3);
    says(&by_plan, &[&socket, "engine builder", "named by the plan"]);
    // Nothing was asked of the registry: the engines come first.
    assert_eq!(world.registry.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn socket_without_a_listener_gets_a_hint() {
    let world = World::start(Script::default()).await;
    let socket = world.home.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let host = format!("unix://{}", socket.display());
    let finished = Run::new(&world.home, ["build"]).env("DOCKER_HOST", &host).finish().await.expect_code(3);
    says(&finished, &["left.sock", "DOCKER_HOST", "refused", "start Docker"]);
}

#[tokio::test]
async fn unreachable_engine_without_a_substitute_stops_the_run() {
    let world = World::start(Script::default()).await;
    let down = world.home.path().join("down.sock");
    world.plan(&format!(
        "engines: {{ up: {{ host: '{}' }}, down: {{ host: 'unix://{}', platforms: [linux/arm64] }} }}\n{HELLO}",
        world.engine.host(),
        down.display()
    ));
    let finished = world.build().await.expect_code(3);
    says(&finished, &["engine down", "down.sock", "no engine builds hello linux/arm64: up builds linux/amd64"]);
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

/// The engine's answer to the question whether it reaches the registry.
fn route(status: u16, message: &'static str) -> Script {
    Script::default().rest(move |line| {
        line.starts_with("GET /distribution/").then(|| Rest::Answer(status, format!("{{\"message\":\"{message}\"}}")))
    })
}

fn questions(world: &World) -> usize {
    world.engine.requests().iter().filter(|line| line.starts_with("GET /distribution/")).count()
}

#[tokio::test]
async fn engine_without_a_route_stops_the_run_before_any_build() {
    for (message, hint) in [
        ("dial tcp: lookup a.io on 10.0.0.2:53: no such host", "give the engine's host a route"),
        ("dial tcp 10.0.0.9:443: connect: network is unreachable", "give the engine's host a route"),
        ("dial tcp 10.0.0.9:443: connect: connection refused", "give the engine's host a route"),
        ("dial tcp 10.0.0.9:443: i/o timeout", "give the engine's host a route"),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/"),
        ("http: server gave HTTP response to HTTPS client", "`insecure-registries`"),
    ] {
        let world = World::start(route(500, message)).await;
        let failed = world.build().await.expect_code(3);
        let host = world.registry.host();
        says(&failed, &[&format!("engine default cannot reach registry {host}: {message}"), hint]);
        assert_eq!((world.engine.counts().solves.started, questions(&world)), (0, 2), "{message}");
        world.assert_untouched();
        // Nothing is pushed, so nothing is asked.
        world.run(&["build", "--no-push"]).finish().await.expect_code(0);
        assert_eq!(questions(&world), 2, "{message}");
    }
}

#[tokio::test]
async fn refusal_of_the_registry_proves_the_route_of_the_engine() {
    for (status, message) in [
        (401, "unauthorized: authentication required"),
        (403, "denied: requested access to the resource is denied"),
        (404, "manifest unknown"),
        (500, "received unexpected HTTP status: 502 Bad Gateway"),
        (501, "this server knows no such path"),
    ] {
        let world = World::start(route(status, message)).await;
        world.build().await.expect_code(0);
        assert_eq!(questions(&world), 1, "{message}");
    }
}

#[tokio::test]
async fn two_engines_build_their_own_platforms() {
    let store = Store::default();
    let arm = ScriptedEngine::start(Script::default().on("arm64"), &store);
    let world = World::around(ScriptedEngine::start(Script::default(), &store), store).await;
    let (x86, graviton) = (world.engine.host(), arm.host());
    world.plan(&format!("engines: {{ x86: {{ host: '{x86}' }}, graviton: {{ host: '{graviton}' }} }}\n{HELLO}"));
    world.build().await.expect_code(0);
    let solves = |engine: &ScriptedEngine| {
        let requests = engine.requests().into_iter().filter(|line| line.starts_with("SOLVE"));
        requests.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((solves(&world.engine), solves(&arm)), (vec!["linux/amd64".to_owned()], vec!["linux/arm64".to_owned()]));
}

#[tokio::test]
async fn missing_engine_for_a_platform_lists_engines_and_platforms() {
    let world = World::start(Script::default()).await;
    let host = world.engine.host();
    let two = format!("x86: {{ host: '{host}' }}, other: {{ host: '{host}', platforms: [linux/riscv64] }}");
    let one = format!("x86: {{ host: '{host}', platforms: [linux/riscv64] }}");
    for (engines, builds) in [(two, "x86 builds linux/amd64"), (one, "x86 builds linux/amd64, linux/riscv64")] {
        world.plan(&format!("engines: {{ {engines} }}\n{HELLO}"));
        let finished = world.build().await.expect_code(3);
        says(&finished, &["no engine builds hello linux/arm64", builds, "`platforms:`"]);
    }
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn refused_emulation_is_reported_with_its_place() {
    let world = World::start(Script::default()).await;
    let host = world.engine.host();
    for (engine, defaults, texts) in [
        (
            ", emulate: false",
            "",
            ["engine x86 does not emulate (`emulate: false`)", "remove `emulate: false` of engine x86"],
        ),
        ("", "defaults: { emulate: false }\n", ["x86 would emulate it (`emulate: false`)", "of hello"]),
        (", platforms_only: [linux/amd64]", "", ["x86 builds only linux/amd64", "`platforms:`"]),
        (
            ", platforms_only: [linux/arm64]",
            "",
            ["x86 builds only linux/arm64", "add linux/amd64 to `platforms_only:`"],
        ),
    ] {
        world.plan(&format!("engines: {{ x86: {{ host: '{host}'{engine} }} }}\n{defaults}{HELLO}"));
        let finished = world.build().await.expect_code(3);
        says(&finished, &texts);
        assert_eq!(finished.stderr.matches("no engine builds").count(), 1, "{}", finished.stderr);
    }
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn engine_that_no_job_may_use_is_not_asked() {
    let world = World::start(Script::default()).await;
    let (host, down) = (world.engine.host(), world.home.path().join("down.sock").display().to_string());
    let plan = |down_has: &str| {
        let engines = format!("x86: {{ host: '{host}' }}, arm: {{ host: 'unix://{down}', {down_has} }}");
        world.plan(&format!("engines: {{ {engines} }}\n{HELLO}"));
    };
    let dry = || Run::new(&world.home, ["build", "--dry-run", "--platform", "linux/amd64"]).finish();
    plan("platforms_only: [linux/arm64]");
    let alone = dry().await.expect_code(0);
    assert!(!alone.stderr.contains("arm"), "{}", alone.stderr);
    // It may have a processor of any kind.
    plan("platforms: [linux/arm64]");
    says(&dry().await.expect_code(0), &["warning:", "down.sock", "the run continues without engine arm"]);
}

#[tokio::test]
async fn engine_that_is_down_is_left_out_unless_required() {
    let world = World::start(Script::default()).await;
    let (host, down) = (world.engine.host(), world.home.path().join("down.sock").display().to_string());
    let plan = |more: &str| {
        let engines =
            format!("up: {{ host: '{host}', platforms: [linux/arm64] }}, down: {{ host: 'unix://{down}'{more} }}");
        world.plan(&format!("engines: {{ {engines} }}\n{HELLO}"));
    };
    plan(", required: true");
    says(&world.build().await.expect_code(3), &["engine down", "down.sock", "named by the plan"]);
    world.assert_untouched();
    plan("");
    let finished = world.build().await.expect_code(0);
    says(&finished, &["warning:", "engine down", "down.sock", "the run continues without engine down"]);
    assert!(world.report()["warnings"].to_string().contains("without engine down"));
}

#[tokio::test]
async fn engine_acts_the_same_from_plan_flag_or_docker_host() {
    let world = World::start(Script::default()).await;
    let host = world.engine.host();
    let by_docker =
        Run::new(&world.home, ["build", "--dry-run"]).env("DOCKER_HOST", &host).finish().await.expect_code(0);
    says_on_stdout(&by_docker, &["linux/amd64 on default (native)", "linux/arm64 on default (emulated)"]);
    let flag = format!("default={host}");
    let by_flag = Run::new(&world.home, ["build", "--dry-run", "--engine", &flag]).finish().await.expect_code(0);
    assert_eq!(by_flag.stdout, by_docker.stdout);
    for more in ["", ", platforms: [linux/arm64]", ", platforms: [linux/amd64, linux/arm64]"] {
        world.plan(&format!("engines: {{ default: {{ host: '{host}'{more} }} }}\n{HELLO}"));
        let by_plan = Run::new(&world.home, ["build", "--dry-run"]).finish().await.expect_code(0);
        assert_eq!(by_plan.stdout, by_docker.stdout, "{more}");
    }
    // An engine that lists none of the wanted platforms may be of such a processor.
    world.plan(&format!("engines: {{ default: {{ host: '{host}', platforms: [linux/arm64] }} }}\n{HELLO}"));
    let own = Run::new(&world.home, ["build", "--dry-run", "--platform", "linux/amd64"]).finish().await.expect_code(0);
    says_on_stdout(&own, &["linux/amd64 on default (native)"]);
}

#[tokio::test]
async fn variants_of_the_engines_own_processor_are_native() {
    let script =
        Script::default().runs(&["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/386", "linux/arm64"]);
    let world = World::start(script).await;
    let image = "images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64, linux/amd64/v2, \
                 linux/amd64/v3, linux/386, linux/arm64] } }";
    world.plan(image);
    let dry = |more: &'static [&'static str]| {
        let arguments = ["build", "--dry-run"].into_iter().chain(more.iter().copied());
        Run::new(&world.home, arguments).env("DOCKER_HOST", world.engine.host()).finish()
    };
    let native: Vec<_> = ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/386"]
        .map(|platform| format!("{platform} on default (native)"))
        .into();
    let native: Vec<&str> = native.iter().map(String::as_str).collect();
    let all = dry(&[]).await.expect_code(0);
    says_on_stdout(&all, &native);
    says_on_stdout(&all, &["linux/arm64 on default (emulated)"]);
    let only = dry(&["--platform", "native"]).await.expect_code(0);
    says_on_stdout(&only, &native);
    assert!(!only.stdout.contains("linux/arm64"), "{}", only.stdout);
    // Another engine beside it takes nothing from it.
    let (host, other) = (world.engine.host(), world.engine.host());
    world.plan(&format!(
        "engines: {{ x86: {{ host: '{host}' }}, emulator: {{ host: '{other}', platforms: [linux/arm64] }} }}\n{image}"
    ));
    let named = Run::new(&world.home, ["build", "--dry-run"]).finish().await.expect_code(0);
    says_on_stdout(&named, &["linux/arm64 on emulator (emulated)"]);
    assert!(!named.stdout.contains("linux/amd64/v3 on x86 (emulated)"), "{}", named.stdout);
    assert_eq!(world.engine.counts().solves.started, 0);
}

#[tokio::test]
async fn misspelled_platform_gets_a_suggestion_and_its_place() {
    let world = World::start(Script::default()).await;
    world.plan(&HELLO.replace("linux/arm64", "linux/amd46"));
    let finished = world.build().await.expect_code(2);
    says(&finished, &["`linux/amd46`", "did you mean linux/amd64?", "build.yaml:"]);
    world.plan(HELLO);
    for arguments in [
        &["build", "--platform", "linux/amd46"][..],
        &["build", "--set", "hello.linux/amd46.target=x"],
        &["plan", "--platform", "amd46"],
        &["join", "-t", "localhost:9/a:1", "localhost:9/b:1", "--expect", "linux/amd46"],
        &["join", "-t", "localhost:9/a:1", "--remove", "linux/amd46"],
        &["join", "-t", "localhost:9/a:1", "localhost:9/b:1", "--annotate", "localhost:9/b:1=linux/amd46"],
        &["join", "-t", "localhost:9/a:1", "localhost:9/b:1", "--annotation", "entry[linux/amd46]:a=b"],
        &["copy", "localhost:9/a:1", "localhost:9/b:1", "--platform", "linux/amd46"],
        &["digest", "localhost:9/a:1", "--platform", "linux/amd46"],
    ] {
        let finished = Run::new(&world.home, arguments).env("DOCKER_HOST", world.engine.host()).finish().await;
        says(&finished.expect_code(2), &["did you mean linux/amd64?"]);
    }
}

fn says_on_stdout(finished: &Finished, words: &[&str]) {
    for word in words {
        assert!(finished.stdout.contains(word), "{word:?} in {}", finished.stdout);
    }
}

#[tokio::test]
async fn server_that_is_not_a_buildkit_engine_is_refused() {
    type Answer = fn(&str) -> Option<Rest>;
    let garbage = |line: &str| (line == "GET /version").then(|| Rest::Answer(200, "<html>nginx</html>".into()));
    let broken = |line: &str| (line == "GET /version").then(|| Rest::Answer(500, r#"{"message":"it broke"}"#.into()));
    let cut = |line: &str| (line == "GET /info").then(|| Rest::Cut(r#"{"Driver"#.into()));
    let podman = |line: &str| (line == "POST /grpc").then(|| Rest::Answer(404, "page not found".into()));
    let old = |line: &str| {
        (line == "GET /version")
            .then(|| Rest::Answer(200, r#"{"ApiVersion":"1.24","Os":"linux","Arch":"amd64"}"#.into()))
    };
    let cases: [(Answer, &str); 5] = [
        (garbage, "the connection to the engine was lost"),
        (broken, "it broke"),
        (cut, "the connection to the engine was lost"),
        (podman, "the engine has no BuildKit"),
        (old, "its API version is 1.24"),
    ];
    for (answer, words) in cases {
        let world = World::start(Script::default().rest(answer)).await;
        let finished = world.build().await.expect_code(3);
        says(&finished, &[words, "engine default", "DOCKER_HOST"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn hint_names_the_builder_that_can_do_more_than_the_engine() {
    let world = World::start(Script::default()).await;
    world.plan(&HELLO.replace("tags:", "provenance: max\n    cache: { registry: true }\n    tags:"));
    let told = world.build().await.expect_code(3);
    says(&told, &["its image store cannot hold such an image", "containerd image store, 24.0 or newer"]);
    let instances = world.home.docker_config().join("buildx/instances");
    fs::create_dir_all(&instances).unwrap();
    for (driver, line) in [
        ("docker-container", "`engines: { default: { builder: ci } }`, or remove the key"),
        ("docker", "containerd image store, 24.0 or newer"),
    ] {
        let builder = format!(r#"{{"Name":"ci","Driver":"{driver}","Nodes":[{{"Name":"ci0","Endpoint":"x"}}]}}"#);
        fs::write(instances.join("ci"), builder).unwrap();
        says(&world.build().await.expect_code(3), &[line]);
    }
    let builder = r#"{"Name":"ci","Driver":"kubernetes","Nodes":[]}"#;
    fs::write(instances.join("ci"), builder).unwrap();
    let run = world.run(&["build"]).env("BUILDX_BUILDER", "ci");
    let told = run.finish().await.expect_code(3);
    says(&told, &["build on your builder of buildx: `engines: { default: { builder: current } }`"]);
    assert_eq!(world.engine.counts().solves.started, 0);
}

/// What BuildKit knows since 0.10, and what it always knew.
const SANDBOX: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0"]
    extra_hosts: { db: 10.0.0.5 }
    no_cache_filter: [fetch]
    platforms:
      linux/amd64:
      linux/arm64: { shm_size: 64m, ulimits: { nofile: 1024 }, cgroup_parent: builds, no_cache_filter: [test] }
"#;

#[tokio::test]
async fn settings_that_the_engine_would_ignore_are_refused() {
    let world = World::start(Script::default()).await;
    world.plan(SANDBOX);
    let told = [
        "engine default (20.10.24) cannot build hello linux/arm64 with `shm_size`, `ulimits`, `cgroup_parent`",
        "Engine 23.0",
    ];
    for args in [&["build"][..], &["build", "--no-push"], &["build", "--dry-run"]] {
        says(&world.run(args).finish().await.expect_code(3), &told);
    }
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn engine_receives_the_sandbox_settings_of_each_platform() {
    let script = Script::default().containerd().solve(async |call| {
        let attrs = &call.request.frontend_attrs;
        let said = ["add-hosts", "shm-size", "ulimit", "cgroup-parent", "no-cache"].map(|key| attrs.get(key).cloned());
        call.log(&format!("told {:?}\n", said.map(Option::unwrap_or_default)));
        call.built()
    });
    let world = World::start(script).await;
    world.plan(SANDBOX);
    let finished = world.build().await.expect_code(0);
    says(
        &finished,
        &[
            r#"told ["db=10.0.0.5", "", "", "", "fetch"]"#,
            r#"told ["db=10.0.0.5", "67108864", "nofile=1024:1024", "builds", "test"]"#,
        ],
    );
}

/// A folder of a docker context. Its name is the hash of the context's name.
fn context(home: &Home, name: &str, host: &str) {
    let id = polyarch::oci::Digest::of(name.as_bytes()).to_string().replace("sha256:", "");
    let folder = home.docker_config().join("contexts/meta").join(id);
    std::fs::create_dir_all(&folder).unwrap();
    let meta = serde_json::json!({ "Name": name, "Endpoints": { "docker": { "Host": host } } });
    std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
}

#[tokio::test]
async fn engine_is_named_in_one_order_of_precedence() {
    let world = World::start(Script::default()).await;
    let (host, home) = (world.engine.host(), &world.home);
    let nowhere = |name: &str| format!("unix://{}/{name}.sock", home.path().display());
    for name in ["current", "variable"] {
        context(home, name, &nowhere(name));
    }
    let current = serde_json::json!({ "currentContext": "current" });
    std::fs::write(home.docker_config().join("config.json"), current.to_string()).unwrap();
    let run = |args: &[&str]| Run::new(home, [&["build", "--dry-run"], args].concat());
    // Each source takes precedence over the sources before it.
    let context = run(&[]).finish().await.expect_code(3);
    says(&context, &["current.sock", "named by docker context current"]);
    let by_variable = |args: &[&str]| run(args).env("DOCKER_CONTEXT", "variable");
    says(&by_variable(&[]).finish().await.expect_code(3), &["variable.sock", "named by docker context variable"]);
    let by_host = |args: &[&str]| by_variable(args).env("DOCKER_HOST", nowhere("host"));
    says(&by_host(&[]).finish().await.expect_code(3), &["host.sock", "named by DOCKER_HOST"]);
    let flag = format!("x86={}", nowhere("flag"));
    let by_flag = by_host(&["--engine", &flag]).finish().await.expect_code(3);
    says(&by_flag, &["flag.sock", "named by the plan or --engine"]);
    by_host(&["--engine", &format!("x86={host}")]).finish().await.expect_code(0);
    world.plan(&format!("engines: {{ x86: {{ host: '{host}' }} }}\n{HELLO}"));
    by_host(&[]).finish().await.expect_code(0);
    // A flag with the name of an engine replaces the way to that engine.
    by_host(&["--engine", &flag]).finish().await.expect_code(3);
    let default = run(&["--engine", "x86=context:default"]).env("DOCKER_HOST", &host).finish().await.expect_code(0);
    assert!(default.stdout.contains(&host), "{}", default.stdout);
}

#[tokio::test]
async fn docker_context_in_a_plan_is_resolved_or_explained() {
    let world = World::start(Script::default()).await;
    context(&world.home, "lab", &world.engine.host());
    context(&world.home, "plain", "tcp://10.0.0.5:2375");
    let plan = |name: &str| world.plan(&format!("engines: {{ x86: {{ context: {name} }} }}\n{HELLO}"));
    plan("lab");
    let built = Run::new(&world.home, ["build"]).finish().await.expect_code(0);
    says(&built, &["building on x86"]);
    let shown = Run::new(&world.home, ["plan", "--format", "json"]).finish().await.expect_code(0);
    assert!(shown.stdout.contains(r#""context": "lab""#), "{}", shown.stdout);
    plan("none");
    let unknown = Run::new(&world.home, ["build"]).finish().await.expect_code(3);
    says(&unknown, &["engine x86: there is no docker context \"none\"", "name a context that exists: lab, plain"]);
    plan("plain");
    let unencrypted = Run::new(&world.home, ["build"]).finish().await.expect_code(3);
    says(&unencrypted, &["tcp://10.0.0.5:2375 is unencrypted TCP", "use TLS"]);
}

#[tokio::test]
async fn missing_default_socket_lists_the_sockets_that_exist() {
    let world = World::start(Script::default()).await;
    let home = world.home.path();
    let listen = |path: &str| {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::net::UnixListener::bind(path).unwrap()
    };
    // An empty directory hides the sockets of this machine.
    let hidden =
        ["--mount", "sh", "-c", "mount -t tmpfs none /run && exec \"$0\" build", env!("CARGO_BIN_EXE_polyarch")];
    let run = || Run::of("unshare", &world.home, hidden).env("XDG_RUNTIME_DIR", home.join("user"));
    says(&run().finish().await.expect_code(3), &["/var/run/docker.sock", "named by the default", "start Docker"]);
    let sockets =
        [listen(".colima/default/docker.sock"), listen(".orbstack/run/docker.sock"), listen("user/podman/podman.sock")];
    let orbstack = format!("unix://{}/.orbstack/run/docker.sock", home.display());
    context(&world.home, "orbstack", &orbstack);
    let found = run().finish().await.expect_code(3);
    let colima = format!("DOCKER_HOST=unix://{}/.colima/default/docker.sock for colima", home.display());
    let orbstack = format!("DOCKER_HOST={orbstack} or `docker context use orbstack` for OrbStack");
    says(&found, &["/var/run/docker.sock", &colima, &orbstack, "podman.sock has no BuildKit"]);
    // polyarch connected to none of them.
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    // A socket that is named is not the default.
    let named = run().env("DOCKER_HOST", "unix:///var/run/docker.sock").finish().await.expect_code(3);
    assert!(!named.stderr.contains("colima"), "{}", named.stderr);
}

#[tokio::test]
async fn socket_without_permission_names_the_group_docker() {
    let world = World::start(Script::default()).await;
    std::os::unix::fs::chown(world.engine.socket(), Some(1), Some(1)).unwrap();
    std::fs::set_permissions(world.engine.socket(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Root may open everything, unless that capability is taken away.
    let unprivileged = ["--bounding-set=-dac_override,-dac_read_search", "--", env!("CARGO_BIN_EXE_polyarch"), "build"];
    let run = Run::of("setpriv", &world.home, unprivileged).env("DOCKER_HOST", world.engine.host());
    let refused = run.finish().await.expect_code(3);
    says(&refused, &["Permission denied", "add your user to the socket's group (often `docker`)"]);
    world.assert_untouched();
}

#[tokio::test]
async fn refused_tcp_connection_is_tried_again() {
    let world = World::start(Script::default()).await;
    // The port belongs to this test and refuses connections, because no program listens yet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let host = format!("tcp://{}", socket.local_addr().unwrap());
    let run = Run::new(&world.home, ["build", "--verbose"]).env("DOCKER_HOST", &host);
    let mut running = run.start();
    running.stderr_line("polyarch connects again").await;
    let front = Front::on(socket.listen(16).unwrap(), &world.engine.host(), Listen::Plain);
    running.finish().await.expect_code(0);
    drop(front);
    // It gives up soon.
    let started = Instant::now();
    let refused = Run::new(&world.home, ["build"]).env("DOCKER_HOST", &host).finish().await.expect_code(3);
    says(&refused, &["Connection refused", "start Docker"]);
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
}
