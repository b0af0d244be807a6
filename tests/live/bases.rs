//! Images that build on images of the plan, on those of a registry, and on other directories.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::project::{BUSYBOX, Project, config, crane};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(
    three_images_build_on_each_other_per_platform,
    live_dependents_of_a_failed_platform_are_not_built,
    unpushed_base_is_built_on,
    base_by_digest_is_pulled_with_the_login_of_the_user,
    base_without_the_platform_is_refused_before_a_live_build,
    base_of_an_older_variant_is_built_on,
);
on_the_graph_engine!(
    three_images_build_on_each_other_per_platform,
    base_without_the_platform_is_refused_before_a_live_build,
);

const PLATFORMS: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

/// The images of a chain, each with its Dockerfile; `network: host` is for the gate.
fn chain(project: &Project, registry: impl std::fmt::Display, of_base: &str, of_mid: &str) {
    let name = &project.name;
    parts::add_busybox(&project.context());
    project.write("context/which", name);
    project.write("context/Dockerfile", format!("{BUSYBOX}COPY which /base\n{of_base}"));
    project.write("mid/Dockerfile", format!("FROM base\n{of_mid}"));
    project.write(
        "app/Dockerfile",
        "FROM mid AS built\nCOPY --from=mid /base /copied\n\
         RUN --mount=from=mid,target=/m [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /m/mid > /app\"]\nFROM built\n",
    );
    project.write("other/Dockerfile", format!("FROM scratch\nCOPY Dockerfile /other\nLABEL name={name}\n"));
    project.write(
        "build.yaml",
        format!(
            "version: 1\nregistry: {registry}\n\
             defaults: {{ tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64], network: host }}\nimages:\n\
             \x20 {name}-app: {{ context: app, contexts: {{ mid: \"image:{name}-mid\" }} }}\n\
             \x20 {name}-mid: {{ context: mid, contexts: {{ base: \"image:{name}-base\" }} }}\n\
             \x20 {name}-base: {{ context: context }}\n\
             \x20 {name}-other: {{ context: other }}\n"
        ),
    );
}

/// A step that says its machine in `/mid`.
const MACHINE: &str = r#"RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo mid $(/bin/busybox uname -m) > /mid"]
"#;

/// A step that stands at the gate where it runs on `machine`.
fn gate(machine: &str, port: u16) -> String {
    format!(
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"[ $(/bin/busybox uname -m) != {machine} ] || \
         /bin/busybox echo {machine} | /bin/busybox nc 127.0.0.1 {port}\"]\n"
    )
}

async fn three_images_build_on_each_other_per_platform(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "chain");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    chain(&project, registry.address(), &gate("aarch64", port), &format!("{}{MACHINE}", gate("x86_64", port)));
    let building = project.start(&["build", "--progress", "json"]);
    // The base's slow platform and the fast one of what builds on it stand at the gate together.
    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut step, _) = tokio::time::timeout(parts::LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut machine = [0; 6];
        step.read_exact(&mut machine).await.unwrap();
        held.push((machine, step));
    }
    held.sort_by_key(|(machine, _)| *machine);
    assert_eq!(held.iter().map(|(machine, _)| machine).collect::<Vec<_>>(), [b"aarch6", b"x86_64"]);
    drop(held);
    let built = building.finish().await.expect_code(0);
    assert_eq!(built.stdout.lines().count(), 4, "{}", built.stdout);

    let events: Vec<Value> = built.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |image: &str, arch: &str, what: &str| {
        let image = format!("{}-{image}", project.name);
        let is = |event: &&Value| {
            event["image"] == image.as_str() && event["platform"] == format!("linux/{arch}") && event["what"] == what
        };
        let at = events.iter().position(|event| is(&event));
        at.unwrap_or_else(|| panic!("{image} {arch} {what}:\n{}", built.stderr))
    };
    for (arch, machine) in PLATFORMS {
        let of_three =
            ["base", "mid", "app"].map(|image| (at(image, arch, "build_started"), at(image, arch, "confirmed")));
        assert!(of_three.is_sorted_by(|(_, confirmed), (begun, _)| confirmed < begun), "{of_three:?}");
        assert!(at("other", arch, "build_started") < at("base", arch, "confirmed"), "independent images overlap");
        let reference = |image: &str| format!("{}/{}-{image}:1.0", registry.address(), project.name);
        assert_builds_on(&reference("base"), &reference("mid"), arch).await;
        assert_builds_on(&reference("mid"), &reference("app"), arch).await;
        let app = format!("{}-{arch}", reference("app"));
        let run = ["run", "--rm", "--network=none", "--pull=never", &app, "/bin/busybox", "cat", "/app", "/copied"];
        assert_eq!(parts::printed(&project.engine.docker(run).await), format!("mid {machine}\n{}", project.name));
    }
}

