//! Images that builds read are asked for their platforms before anything is built.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{HELLO, World, says};
use crate::support::images::{Document, Image};
use crate::support::program::Finished;
use crate::support::scripted_engine::{Rest, Script};
use crate::support::scripted_registry::{Reply, Request, status};

/// The request for the base.
const BASE: &str = "GET /v2/base/manifests/1";

/// Has `base:1`, an index of these platforms. Others have the same without a platform in their entry.
fn has_base(world: &World, platforms: &[&str]) {
    let entries = platforms.iter().map(|platform| {
        let image = Image::oci(platform.trim_start_matches('?'), "base");
        world.store.push("base", "", &image);
        if platform.starts_with('?') { image.manifest.descriptor() } else { image.entry() }
    });
    let entries: Vec<Value> = entries.collect();
    world.store.put("base", "1", &Document::index(&entries));
}

/// Writes the Dockerfile: `BASE` in it is `base:1` of the world's registry.
fn dockerfile(world: &World, text: &str) {
    let text = text.replace("BASE", &format!("{}/base:1", world.registry.host()));
    fs::write(world.home.path().join("context/Dockerfile"), text).unwrap();
}

/// The plan's image for these platforms, with more settings.
fn plan(world: &World, platforms: &str, settings: &str) {
    let hello = HELLO.replace("[linux/amd64, linux/arm64]", &format!("[{platforms}]"));
    world.plan(&format!("{hello}{settings}"));
}

/// An engine that builds everything that the tests name.
fn engine() -> Script {
    let all = ["linux/amd64", "linux/386", "linux/arm64", "linux/arm/v7", "linux/arm/v6"];
    Script::default().runs(&all)
}

/// The refusal, before the engine was asked to build.
async fn refused(world: &World, said: &[&str]) -> Finished {
    let refused = world.build().await.expect_code(2);
    says(&refused, said);
    assert_eq!(world.engine.counts().solves.started, 0, "nothing was built");
    world.assert_untouched();
    refused
}

#[tokio::test]
async fn base_without_the_platform_is_refused_before_the_build() {
    const COPIED: &str = "FROM scratch\nCOPY --from=BASE /a /b\n";
    const STAGE: &str = "FROM BASE AS tools\nFROM scratch\nCOPY --from=tools /a /b\n";
    for (text, settings, line, hint) in [
        ("FROM BASE\nCOPY . /\n", "", 1, "take a base image that has it"),
        ("# first\nARG ON=BASE\nFROM $ON AS web\nFROM web\n", "", 3, "take a base image that has it"),
        ("ARG ON=scratch\nFROM ${ON}\n", "    args: { ON: BASE }\n", 2, "take a base image that has it"),
        (COPIED, "", 2, "--platform=$BUILDPLATFORM"),
        (STAGE, "", 1, "--platform=$BUILDPLATFORM"),
        ("FROM scratch AS no\nFROM BASE AS yes\nFROM no\n", "    target: yes\n", 2, "take a base image that has it"),
    ] {
        let world = World::start(engine()).await;
        has_base(&world, &["linux/amd64", "linux/s390x"]);
        dockerfile(&world, text);
        plan(
            &world,
            "linux/amd64, linux/arm64, linux/arm/v7",
            &settings.replace("BASE", &format!("{}/base:1", world.registry.host())),
        );
        let host = world.registry.host();
        let said = format!("hello: {host}/base:1 has no linux/arm64, linux/arm/v7: it has linux/amd64, linux/s390x");
        let told = refused(&world, &[&said, hint, &format!("Dockerfile:{line}")]).await;
        assert_eq!(told.stderr.matches("has no linux/arm64").count(), 1, "{}", told.stderr);
        assert_eq!(world.registry.count(BASE), 1, "the base is asked for once");
        let failure = &world.report()["run"]["failures"][0];
        assert_eq!((&failure["phase"], &failure["source"]["line"]), (&json!("plan"), &json!(line)), "{text}");
    }
}

