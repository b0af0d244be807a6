//! `polyarch doctor`, with a scripted engine and a scripted registry.

use std::fs;

use serde_json::Value;

use crate::faults::world::{HELLO, World};
use crate::support::program::Run;
use crate::support::scripted_engine::{Rest, Script};
use crate::support::scripted_registry::status;

/// A world whose registry lets the user begin an upload.
async fn start(script: Script) -> World {
    let world = World::start(script).await;
    world.registry_answers(|request| {
        let begins = request.method == "POST" && request.target.ends_with("/blobs/uploads/");
        begins.then(|| status(202).header("location", "/v2/hello/blobs/uploads/1"))
    });
    world
}

async fn document(world: &World, code: i32) -> Value {
    let run = Run::new(&world.home, ["doctor", "--json"]).env("DOCKER_HOST", world.engine.host());
    serde_json::from_str(&run.finish().await.expect_code(code).stdout).unwrap()
}

/// `step outcome` of each finding.
fn steps(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().unwrap().iter();
    let outcome = |finding: &Value| ["works", "unknown", "fails"].into_iter().find(|one| !finding[one].is_null());
    findings.map(|finding| format!("{} {}", finding["check"].as_str().unwrap(), outcome(finding).unwrap())).collect()
}

#[tokio::test]
async fn doctor_checks_each_step_and_builds_nothing() {
    let world = start(Script::default().runs(&["linux/amd64"])).await;
    let found = document(&world, 0).await;
    let expected = [
        "plan works",
        "connection works",
        "version works",
        "platforms works",
        "emulation unknown",
        "reach works",
        "push works",
        "route works",
        "start works",
    ];
    assert_eq!(steps(&found), expected, "{found:#}");
    assert!(found["findings"][4]["remedy"].as_str().unwrap().contains("tonistiigi/binfmt"), "{found:#}");
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
    let run = Run::new(&world.home, ["doctor"]).env("DOCKER_HOST", world.engine.host());
    let text = run.finish().await.expect_code(0).stdout;
    let host = world.registry.host();
    for line in [
        "plan build.yaml",
        "engine default",
        &format!("registry {host}"),
        "  ok     start       `polyarch build` can start",
    ] {
        assert!(text.lines().any(|one| one.starts_with(line)), "{line:?} is not in\n{text}");
    }
}

#[tokio::test]
async fn doctor_ends_with_the_exit_code_of_the_build() {
    let route = || {
        let no_route = r#"{"message":"dial tcp: lookup a.io: no such host"}"#;
        Script::default()
            .rest(move |line| line.starts_with("GET /distribution/").then(|| Rest::Answer(500, no_route.into())))
    };
    let secret = HELLO.replace("tags:", "secrets: [{ id: token, env: NOT_SET }]\n    tags:");
    let nowhere = "images: { hello: { context: nowhere, tags: [x], platforms: [linux/amd64] } }";
    let lacking = HELLO.replace("tags:", "shm_size: 64m\n    tags:");
    let cases: [(Script, &str, &str, i32); 5] = [
        (route(), HELLO, "route fails", 3),
        (Script::default(), "zz: 1\n", "plan fails", 2),
        (Script::default(), nowhere, "plan fails", 2),
        (Script::default(), &secret, "start fails", 2),
        (Script::default(), &lacking, "start fails", 3),
    ];
    for (script, plan, step, code) in cases {
        let world = start(script).await;
        world.plan(plan);
        let built = world.build().await.code();
        let found = document(&world, code).await;
        assert_eq!((built, &found["exit_code"]), (code, &code.into()), "{plan}");
        assert!(steps(&found).iter().any(|one| one == step), "{plan}: {found:#}");
        // The engine is examined all the same.
        assert!(steps(&found).contains(&"connection works".to_owned()), "{plan}: {found:#}");
    }
}

#[tokio::test]
async fn doctor_fails_if_the_login_may_not_push() {
    let world = start(Script::default()).await;
    world.registry_answers(|request| {
        (request.method == "POST").then(|| status(403).body(r#"{"errors":[{"code":"DENIED"}]}"#.to_owned()))
    });
    let found = document(&world, 5).await;
    assert!(steps(&found).contains(&"push fails".to_owned()), "{found:#}");
    assert!(!steps(&found).iter().any(|step| step.starts_with("start")), "{found:#}");
}

#[tokio::test]
async fn doctor_without_a_plan_checks_the_engine_of_docker() {
    let world = start(Script::default()).await;
    fs::remove_file(world.home.path().join("build.yaml")).unwrap();
    let run = Run::new(&world.home, ["doctor"]).env("DOCKER_HOST", world.engine.host());
    let text = run.finish().await.expect_code(2).stdout;
    for words in ["there is no build.yaml and no polyarch.yaml here", "run `polyarch init`", "ok     connection"] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[tokio::test]
async fn doctor_reports_a_dead_engine_and_a_wrong_clock() {
    let world = start(Script::default()).await;
    let info = r#"{"SystemTime":"2001-01-01T00:00:00.000000000Z","DriverStatus":[]}"#;
    let late =
        start(Script::default().rest(move |line| (line == "GET /info").then(|| Rest::Answer(200, info.into())))).await;
    let found = document(&late, 0).await;
    assert!(steps(&found).contains(&"clock unknown".to_owned()), "{found:#}");
    world.engine.kill();
    let found = document(&world, 3).await;
    assert!(steps(&found).contains(&"connection fails".to_owned()), "{found:#}");
    // The registry is examined all the same.
    assert!(steps(&found).contains(&"push works".to_owned()), "{found:#}");
}

#[tokio::test]
async fn doctor_agrees_with_the_build_about_an_engine_that_is_down() {
    let world = start(Script::default().runs(&["linux/amd64"])).await;
    let up = world.engine.host();
    let plan = |down: &str, platforms: &str| {
        format!(
            "engines: {{ up: {{ host: '{up}', platforms: [linux/arm64] }}, down: {{ host: 'unix:///nowhere.sock'{down} }} }}\n{}",
            HELLO.replace("linux/amd64, linux/arm64", platforms)
        )
    };
    let spared = "linux/amd64, linux/arm64";
    for (plan, step, code) in [
        (plan("", spared), "connection unknown", 0),
        (plan(", required: true", spared), "connection fails", 3),
        (plan(", platforms: [linux/riscv64]", "linux/riscv64"), "connection unknown", 3),
    ] {
        world.plan(&plan);
        let found = document(&world, code).await;
        assert!(steps(&found).iter().any(|one| one == step), "{plan}: {found:#}");
        assert_eq!(world.build().await.code(), code, "{plan}");
    }
}