/// The layers of `base` are the first of `top`: compressed, in the registry, and in the config.
async fn assert_builds_on(base: &str, top: &str, arch: &str) {
    let platform = format!("linux/{arch}");
    let mut layers = Vec::new();
    for reference in [base, top] {
        let manifest = crane(&["manifest", "--platform", &platform, reference]).await;
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let of = |value: &Value| value.as_array().unwrap().clone();
        let digests: Vec<_> = of(&manifest["layers"]).into_iter().map(|layer| layer["digest"].clone()).collect();
        layers.push((digests, of(&config(reference, &platform).await["rootfs"]["diff_ids"])));
    }
    let ((compressed, plain), (compressed_above, plain_above)) = (&layers[0], &layers[1]);
    assert!(!plain.is_empty() && plain_above.len() > plain.len());
    assert!(plain_above.starts_with(plain), "{base} {top} {platform}");
    assert!(compressed_above.starts_with(compressed), "{base} {top} {platform}");
}

async fn live_dependents_of_a_failed_platform_are_not_built(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "base-fails");
    let fails = r#"RUN ["/bin/busybox", "sh", "-c", "[ $(/bin/busybox uname -m) = x86_64 ] # NAME"]
"#;
    chain(&project, registry.address(), &fails.replace("NAME", &project.name), MACHINE);
    let failed = project.run(&["build", "--report", "report.json"]).await.expect_code(4);
    let report = crate::project::read_json(&project.path("report.json"));
    let name = &project.name;
    let why = |image: usize| &report["images"][image]["platforms"][1]["not_built"];
    assert_eq!(*why(1), format!("{name}-base linux/arm64 failed"), "{report:#}");
    assert_eq!(*why(0), format!("{name}-mid linux/arm64 was not built"), "{report:#}");
    for image in &report["images"].as_array().unwrap()[..3] {
        assert_eq!(image["verified"], json!([]), "{report:#}");
    }
    assert!(failed.stderr.contains(&format!("not built: {name}-base linux/arm64 failed")), "{}", failed.stderr);
    // What has nothing to do with it goes on.
    let other = &report["images"][3]["verified"][0];
    assert_eq!(failed.stdout.trim_end(), other.as_str().unwrap(), "{report:#}");
}

async fn unpushed_base_is_built_on(engine: Engine) {
    let project = Project::new(engine, "not-pushed");
    chain(&project, "local", "", MACHINE);
    let name = &project.name;
    let built = project.run(&["build", "--no-push", &format!("{name}-app"), "--report", "report.json"]).await;
    built.expect_code(0);
    let loaded = project.run(&["build", "--load", &format!("{name}-app"), "--platform", "linux/amd64"]).await;
    loaded.expect_code(0);
    let report = crate::project::read_json(&project.path("report.json"));
    for (nth, (arch, machine)) in PLATFORMS.into_iter().enumerate() {
        let platform = &report["images"][0]["platforms"][nth];
        assert_eq!(platform["status"], "built", "{arch}: {report:#}");
        let id = platform["image_id"].as_str().unwrap();
        let run = ["run", "--rm", "--network=none", "--pull=never", id, "/bin/busybox", "cat", "/app", "/copied"];
        assert_eq!(parts::printed(&project.engine.docker(run).await), format!("mid {machine}\n{name}"));
    }
    let names: Vec<_> = report["images"].as_array().unwrap().iter().map(|image| image["image"].clone()).collect();
    assert_eq!(names, ["app", "mid", "base"].map(|image| json!(format!("{name}-{image}"))), "other was not selected");
}

