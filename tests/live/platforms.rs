//! Several platforms, each with settings of its own, in a registry that we did not write.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::project::{BUSYBOX, Project, config, crane};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(
    every_platform_gets_its_own_settings,
    login_is_read_from_the_docker_configuration,
    image_without_layers_is_published
);
on_the_graph_engine!(every_platform_gets_its_own_settings, image_without_layers_is_published);

/// Each platform of the plan, what runs there says `uname -m`, and what its args and labels become.
const PLATFORMS: [(&str, &str, &str, &str); 3] = [
    ("linux/amd64", "x86_64", "WHO=amd64", "everybody"),
    ("linux/arm64", "aarch64", "WHO=everybody", "arm64"),
    ("linux/arm/v7", "armv7l", "WHO=everybody", "everybody"),
];
const SETTINGS: &str = "\
network: none
args: { WHO: everybody }
labels: { who: everybody }
platforms:
  linux/amd64: { args: { WHO: amd64 } }
  linux/arm64: { dockerfile: ../elsewhere/Dockerfile.arm64, labels: { who: arm64 } }
  linux/arm/v7: { target: first }
";
/// Says what runs it, and which network devices it sees.
const STAGES: &str = r#"
ARG WHO
ENV WHO=${WHO}
RUN ["/bin/busybox", "sh", "-c", "echo machine $(/bin/busybox uname -m) sees $(/bin/busybox ls /sys/class/net). # NAME"]
LABEL stage=first
FROM first
LABEL stage=last
"#;

async fn every_platform_gets_its_own_settings(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "platforms");
    // The name keeps the step out of the cache: what it says is looked for.
    let steps = STAGES.replace("NAME", &project.name);
    let dockerfile = format!("{}{steps}", BUSYBOX.replace("FROM scratch", "FROM scratch AS first"));
    parts::add_busybox(&project.context());
    project.write("context/Dockerfile", &dockerfile);
    project.write("elsewhere/Dockerfile.arm64", format!("{dockerfile}LABEL dockerfile=arm64\n"));
    project.plan(registry.address(), SETTINGS);

    let built = project.run(&["build"]).await.expect_code(0);
    let reference = project.reference(registry.address(), "1.0");
    for (platform, machine, who, label) in PLATFORMS {
        let line = format!("{} {platform}", project.name);
        let said = format!("machine {machine} sees lo.");
        assert!(built.stderr.lines().any(|l| l.starts_with(&line) && l.ends_with(&said)), "{said}:\n{}", built.stderr);
        let config = config(&reference, platform).await;
        let fields: Vec<_> =
            ["os", "architecture", "variant"].iter().filter_map(|name| config[name].as_str()).collect();
        assert_eq!(fields.join("/"), platform);
        let env = config["config"]["Env"].as_array().unwrap();
        assert!(env.contains(&json!(who)), "{platform}: {env:?}");
        let labels = &config["config"]["Labels"];
        assert_eq!(labels["who"], label, "{platform}");
        assert_eq!(labels["dev.polyarch.image"], project.name.as_str(), "{platform}");
        assert_eq!(labels["stage"], if platform == "linux/arm/v7" { "first" } else { "last" });
        assert_eq!(labels["dockerfile"] == "arm64", platform == "linux/arm64");
    }
    let printed = built.stdout.trim_end();
    read_by_others(&reference, printed.split_once('@').unwrap().1).await;
    for puller in Engine::both() {
        let _cleanup = puller.cleanup(&project.name);
        for (args, (_, machine, ..)) in [(&[][..], PLATFORMS[0]), (&["--platform=linux/arm/v7"], PLATFORMS[2])] {
            // 20.10 keeps one platform of an index: what is there goes first.
            drop(puller.cleanup(&project.name));
            let pull = [&["pull", "--quiet"], args, &[printed]].concat();
            parts::printed(&puller.docker(pull).await);
            let run = ["run", "--rm", "--network=none"];
            let run = [&run[..], args, &[printed, "/bin/busybox", "uname", "-m"]].concat();
            assert_eq!(parts::printed(&puller.docker(run).await), machine, "{}", puller.host);
        }
    }
}

/// crane, skopeo and buildx find the three platforms, and skopeo copies all of them.
async fn read_by_others(reference: &str, digest: &str) {
    assert_eq!(crane(&["digest", reference]).await, digest);
    crane(&["validate", "--remote", reference]).await;
    let in_docker = format!("docker://{reference}");
    let raw = parts::tool("skopeo", ["inspect", "--tls-verify=false", "--raw", &in_docker]).await;
    let index: Value = serde_json::from_str(&parts::printed(&raw)).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), PLATFORMS.len());
    let copies = tempfile::TempDir::with_prefix("polyarch-test-").unwrap();
    let to = format!("dir:{}", copies.path().display());
    let copy = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &in_docker, &to];
    parts::printed(&parts::tool("skopeo", copy).await);
    let seen = parts::printed(&parts::tool("docker", ["buildx", "imagetools", "inspect", reference]).await);
    for text in PLATFORMS.map(|(platform, ..)| platform).into_iter().chain([digest]) {
        assert!(seen.contains(text), "no {text} in\n{seen}");
    }
}

async fn login_is_read_from_the_docker_configuration(engine: Engine) {
    let registry = Distribution::start(Setup::Login);
    let project = Project::new(engine, "login");
    project.busybox("");
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");

    let refused = project.run(&["build"]).await.expect_code(3);
    let asked = format!("registry {} asks for a login", registry.address());
    assert!(refused.stderr.contains(&asked) && refused.stderr.contains("docker login"), "{}", refused.stderr);
    assert!(refused.stdout.is_empty());

    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    fs::write(project.home.docker_config().join("config.json"), config.to_string()).unwrap();
    let built = project.run(&["build"]).await.expect_code(0);
    project.run(&["verify", built.stdout.trim_end()]).await.expect_code(0);
    for secret in [PASSWORD, &auth] {
        assert!(!built.stderr.contains(secret) && !built.stdout.contains(secret));
    }
}

/// BuildKit writes `"layers": null` for it.
async fn image_without_layers_is_published(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "bare");
    project.write("context/Dockerfile", "FROM scratch\nLABEL a=b\n");
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]\n");
    project.run(&["build"]).await.expect_code(0);
    let reference = project.reference(registry.address(), "1.0");
    for platform in ["linux/amd64", "linux/arm64"] {
        assert_eq!(config(&reference, platform).await["config"]["Labels"]["a"], "b");
    }
    project.run(&["build"]).await.expect_code(0);
    project.run(&["verify", &reference]).await.expect_code(0);
}
