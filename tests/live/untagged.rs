//! Platforms that are pushed by digest alone, by their builds.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::Engine;
use crate::support::parts;

const SETTINGS: &str = "platforms: [linux/amd64, linux/arm64]\narch_tags: none";

fn project(engine: Engine, what: &str) -> Project {
    let project = Project::new(engine, what);
    project.write("context/mine", &project.name);
    project.busybox("COPY mine /mine\nCMD [\"/bin/busybox\", \"echo\", \"it runs\"]\n");
    project
}

#[tokio::test]
async fn push_by_digest_creates_only_final_tags() {
    let registry = Distribution::start(Setup::Login);
    let project = project(Engine::new(), "untagged");
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    fs::write(project.home.docker_config().join("config.json"), config.to_string()).unwrap();
    project.plan(registry.address(), SETTINGS);
    let report = project.build(&[]).await;
    let platforms = report["images"][0]["platforms"].as_array().unwrap();
    for platform in platforms {
        assert_eq!(platform["status"], "confirmed");
        assert_eq!(platform["repository"], format!("{}/{}", registry.address(), project.name));
        assert_eq!(platform["arch_tag"], Value::Null);
    }
    // What is named on an engine is listed by its name; what was kept without one is `<none>`.
    let images = project.engine.docker(["image", "ls", "--all", "--digests", "--no-trunc"]).await;
    let images = parts::printed(&images);
    for platform in platforms {
        let digest = platform["image_id"].as_str().unwrap();
        assert!(!images.contains(digest) && !images.contains(&project.name), "{images}");
    }
    let again = project.build(&[]).await;
    assert_eq!(again["images"][0]["index"], report["images"][0]["index"]);
    assert_eq!(again["images"][0]["tags"][0]["state"], "unchanged");
    let put = registry.requests().into_iter().filter(|request| request.starts_with("PUT")).collect::<Vec<_>>();
    let tags = put.iter().filter(|request| request.contains("/manifests/") && !request.contains("sha256:"));
    // More than once, where the registry asks for a login first.
    let tags: BTreeSet<_> = tags.map(|request| request.rsplit('/').next().unwrap()).collect();
    assert_eq!(Vec::from_iter(tags), ["1.0", "latest"], "{put:#?}");
}

on_both_engines!(removing_arch_tags_keeps_the_images);

async fn removing_arch_tags_keeps_the_images(engine: Engine) {
    let attested = if engine.host == Engine::new().host { "\nprovenance: max" } else { "" };
    let project = project(engine, "removed");
    project.plan("local", &format!("platforms: [linux/amd64, linux/arm64]\narch_tags: remove{attested}"));
    let mut serving = project.start(&["serve"]);
    let reference = project.reference(serving.stdout_line("127.0.0.1:").await, "1.0");
    let tags = async || crane(&["ls", reference.trim_end_matches(":1.0")]).await;
    let report = project.build(&[]).await;
    assert_eq!(report["images"][0]["removed_arch_tags"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!(tags().await.split_whitespace().collect::<Vec<_>>(), ["1.0", "latest"]);
    crane(&["validate", "--fast", "--remote", &reference]).await;
    project.run(&["verify"]).await.expect_code(0);
    // What is built again is pushed again, and its tags go again.
    if attested.is_empty() {
        let again = project.build(&[]).await;
        assert_eq!(again["images"][0]["index"], report["images"][0]["index"]);
        assert_eq!(again["images"][0]["tags"][0]["state"], "unchanged");
        assert_eq!(tags().await.split_whitespace().collect::<Vec<_>>(), ["1.0", "latest"]);
    }
    for puller in Engine::both() {
        let _cleanup = puller.cleanup(&project.name);
        for platform in ["linux/amd64", "linux/arm64"] {
            let run = puller.docker(["run", "--rm", "--pull", "always", "--platform", platform, &reference]).await;
            assert_eq!(parts::printed(&run).trim(), "it runs", "{} {platform}", puller.host);
        }
    }
    let nothing = project.run(&["join"]).await;
    assert_ne!(nothing.code(), 0);
    assert!(nothing.stderr.contains("with `arch_tags: remove` a join removes its arch tags"), "{}", nothing.stderr);
    serving.signal(Signal::TERM);
    serving.finish().await.expect_code(0);
}

#[tokio::test]
async fn image_pushed_by_digest_runs_with_its_attestations() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "digests");
    project.plan(registry.address(), &format!("{SETTINGS}\nprovenance: max"));
    let report = project.build(&[]).await;
    let entries = report["images"][0]["index"]["entries"].as_array().unwrap();
    let attested = |entry: &Value| entry["attestations"].as_array().map(Vec::len);
    assert_eq!(entries.iter().map(attested).collect::<Vec<_>>(), [Some(1), Some(1)], "{entries:#?}");
    let reference = project.reference(registry.address(), "1.0");
    let tags = crane(&["ls", reference.trim_end_matches(":1.0")]).await;
    assert_eq!(Vec::from_iter(tags.split_whitespace().collect::<BTreeSet<_>>()), ["1.0", "latest"]);
    for engine in Engine::both() {
        let _cleanup = engine.cleanup(&project.name);
        for platform in ["linux/amd64", "linux/arm64"] {
            let run = engine.docker(["run", "--rm", "--pull", "always", "--platform", platform, &reference]).await;
            assert_eq!(parts::printed(&run).trim(), "it runs", "{} {platform}", engine.host);
        }
    }
}

#[tokio::test]
async fn failed_push_by_digest_is_distinguished_from_a_failed_build() {
    let registry = Distribution::start(Setup::ReadOnly);
    let project = project(Engine::new(), "readonly");
    project.plan(registry.address(), SETTINGS);
    let failed = project.run(&["build"]).await.expect_code(5);
    let said = format!("failed to push {}/{}", registry.address(), project.name);
    assert!(failed.stderr.contains(&said), "{}", failed.stderr);
    assert!(!failed.stderr.contains("left in the registry"), "{}", failed.stderr);
    project.busybox("RUN [\"/bin/busybox\", \"false\"]\n");
    project.run(&["build"]).await.expect_code(4);
}

#[tokio::test]
async fn push_by_digest_is_refused_on_a_graph_driver_engine() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::old(), "untagged-refused");
    project.plan(registry.address(), SETTINGS);
    let refused = project.run(&["build"]).await.expect_code(3);
    assert!(
        refused.stderr.contains("with `arch_tags`: its image store cannot hold such an image"),
        "{}",
        refused.stderr
    );
    assert_eq!(registry.requests().iter().filter(|request| request.contains("/manifests/")).count(), 0);
}