async fn base_by_digest_is_pulled_with_the_login_of_the_user(engine: Engine) {
    let registry = Distribution::start(Setup::Login);
    // It comes from another engine: this one has nothing of it.
    let [old, new] = Engine::both();
    let elsewhere = if engine.host == old.host { new } else { old };
    let (project, base) = (Project::new(engine, "reference"), Project::new(elsewhere, "referenced"));
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let login = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    for project in [&project, &base] {
        fs::write(project.home.docker_config().join("config.json"), login.to_string()).unwrap();
    }
    base.write("context/which", &base.name);
    base.busybox(&format!("COPY which /base\n{MACHINE}"));
    base.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    let index = base.run(&["build"]).await.expect_code(0).stdout;
    project.write("context/Dockerfile", "ARG ON=alpine\nFROM $ON\nCOPY --from=alpine /base /copied\n");
    let contexts = format!("contexts: {{ alpine: \"docker-image://{}\" }}", index.trim_end());
    project.plan(registry.address(), &format!("platforms: [linux/amd64, linux/arm64]\n{contexts}"));
    // One after the other: docker-registry 2.8 may refuse a layer that two pushes mount from another repository at once.
    project.run(&["build", "--platform", "linux/amd64"]).await.expect_code(0);
    project.run(&["build"]).await.expect_code(0);
    let reference = project.reference(registry.address(), "1.0");
    for (arch, machine) in PLATFORMS {
        let name = format!("{reference}-{arch}");
        let run = ["run", "--rm", "--network=none", "--pull=never", &name, "/bin/busybox", "cat", "/mid", "/copied"];
        assert_eq!(parts::printed(&project.engine.docker(run).await), format!("mid {machine}\n{}", base.name));
    }
}

const DIRECTORIES: &str = "\
platforms: [linux/amd64, linux/arm64]
contexts: { src: other, context: third }
";

fn with_directories(project: &Project) {
    project.write("other/kept", &project.name);
    project.write("other/dropped", "dropped");
    project.write("other/.dockerignore", "dropped\n");
    project.write("third/kept", "third");
    project.busybox("COPY --from=src . /src/\nCOPY --from=context kept /third\n");
    project.plan("local", DIRECTORIES);
}

#[tokio::test]
async fn named_directory_context_uses_its_own_ignore_file() {
    for engine in [Engine::new(), Engine::graph()] {
        a_directory_is_a_context(engine).await;
    }
}

async fn a_directory_is_a_context(engine: Engine) {
    let project = Project::new(engine, "directory");
    with_directories(&project);
    project.build(&[]).await;
    let image = format!("{}:1.0", project.name);
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "sh", "-c"];
    let list = ["cd /src && /bin/busybox find . -type f | /bin/busybox sort && /bin/busybox cat kept /third"];
    let found = parts::printed(&project.engine.docker(run.iter().chain(&list)).await);
    assert_eq!(found, format!("./.dockerignore\n./kept\n{}third", project.name));
    // Nothing changed, nothing is sent; what changed is.
    let sent = |report: &Value| -> u64 {
        let platforms = report["images"][0]["platforms"].as_array().unwrap();
        platforms.iter().map(|platform| platform["context_bytes"].as_u64().unwrap()).sum()
    };
    assert_eq!(sent(&project.build(&[]).await), 0);
    project.write("other/kept", "what is new");
    // Its Dockerfile copies by platform: each has a copy of its own on the engine.
    assert_eq!(sent(&project.build(&[]).await), 2 * "what is new".len() as u64);
    fs::remove_dir_all(project.path("third")).unwrap();
    let refused = project.run(&["build"]).await.expect_code(2);
    assert!(refused.stderr.contains("cannot open the directory"), "{}", refused.stderr);
}

