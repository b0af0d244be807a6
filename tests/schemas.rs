//! What programs read of runs: reports and events. `support::program` holds those of every run against their schemas;
//! here is one of each kind.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::faults::world::World;
use crate::support::program::Run;
use crate::support::scripted_engine::Script;

/// The events of a run that ends with `code`, by their names. Its report is the last of them.
async fn events(world: &World, args: &[&str], code: i32) -> BTreeSet<String> {
    let json = ["--progress", "json", "--report", "report.json"];
    let run = Run::new(&world.home, args.iter().chain(&json)).env("DOCKER_HOST", world.engine.host());
    let finished = run.finish().await.expect_code(code);
    let lines: Vec<Value> = finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["report"]), (&"finished".into(), &world.report()));
    assert_eq!(last["report"]["run"]["exit_code"], code);
    let said = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| format!("{} {}", said(line, "event"), said(line, "what")).trim_end().to_owned()).collect()
}

fn has(events: &BTreeSet<String>, expected: &[&str]) {
    for name in expected.iter().chain(&["polyarch", "finished"]) {
        assert!(events.contains(*name), "{name} is not in {events:?}");
    }
}

#[tokio::test]
async fn reports_and_events_match_their_schemas() {
    let world = World::start(Script::default()).await;
    let tag = |name: &str| format!("{}/{name}", world.registry.host());
    has(&events(&world, &["build", "--no-push"], 0).await, &["started", "job built", "image not_joined"]);
    has(&events(&world, &["build", "--no-join"], 0).await, &["job pushed", "job confirmed", "image not_joined"]);
    has(&events(&world, &["join"], 0).await, &["image joined", "image tagged", "image verified"]);
    has(&events(&world, &["build"], 0).await, &["job build_started", "image tagged", "image verified"]);
    let join = ["join", "-t", &tag("hello:2.0"), &tag("hello:1.0-amd64"), &tag("hello:1.0-arm64")];
    has(&events(&world, &join, 0).await, &["started", "image joined", "image tagged"]);
    has(&events(&world, &["copy", &tag("hello:1.0"), &tag("other:1.0")], 0).await, &["image copied", "image tagged"]);
    let missing = ["join", "-t", &tag("hello:3.0"), &tag("hello:nowhere")];
    has(&events(&world, &missing, 7).await, &["image failed"]);
    world.plan("images:\n  hello: { context: context, tags: [x], platforms: [linux/amd64], zz: 1 }\n");
    has(&events(&world, &["build"], 2).await, &["failed"]);
}

#[tokio::test]
async fn failed_build_with_log_lines_matches_the_schemas() {
    let script = Script::default().solve(async |call| {
        call.log("make: *** [all] Error 2\n");
        Err(tonic::Status::unknown("process \"/bin/sh -c make\" did not complete successfully: exit code: 2"))
    });
    let world = World::start(script).await;
    has(&events(&world, &["build"], 4).await, &["job log", "job failed"]);
    let platforms = world.report()["images"][0]["platforms"].clone();
    assert!(platforms.as_array().unwrap().iter().any(|one| !one["log_tail"].is_null()), "{platforms:#}");
}
