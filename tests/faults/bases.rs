//! Images that build on images: the order of what is built, and what becomes of the rest where something fails.

use std::sync::Arc;

use tokio::sync::Notify;
use tonic::Status;

use super::world::{World, says};
use crate::support::scripted_engine::Script;

/// A chain of three on two platforms, and one beside it.
const CHAIN: &str = r#"
defaults: { context: context, tags: ["1.0"], platforms: [linux/amd64, linux/arm64] }
images:
  app: { contexts: { mid: "image:mid" } }
  mid: { contexts: { base: "image:base" } }
  base: {}
  other: {}
"#;

/// The image and the processor of a build.
fn of(name: &str) -> (String, &str) {
    let (repository, tag) = name.rsplit('/').next().unwrap().split_once(':').unwrap();
    (repository.to_owned(), tag.trim_start_matches("1.0-"))
}

#[tokio::test]
async fn platform_starts_on_its_confirmed_base_by_digest() {
    let (base_may_end, mid_began) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (hold, tell) = (base_may_end.clone(), mid_began.clone());
    let script = Script::default().containerd().solve(move |call| {
        let (hold, tell) = (hold.clone(), tell.clone());
        async move {
            let attrs = &call.request.frontend_attrs;
            let (image, arch) = of(call.name());
            match (image.as_str(), arch) {
                ("base", "arm64") => hold.notified().await,
                ("mid", "amd64") => tell.notify_one(),
                _ => {}
            }
            let on = attrs.get("context:base").or_else(|| attrs.get("context:mid"));
            let by_digest = on.is_none_or(|on| on.starts_with("docker-image://127.0.0.1:") && on.contains("@sha256:"));
            assert!(by_digest, "{attrs:?}");
            assert_eq!(on.is_some(), matches!(image.as_str(), "mid" | "app"));
            call.built()
        }
    });
    let world = World::start(script).await;
    world.plan(CHAIN);
    let running = world.run(&["build"]).start();
    // It would never begin if it waited for the whole of its base.
    mid_began.notified().await;
    base_may_end.notify_one();
    let finished = running.finish().await.expect_code(0);
    assert_eq!(finished.stdout.lines().count(), 4, "{}", finished.stdout);
    let at = |job: &str, said: &str| {
        let line = format!("{job:17} │ {said}");
        finished.stderr.find(&line).unwrap_or_else(|| panic!("{line}:\n{}", finished.stderr))
    };
    for arch in ["amd64", "arm64"] {
        let job = |image: &str| format!("{image} linux/{arch}");
        let of_three = ["base", "mid", "app"].map(|image| (at(&job(image), "building"), at(&job(image), "confirmed")));
        assert!(of_three.is_sorted_by(|(_, confirmed), (begun, _)| confirmed < begun), "{of_three:?}");
        assert!(at(&job("other"), "building") < at(&job("base"), "confirmed"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn dependents_of_a_failed_platform_are_not_built() {
    let mid_began = Arc::new(Notify::new());
    let tell = mid_began.clone();
    let script = Script::default().containerd().solve(move |call| {
        let began = tell.clone();
        async move {
            let (image, arch) = of(call.name());
            match (image.as_str(), arch) {
                // It fails when the other platform went on without it.
                ("base", "arm64") => {
                    began.notified().await;
                    Err(Status::unknown("process \"make\" did not complete successfully: exit code: 2"))
                }
                ("mid", "amd64") => {
                    began.notify_one();
                    std::future::pending().await
                }
                ("mid" | "app", _) => panic!("{image} {arch} was begun"),
                _ => call.built(),
            }
        }
    });
    let world = World::start(script).await;
    world.plan(CHAIN);
    let finished = world.build().await.expect_code(4);
    says(
        &finished,
        &[
            "mid linux/arm64   │ not built: base linux/arm64 failed",
            "app linux/arm64   │ not built: mid linux/arm64 was not built",
            "mid linux/amd64   │ cancelled",
            "app linux/amd64   │ not built: mid linux/amd64 was not built",
        ],
    );
    assert_eq!(world.put(), ["1.0"], "other alone is published");
    assert!(world.store.get("other", "1.0").is_some());
    let report = world.report();
    assert_eq!(report["images"][1]["platforms"][1]["not_built"], "base linux/arm64 failed", "{report:#}");
    assert_eq!(report["images"][0]["platforms"][0]["status"], "cancelled", "{report:#}");
    assert_eq!(world.engine.counts().solves.cancelled, 1);
}

#[tokio::test]
async fn selecting_an_image_also_builds_its_bases() {
    let world = World::start(Script::default().containerd()).await;
    world.plan(CHAIN);
    let shown = world.run(&["build", "--dry-run", "mid", "--platform", "linux/arm64"]).finish().await.expect_code(0);
    let host = world.registry.host();
    let expected = format!(
        "registry  {host}
engine    default at {} (linux/amd64, 20.10.24)
mid
  build  linux/arm64 on default (emulated)
  after  base linux/arm64
  push   {host}/mid:1.0-arm64
  tag    {host}/mid:1.0
base
  build  linux/arm64 on default (emulated)
  push   {host}/base:1.0-arm64
  tag    {host}/base:1.0
",
        world.engine.host()
    );
    assert_eq!(shown.stdout, expected);
    world.run(&["build", "mid"]).finish().await.expect_code(0);
    assert!(world.store.get("base", "1.0").is_some() && world.store.get("app", "1.0").is_none());
}

#[tokio::test]
async fn unpushed_base_is_used_by_name_on_its_own_engine() {
    let script = Script::default().containerd().solve(async |call| {
        let attrs = &call.request.frontend_attrs;
        if let Some(on) = attrs.get("context:base") {
            // The arch tag may be another run's by now.
            assert!(on.contains("/base:polyarch-run-"), "{attrs:?}");
            assert_eq!(attrs["image-resolve-mode"], "local");
        }
        call.built()
    });
    let world = World::start(script).await;
    world.plan(CHAIN);
    world.run(&["build", "--no-push"]).finish().await.expect_code(0);
    let refused = world.run(&["build", "--no-push", "--pull", "app"]).finish().await.expect_code(3);
    says(&refused, &["mid linux/amd64 cannot be built with `pull`", "app linux/arm64 cannot be built with `pull`"]);
    world.plan(&format!(
        "engines: {{ one: {{ host: '{host}', platforms: [linux/amd64, linux/arm64] }}, two: {{ host: '{host}', platforms: [linux/amd64] }} }}\n{}",
        CHAIN.replace("base: {}", "base: { platforms: { linux/amd64: { engine: two }, linux/arm64: { engine: one } } }")
            .replace("  app: {", "  app: { engine: one,").replace("  mid: {", "  mid: { engine: one,"),
        host = world.engine.host(),
    ));
    let refused = world.run(&["build", "--no-push"]).finish().await.expect_code(3);
    says(
        &refused,
        &["engine one cannot build mid linux/amd64: its base image base linux/amd64 will exist only on engine two"],
    );
    // What is pushed is there for every engine.
    world.run(&["build", "--dry-run"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn stopped_run_starts_no_waiting_build() {
    let began = Arc::new(Notify::new());
    let tell = began.clone();
    let script = Script::default().containerd().solve(move |call| {
        let began = tell.clone();
        async move {
            assert!(!matches!(of(call.name()).0.as_str(), "mid" | "app"), "{} was begun", call.name());
            began.notify_one();
            std::future::pending().await
        }
    });
    let world = World::start(script).await;
    world.plan(CHAIN);
    let running = world.run(&["build", "base", "app"]).start();
    began.notified().await;
    running.signal(rustix::process::Signal::INT);
    let finished = running.finish().await.expect_code(130);
    says(&finished, &["app linux/amd64  │ cancelled", "mid linux/arm64  │ cancelled"]);
    world.assert_untouched();
}