#[tokio::test]
async fn engine_without_named_contexts_accepts_only_images() {
    let project = Project::new(Engine::old(), "directory");
    with_directories(&project);
    let refused = project.run(&["build"]).await.expect_code(3);
    let words = format!("cannot build {} linux/amd64 with `contexts.context`, `contexts.src`", project.name);
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    project.plan("local", "platforms: [linux/amd64]\ncontexts: { 'alpine:3': docker-image://127.0.0.1:9/a:1 }");
    let refused = project.run(&["build"]).await.expect_code(3);
    let words = format!("cannot build {} linux/amd64 with `contexts.alpine:3`", project.name);
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
}

/// Where `base` would be another thing than on an engine that knows contexts.
#[tokio::test]
async fn dockerfile_that_an_added_stage_would_change_is_refused() {
    let project = Project::new(Engine::old(), "stages");
    let settings = "platforms: [linux/amd64]\ncontexts: { base: docker-image://127.0.0.1:9/a:1 }";
    for (dockerfile, target, says) in [
        ("FROM scratch AS base\n", "base", "line 1 of the Dockerfile already has a stage `base`"),
        ("FROM base AS x\nCOPY --from=0 a b\n", "x", "line 2 of the Dockerfile names a stage by its number, 0"),
        ("FROM base\n", "0", "the target names a stage by its number, 0"),
        ("FROM base:latest AS x\n", "x", "line 1 of the Dockerfile writes `base:latest` for the context `base`"),
        ("FROM --platform=$BUILDPLATFORM base AS x\n", "x", "line 1 of the Dockerfile uses `base` with `--platform`"),
    ] {
        project.write("context/Dockerfile", dockerfile);
        project.plan("local", &format!("{settings}\ntarget: \"{target}\""));
        let refused = project.run(&["build"]).await.expect_code(3);
        let words = format!("cannot build {} linux/amd64 with `contexts`: {says}", project.name);
        assert!(refused.stderr.contains(&words), "{words}:\n{}", refused.stderr);
        assert!(refused.stderr.contains("use Engine 23.0 or newer"), "{}", refused.stderr);
    }
}

/// Directives, arguments and numbers of lines are as in the file.
#[tokio::test]
async fn dockerfile_with_added_stages_keeps_its_meaning() {
    let project = Project::new(Engine::old(), "staged");
    project.write("base/Dockerfile", format!("{BUSYBOX}COPY which /base\n"));
    project.write("base/which", "one");
    parts::add_busybox(&project.path("base"));
    let name = &project.name;
    project.write(
        "build.yaml",
        format!(
            "version: 1\nregistry: local\ndefaults: {{ tags: [\"1.0\"], platforms: [linux/amd64] }}\nimages:\n\
             \x20 {name}: {{ context: context, contexts: {{ base: \"image:{name}-base\" }} }}\n\
             \x20 {name}-base: {{ context: base }}\n"
        ),
    );
    let dockerfile = |last: &str| {
        format!(
            "# escape=`\n# A comment, with a global argument after it.\nARG ON=base\n\nFROM $ON AS built\n\
             ARG WHO=\"{name}\"\nRUN [`\n\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox echo $WHO > /who\"]\n{last}\n"
        )
    };
    project.write("context/Dockerfile", dockerfile("FRM scratch"));
    let failed = project.run(&["build"]).await.expect_code(4);
    assert!(failed.stderr.contains("dockerfile parse error line 9: unknown instruction: FRM"), "{}", failed.stderr);
    project.write("context/Dockerfile", dockerfile("CMD [\"/bin/busybox\", \"cat\", \"/who\", \"/base\"]"));
    for which in ["one", "two"] {
        // With another base nothing of the Dockerfile that is served changes but the digest in it.
        project.write("base/which", which);
        project.run(&["build"]).await.expect_code(0);
        let reference = format!("{name}:1.0");
        let run = ["run", "--rm", "--network=none", "--pull=never", &reference];
        assert_eq!(parts::printed(&project.engine.docker(run).await), format!("{name}\n{which}"));
    }
}

