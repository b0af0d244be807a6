//! Several engines of one platform: how they share the jobs, and what happens when one of them dies.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::sync::watch;

use super::world::{World, says};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::store::Store;

/// A gate that opens once, and an engine whose builds wait for it.
fn gated() -> (watch::Sender<bool>, Script) {
    let gate = watch::Sender::new(false);
    let opened = gate.subscribe();
    let script = Script::default().solve(move |call| {
        let mut opened = opened.clone();
        async move {
            opened.wait_for(|opened| *opened).await.unwrap();
            call.built()
        }
    });
    (gate, script)
}

/// The engine `first` of the world, and the engine `second`. Each has one slot.
async fn two(first: Script, second: Script) -> (World, ScriptedEngine) {
    let store = Store::default();
    let second = ScriptedEngine::start(second, &store);
    let world = World::around(ScriptedEngine::start(first, &store), store).await;
    (world, second)
}

/// A plan of so many images of linux/amd64 on both engines.
fn plan(world: &World, second: &ScriptedEngine, images: usize) {
    let mut plan = format!(
        "engines:\n  first: {{ host: '{}', slots: 1 }}\n  second: {{ host: '{}', slots: 1 }}\n\
         defaults: {{ context: context, tags: ['1'], platforms: [linux/amd64] }}\nimages:\n",
        world.engine.host(),
        second.host()
    );
    (0..images).for_each(|n| writeln!(plan, "  image{n}: {{}}").unwrap());
    world.plan(&plan);
}

/// The engine of each image, as the report names it.
fn engines(report: &Value) -> Vec<&str> {
    let images = report["images"].as_array().unwrap().iter();
    images.map(|image| image["platforms"][0]["engine"].as_str().unwrap()).collect()
}

/// The reported moves of all images: the engine that was left, and the reason.
fn moves(report: &Value) -> Vec<(&str, &str)> {
    let images = report["images"].as_array().unwrap().iter();
    let moves = images.flat_map(|image| image["platforms"][0]["moved"].as_array().into_iter().flatten());
    moves.map(|one| (one["from"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn idle_engine_takes_the_jobs_of_a_busy_equal_one() {
    let (gate, script) = gated();
    let (world, second) = two(script, Script::default()).await;
    plan(&world, &second, 8);
    let running = world.run(&["build"]).start();
    // One build holds the only slot of the first engine, so the second engine does all others.
    second.until(|counts| counts.solves.finished == 7).await;
    assert_eq!(world.engine.counts().solves.started, 1);
    gate.send_replace(true);
    running.finish().await.expect_code(0);
    let report = world.report();
    let of = |name: &str| engines(&report).iter().filter(|engine| **engine == name).count();
    assert_eq!((of("first"), of("second"), moves(&report).len()), (1, 7, 0));
    assert_eq!((world.engine.counts().solves.most, second.counts().solves.most), (1, 1));
}

#[tokio::test]
async fn queued_builds_end_when_the_run_ends() {
    let script =
        || Script::default().solve(|call| async move { Err(tonic::Status::unknown(call.platform().to_owned())) });
    let (world, second) = two(script(), script()).await;
    plan(&world, &second, 8);
    let finished = world.run(&["build", "--fail-fast"]).finish().await.expect_code(4);
    says(&finished, &["cancelled"]);
    let statuses = world.report()["images"].to_string();
    assert_eq!(
        statuses.matches("\"status\":\"failed\"").count() + statuses.matches("\"status\":\"cancelled\"").count(),
        8
    );
    world.assert_untouched();
}

#[tokio::test]
async fn killed_engine_gives_its_jobs_to_another_engine() {
    let (_closed, script) = gated();
    let (world, second) = two(script, Script::default()).await;
    plan(&world, &second, 6);
    let running = world.run(&["build"]).start();
    second.until(|counts| counts.solves.finished == 5).await;
    world.engine.kill();
    let finished = running.finish().await.expect_code(0);
    says(&finished, &["moved away from engine first", "engine first is lost", "building on second"]);
    let report = world.report();
    assert_eq!(engines(&report), ["second"; 6]);
    let [(from, reason)] = moves(&report)[..] else { panic!("one job moves: {report:#}") };
    assert!(from == "first" && reason.contains("engine first: cannot build"), "{reason}");
    assert!(report["warnings"].to_string().contains("engine first is lost"));
    // Nothing that was built before is built again.
    assert_eq!((world.engine.counts().solves.started, second.counts().solves.started), (1, 6));
    assert_eq!(world.put().len(), 6);
}

#[tokio::test]
async fn job_moves_to_another_engine_only_once() {
    let (_first_gate, first) = gated();
    let (_second_gate, second) = gated();
    let (world, second) = two(first, second).await;
    plan(&world, &second, 1);
    let running = world.run(&["build"]).start();
    let both = [&world.engine, &second];
    // The image prefers one of the engines, and it is the only image.
    let begun = |engine: &&ScriptedEngine| engine.counts().solves.started == 1;
    crate::support::parts::eventually("the build begins", crate::support::parts::LIMIT, || both.iter().any(begun))
        .await;
    let preferred = both.iter().position(begun).unwrap();
    both[preferred].kill();
    both[1 - preferred].until(|counts| counts.solves.started == 1).await;
    both[1 - preferred].kill();
    let finished = running.finish().await.expect_code(4);
    says(&finished, &["the connection to the engine was lost", "moved away from engine"]);
    let report = world.report();
    assert_eq!(moves(&report).len(), 1, "{report:#}");
    assert_eq!((both[0].counts().solves.started, both[1].counts().solves.started), (1, 1));
    world.assert_untouched();
}

#[tokio::test]
async fn broken_connection_does_not_condemn_an_engine() {
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut_once = || {
        let is_cut = is_cut.clone();
        Script::default().push(move |call| {
            let is_first = !is_cut.swap(true, Ordering::SeqCst);
            async move { if is_first { call.cut() } else { call.pushed() } }
        })
    };
    let (world, second) = two(cut_once(), cut_once()).await;
    plan(&world, &second, 8);
    let finished = world.build().await.expect_code(0);
    let report = world.report();
    let [(from, reason)] = moves(&report)[..] else { panic!("one job moves: {report:#}") };
    assert!(reason.contains("cannot push"), "{reason}");
    assert!(!finished.stderr.contains("is lost"), "{}", finished.stderr);
    // The engine answers, so it gets further jobs. The moved job is built again on the other engine.
    assert!(engines(&report).contains(&from), "{report:#}");
    assert_eq!(world.engine.counts().solves.started + second.counts().solves.started, 9);
    assert_eq!(world.put().len(), 8);
}

#[tokio::test]
async fn failed_build_does_not_move_to_another_engine() {
    let script = || Script::default().solve(|_| async { Err(tonic::Status::unknown("no such file")) });
    let (world, second) = two(script(), script()).await;
    plan(&world, &second, 1);
    world.build().await.expect_code(4);
    assert_eq!(world.engine.counts().solves.started + second.counts().solves.started, 1);
    assert_eq!(moves(&world.report()).len(), 0);
}
