//! What one failure ends, what goes on, how much runs at once, and how long.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::{Barrier, Notify};
use tonic::Status;

use super::world::{HELLO, World, says};
use crate::support::scripted_engine::Script;

const TWO_IMAGES: &str = r#"
defaults: { context: context, tags: ["1.0"], platforms: [linux/amd64] }
images: { bad: {}, good: {} }
"#;

/// `bad` fails once `good` is building; `good` is built when the test says so.
fn one_fails(go_on: &Arc<Notify>) -> Script {
    let (go_on, building) = (go_on.clone(), Arc::new(Notify::new()));
    Script::default().solve(move |call| {
        let (go_on, building) = (go_on.clone(), building.clone());
        async move {
            if call.name().contains("/bad:") {
                building.notified().await;
                return Err(Status::unknown("exit code: 2"));
            }
            building.notify_one();
            go_on.notified().await;
            call.built()
        }
    })
}

#[tokio::test]
async fn other_images_continue_after_a_failure() {
    let go_on = Arc::new(Notify::new());
    let world = World::start(one_fails(&go_on)).await;
    world.plan(TWO_IMAGES);
    let mut running = world.run(&["build"]).start();
    running.stderr_line("│ failed").await;
    go_on.notify_one();
    let finished = running.finish().await.expect_code(4);
    assert!(finished.stdout.contains("/good@sha256:") && !finished.stdout.contains("/bad@"), "{}", finished.stdout);
    assert!(world.store.get("good", "1.0").is_some() && world.store.get("bad", "1.0").is_none());
}

#[tokio::test]
async fn fail_fast_cancels_every_build() {
    let world = World::start(one_fails(&Arc::default())).await;
    world.plan(TWO_IMAGES);
    let finished = world.run(&["build", "--fail-fast"]).finish().await.expect_code(4);
    world.engine.until(|counts| counts.solves.cancelled == 1).await;
    assert_eq!(finished.stdout, "");
    world.assert_untouched();
}

#[tokio::test]
async fn failed_platform_cancels_builds_of_the_same_image() {
    let building = Arc::new(Barrier::new(2));
    let script = Script::default().solve(move |call| {
        let building = building.clone();
        async move {
            building.wait().await;
            if call.platform() == "linux/amd64" {
                return Err(Status::unknown("exit code: 2"));
            }
            std::future::pending().await
        }
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(4);
    says(&finished, &["exit code: 2", "hello linux/arm64 │ cancelled"]);
    world.engine.until(|counts| counts.solves.cancelled == 1).await;
    assert_eq!(world.engine.counts().pushes.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn running_push_finishes_after_another_platform_failed() {
    let (pushing, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (started, released) = (pushing.clone(), go_on.clone());
    let script = Script::default()
        .solve(move |call| {
            let pushing = pushing.clone();
            async move {
                if call.platform() == "linux/amd64" {
                    pushing.notified().await;
                    return Err(Status::unknown("exit code: 2"));
                }
                call.built()
            }
        })
        .push(move |push| {
            let (started, released) = (started.clone(), released.clone());
            async move {
                started.notify_one();
                released.notified().await;
                push.pushed();
            }
        });
    let world = World::start(script).await;
    let mut running = world.run(&["build"]).start();
    running.stderr_line("│ failed").await;
    go_on.notify_one();
    let finished = running.finish().await.expect_code(4);
    let pushes = world.engine.counts().pushes;
    assert_eq!((pushes.finished, pushes.cancelled), (1, 0));
    says(&finished, &["hello linux/arm64 │ confirmed", "left in the registry: "]);
    assert!(world.store.get("hello", "1.0-arm64").is_some());
    world.assert_untouched();
}

#[tokio::test]
async fn builds_at_once_are_limited_to_the_slots_of_the_engine() {
    // Each waits until three run: fewer would hang, and more are counted.
    let three = Arc::new(Barrier::new(3));
    let script = Script::default().solve(move |call| {
        let three = three.clone();
        async move {
            three.wait().await;
            call.built()
        }
    });
    let world = World::start(script).await;
    let mut plan = format!(
        "engines: {{ one: {{ host: '{}', slots: 3, platforms: [linux/amd64, linux/arm64] }} }}\n\
         defaults: {{ context: context, tags: ['1'], platforms: [linux/amd64, linux/arm64] }}\nimages:\n",
        world.engine.host()
    );
    (0..12).for_each(|n| writeln!(plan, "  image{n}: {{}}").unwrap());
    world.plan(&plan);
    let finished = world.build().await.expect_code(0);
    let solves = world.engine.counts().solves;
    assert_eq!((solves.started, solves.finished, solves.most), (24, 24, 3));
    assert_eq!(finished.stdout.lines().count(), 12);
    assert_eq!(world.put().len(), 12);
}

#[tokio::test]
async fn run_timeout_exits_124() {
    let world = World::start(Script::default().solve(|_| std::future::pending())).await;
    let finished = world.run(&["build", "--timeout", "1s"]).finish().await.expect_code(124);
    says(&finished, &["timed out after 1s", "cancelled"]);
    // The limit counts from the start of the program, and the duration does too.
    assert!(world.report()["run"]["seconds"].as_f64().unwrap() >= 1.0, "{}", finished.stderr);
    world.engine.until(|counts| counts.solves.cancelled == 2).await;
    world.assert_untouched();
}

#[tokio::test]
async fn platform_timeout_exits_124() {
    let script = Script::default().solve(async |call| {
        if call.platform() == "linux/arm64" {
            std::future::pending::<()>().await;
        }
        call.built()
    });
    let world = World::start(script).await;
    world.plan(&HELLO.replace("    context:", "    timeout: 1s\n    context:"));
    let finished = world.build().await.expect_code(124);
    says(&finished, &["hello linux/arm64", "longer than its timeout of 1s", "`timeout:` in the plan"]);
    world.engine.until(|counts| counts.solves.cancelled == 1).await;
    world.assert_untouched();
}