/// Publishes `NAME-base:1.0` for `platforms`; gives its reference without the tag.
async fn published_base(project: &Project, registry: &Distribution, platforms: &str, steps: &str) -> String {
    let name = &project.name;
    parts::add_busybox(&project.context());
    project.write("context/Dockerfile", format!("{steps}LABEL name={name}\n"));
    let plan = format!(
        "version: 1\nregistry: {}\nimages: {{ {name}-base: {{ context: context, tags: [\"1.0\"], platforms: [{platforms}] }} }}\n",
        registry.address()
    );
    project.write("build.yaml", plan);
    project.run(&["build"]).await.expect_code(0);
    format!("{}/{name}-base", registry.address())
}

/// Plans `NAME-app` on this Dockerfile.
fn app(project: &Project, registry: &Distribution, platforms: &str, dockerfile: &str) {
    let name = &project.name;
    project.write("app/Dockerfile", dockerfile);
    let plan = format!(
        "version: 1\nregistry: {}\nimages: {{ {name}-app: {{ context: app, tags: [\"1.0\"], platforms: [{platforms}] }} }}\n",
        registry.address()
    );
    project.write("build.yaml", plan);
}

async fn base_without_the_platform_is_refused_before_a_live_build(engine: Engine) {
    const BOTH: &str = "linux/amd64, linux/arm64";
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "lacking");
    let base = published_base(&project, &registry, "linux/amd64", BUSYBOX).await;
    let copies = |image: &str| format!("FROM scratch\nCOPY --from={image} /bin/busybox /busybox\n");
    for (dockerfile, said) in [
        (format!("FROM {base}:1.0\n"), format!("{base}:1.0 has no linux/arm64: it has linux/amd64")),
        (copies(&format!("{base}:1.0")), format!("{base}:1.0 has no linux/arm64: it has linux/amd64")),
        (
            format!("ARG TAG=1.0-amd64\nFROM {base}:$TAG\n"),
            format!("{base}:1.0-amd64 has no linux/arm64: it is a single image for linux/amd64"),
        ),
    ] {
        app(&project, &registry, BOTH, &dockerfile);
        let refused = project.run(&["build"]).await.expect_code(2);
        assert!(refused.stderr.contains(&said) && refused.stderr.contains("app/Dockerfile:"), "{}", refused.stderr);
    }
    // What the engine itself takes.
    for dockerfile in [
        format!("FROM --platform=$BUILDPLATFORM {base}:1.0 AS tools\n{}", copies("tools")),
        format!("FROM {base}:1.0-amd64 AS tools\n{}", copies("tools")),
        format!("FROM {base}:1.0 AS unused\nFROM scratch\nCOPY Dockerfile /\n"),
    ] {
        app(&project, &registry, BOTH, &dockerfile);
        project.run(&["build", "--no-elf"]).await.expect_code(0);
    }
    // One that only the engine can ask: it fails there, as it was.
    app(&project, &registry, BOTH, &format!("FROM {base}:missing\n"));
    project.run(&["build"]).await.expect_code(4);
}

async fn base_of_an_older_variant_is_built_on(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "variants");
    let base =
        published_base(&project, &registry, "linux/arm/v6", "FROM scratch\nCOPY busybox-armv7 /bin/busybox\n").await;
    app(&project, &registry, "linux/arm/v7", &format!("FROM scratch\nCOPY --from={base}:1.0 /bin/busybox /busybox\n"));
    project.run(&["build"]).await.expect_code(0);
    // 32-bit arm for arm64: BuildKit takes it for files.
    app(&project, &registry, "linux/arm64", &format!("FROM scratch\nCOPY --from={base}:1.0 /bin/busybox /busybox\n"));
    project.run(&["build", "--no-elf", "--allow-shrink"]).await.expect_code(0);
}