#[tokio::test]
async fn single_image_of_another_platform_is_refused_as_a_base() {
    let world = World::start(engine()).await;
    world.store.push("base", "1", &Image::oci("linux/amd64", "alone"));
    dockerfile(&world, "FROM BASE\n");
    let said = format!("{}/base:1 has no linux/arm64: it is a single image for linux/amd64", world.registry.host());
    refused(&world, &[&said]).await;

    // The engine takes files of it, whatever it is of, and the plan may know better than its config.
    dockerfile(&world, "FROM BASE AS data\nFROM scratch\nCOPY --from=data /a /b\n");
    world.build().await.expect_code(0);
    dockerfile(&world, "FROM BASE\n");
    let known = "{ linux/amd64: {}, linux/arm64: { entry: { platform: linux/arm64 } } }";
    world.plan(&HELLO.replace("[linux/amd64, linux/arm64]", known));
    world.build().await.expect_code(0);
}

#[tokio::test]
async fn base_with_the_platform_is_accepted() {
    const STAGE: &str = "FROM --platform=$BUILDPLATFORM BASE AS build\nFROM scratch\nCOPY --from=build /a /b\n";
    for (has, platforms, text, settings) in [
        (&["linux/amd64", "linux/arm64"][..], "linux/amd64, linux/arm64", "FROM BASE\n", ""),
        (&["linux/arm/v6"], "linux/arm/v7", "FROM BASE\n", ""),
        (&["linux/386"], "linux/amd64", "FROM BASE\n", ""),
        (&["linux/arm64/v8"], "linux/arm64", "FROM BASE\n", ""),
        (&["?linux/amd64"], "linux/arm64", "FROM BASE\n", ""),
        (&["linux/amd64"], "linux/amd64, linux/arm64", STAGE, ""),
        (
            &["linux/amd64"],
            "linux/arm64",
            "FROM --platform=linux/amd64 BASE AS x\nFROM scratch\nCOPY --from=x / /\n",
            "",
        ),
        (&["linux/amd64"], "linux/arm64", "FROM BASE AS other\nFROM scratch\n", ""),
        (&["linux/amd64"], "linux/arm64", "FROM scratch\nRUN <<EOF\nFROM BASE\nEOF\n", ""),
        (&["linux/amd64"], "linux/arm64", "# syntax=example.com/frontend\nFROM BASE\n", ""),
        (&["linux/amd64"], "linux/arm64", "FROM BASE AS x\n", "    contexts: { x: context }\n"),
    ] {
        let world = World::start(engine().containerd()).await;
        has_base(&world, has);
        dockerfile(&world, text);
        plan(&world, platforms, settings);
        world.run(&["build", "--no-elf"]).finish().await.expect_code(0);
        assert!(world.registry.count(BASE) <= 1, "{text}");
    }
}

#[tokio::test]
async fn base_that_the_engine_holds_itself_is_accepted() {
    for (has, code) in [("arm64", 0), ("amd64", 2)] {
        let script = engine().rest(move |line| {
            let is_base = line.starts_with("GET /images/") && line.ends_with("/base:1/json");
            let image = json!({ "Id": format!("sha256:{}", "0".repeat(64)), "Os": "linux", "Architecture": has });
            is_base.then(|| Rest::Answer(200, image.to_string()))
        });
        let world = World::start(script).await;
        has_base(&world, &["linux/amd64"]);
        dockerfile(&world, "FROM BASE\n");
        world.build().await.expect_code(code);
    }
}

#[tokio::test]
async fn base_that_cannot_be_read_does_not_stop_the_build() {
    let answers: [fn() -> Reply; 7] = [
        || status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        || status(403),
        || status(404),
        || status(429).header("Retry-After", "60"),
        || status(500),
        || status(200).body("garbage"),
        || Reply::Silence,
    ];
    for answer in answers {
        let world = World::start(engine()).await;
        dockerfile(&world, "FROM BASE\n");
        world.registry_answers(move |request: &Request| request.target.contains("/base/").then(answer));
        let began = Instant::now();
        let built = world.build().await.expect_code(0);
        assert!(began.elapsed() < Duration::from_secs(20), "the run does not wait: {}", built.stderr);
        assert_eq!(world.registry.count(BASE), 1, "{}", built.stderr);
        assert!(!built.stderr.contains("retry") && !built.stderr.contains("base:1"), "{}", built.stderr);
    }
    // Nobody listens there.
    let world = World::start(engine()).await;
    fs::write(world.home.path().join("context/Dockerfile"), "FROM localhost:1/base:1\n").unwrap();
    world.build().await.expect_code(0);
}
