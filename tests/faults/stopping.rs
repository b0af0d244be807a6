//! A signal arrives in each phase. The run ends within 5 s with the exit code of the signal and lists its leftovers. No
//! further final tag moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::Notify;

use super::world::{World, says};
use crate::support::program::{Finished, Running};
use crate::support::scripted_engine::{Rest, Script};
use crate::support::scripted_registry::{Reply, Request};
use crate::support::store::missing;

/// Within this the program must be gone; CI systems kill it a little later.
const LIMIT: Duration = Duration::from_secs(5);
const BOTH: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// Sends the signal and waits for the end.
async fn stop(running: Running, (signal, code): (Signal, i32)) -> Finished {
    let sent = Instant::now();
    running.signal(signal);
    let finished = running.finish().await.expect_code(code);
    assert!(sent.elapsed() < LIMIT, "it took {:?}", sent.elapsed());
    finished
}

/// A world whose registry leaves requests that begin with `line` without an answer.
async fn silent_at(line: &'static str) -> World {
    let world = World::start(Script::default()).await;
    world.registry_answers(move |request: &Request| request.line().starts_with(line).then_some(Reply::Silence));
    world
}

fn kinds(world: &World) -> Vec<String> {
    let report = world.report();
    let left = report["leftovers"].as_array().unwrap();
    left.iter().map(|left| left["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn signal_while_engines_are_asked_starts_nothing() {
    for signal in BOTH {
        let script = Script::default().rest(|line| (line == "GET /info").then_some(Rest::Silence));
        let world = World::start(script).await;
        let running = world.run(&["build"]).start();
        world.engine.asked("GET /info").await;
        says(&stop(running, signal).await, &["nothing was started"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn signal_while_the_registry_is_asked_starts_nothing() {
    for signal in BOTH {
        let world = silent_at("GET /v2/").await;
        let running = world.run(&["build"]).start();
        world.registry.asked("GET /v2/", 1).await;
        says(&stop(running, signal).await, &["nothing was started"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn signal_during_a_build_cancels_it_on_the_engine() {
    for signal in BOTH {
        let world = World::start(Script::default().solve(|_| std::future::pending())).await;
        let running = world.run(&["build"]).start();
        world.engine.until(|counts| counts.solves.started == 2).await;
        let finished = stop(running, signal).await;
        says(&finished, &["cancelled", "not published", "not moved: "]);
        world.engine.until(|counts| counts.solves.cancelled == 2).await;
        assert_eq!(kinds(&world), Vec::<String>::new());
        world.assert_untouched();
        let running = world.run(&["build", "--no-join"]).start();
        world.engine.until(|counts| counts.solves.started == 4).await;
        let finished = stop(running, signal).await;
        says(&finished, &["cancelled", "hello not joined: --no-join"]);
        assert!(!finished.stderr.contains("not moved: "), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn signal_during_a_push_cancels_it_on_the_engine() {
    for signal in BOTH {
        let script = Script::default().push(async |push| {
            push.line(r#"{"status":"Pushing","id":"layer"}"#);
            std::future::pending::<()>().await;
        });
        let world = World::start(script).await;
        let running = world.run(&["build"]).start();
        world.engine.until(|counts| counts.pushes.started == 2).await;
        let finished = stop(running, signal).await;
        says(&finished, &["perhaps left in the registry:", "hello:1.0-amd64", "hello:1.0-arm64"]);
        world.engine.until(|counts| counts.pushes.cancelled == 2).await;
        assert_eq!(kinds(&world), ["perhaps_arch_tag", "perhaps_arch_tag"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn signal_during_confirmation_lists_the_arch_tags() {
    for signal in BOTH {
        let world = silent_at("GET /v2/hello/manifests/sha256:").await;
        let running = world.run(&["build"]).start();
        world.registry.asked("GET /v2/hello/manifests/sha256:", 2).await;
        let finished = stop(running, signal).await;
        says(&finished, &["left in the registry:", "hello:1.0-amd64", "hello:1.0-arm64"]);
        assert_eq!(kinds(&world), ["arch_tag", "arch_tag"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn signal_before_a_tag_moves_keeps_the_tag() {
    for signal in BOTH {
        let world = World::start(Script::default()).await;
        let final_tag = |request: &Request| request.line() == "GET /v2/hello/manifests/1.0";
        world.registry_answers(move |request| final_tag(request).then_some(Reply::Silence));
        let running = world.run(&["build"]).start();
        // Those of the arch tags are two: whether they are there already.
        world.registry.asked("GET /v2/hello/manifests/1.0", 3).await;
        let finished = stop(running, signal).await;
        says(&finished, &["not moved:"]);
        assert_eq!(kinds(&world), ["arch_tag", "arch_tag"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn signal_during_a_tag_move_reports_it_as_unknown() {
    for signal in BOTH {
        let world = silent_at("PUT /v2/hello/manifests/1.0").await;
        let running = world.run(&["build"]).start();
        world.registry.asked("PUT /v2/hello/manifests/1.0", 1).await;
        let finished = stop(running, signal).await;
        says(&finished, &["perhaps moved: ", "perhaps moved before the failure: "]);
        assert_eq!(kinds(&world), ["arch_tag", "arch_tag", "perhaps_final_tag"]);
        assert_eq!(world.put(), ["1.0"]);
    }
}

#[tokio::test]
async fn signal_while_current_tags_are_read_moves_no_tag() {
    let world = World::start(Script::default()).await;
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    world.registry_answers(move |request| {
        let asked = request.line() == "GET /v2/hello/manifests/latest";
        asked.then(|| Reply::After(held.clone(), Box::new(missing())))
    });
    let mut running = world.run(&["build"]).start();
    world.registry.asked("GET /v2/hello/manifests/latest", 1).await;
    running.signal(Signal::INT);
    running.stderr_line("interrupted").await;
    gate.notify_one();
    let finished = running.finish().await.expect_code(130);
    says(&finished, &["hello:1.0 was not published: interrupted"]);
    world.assert_untouched();
}

#[tokio::test]
async fn signal_during_a_tag_move_waits_briefly_for_its_answer() {
    let world = World::start(Script::default()).await;
    let gate = Arc::new(Notify::new());
    let (held, store) = (gate.clone(), world.store.clone());
    world.registry_answers(move |request| {
        let put = request.line() == "PUT /v2/hello/manifests/1.0";
        put.then(|| Reply::After(held.clone(), Box::new(store.answer(request).unwrap())))
    });
    let mut running = world.run(&["build"]).start();
    world.registry.asked("PUT /v2/hello/manifests/1.0", 1).await;
    running.signal(Signal::TERM);
    running.stderr_line("terminated").await;
    gate.notify_one();
    running.finish().await.expect_code(143);
    assert_eq!(kinds(&world), ["arch_tag", "arch_tag", "final_tag"]);
    assert_eq!(world.put(), ["1.0"]);
}

#[tokio::test]
async fn signal_during_the_second_tag_move_lists_the_first() {
    for signal in BOTH {
        let world = silent_at("PUT /v2/hello/manifests/latest").await;
        let running = world.run(&["build"]).start();
        world.registry.asked("PUT /v2/hello/manifests/latest", 1).await;
        let finished = stop(running, signal).await;
        says(&finished, &["partly published", "moved before the failure: "]);
        assert_eq!(kinds(&world), ["arch_tag", "arch_tag", "final_tag", "perhaps_final_tag"]);
        assert_eq!(world.put(), ["1.0", "latest"]);
    }
}

#[tokio::test]
async fn signal_during_verification_lists_moved_tags() {
    for signal in BOTH {
        let world = World::start(Script::default()).await;
        let mut put = false;
        world.registry_answers(move |request| {
            put |= request.line() == "PUT /v2/hello/manifests/latest";
            (put && request.line() == "GET /v2/hello/manifests/1.0").then_some(Reply::Silence)
        });
        let running = world.run(&["build"]).start();
        // Of the arch tags, whose names begin so, before the push; of the tag before the put, and back.
        world.registry.asked("GET /v2/hello/manifests/1.0", 4).await;

        let finished = stop(running, signal).await;
        assert_eq!(finished.stdout, "");
        assert_eq!(kinds(&world), ["arch_tag", "arch_tag", "final_tag", "final_tag"]);
        assert_eq!(world.put(), ["1.0", "latest"]);
    }
}

#[tokio::test]
async fn second_signal_does_not_wait_for_a_tag_answer() {
    let world = silent_at("PUT /v2/hello/manifests/1.0").await;
    let mut running = world.run(&["build"]).start();
    world.registry.asked("PUT /v2/hello/manifests/1.0", 1).await;
    running.signal(Signal::INT);
    running.stderr_line("interrupted").await;
    let sent = Instant::now();
    running.signal(Signal::TERM);
    let finished = running.finish().await.expect_code(130);
    // The first alone waits 2 s.
    assert!(sent.elapsed() < Duration::from_millis(1500), "it took {:?}", sent.elapsed());
    says(&finished, &["perhaps moved: "]);
}

#[tokio::test]
async fn third_signal_ends_a_run_that_hangs() {
    let world = World::start(Script::default().solve(|_| std::future::pending())).await;
    // Nobody reads it: writing the report hangs.
    let pipe = world.home.path().join("report.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut running = world.run(&["build"]).start();
    world.engine.until(|counts| counts.solves.started == 2).await;
    running.signal(Signal::INT);
    running.stderr_line("exit code 130").await;
    let sent = Instant::now();
    // Signals that come at once are one: they are sent until they were three.
    while sent.elapsed() < LIMIT && !running.has_ended() {
        running.signal(Signal::INT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.finish().await.expect_code(130);
    assert!(sent.elapsed() < LIMIT, "it took {:?}", sent.elapsed());
}

#[tokio::test]
async fn signal_stops_a_join_like_a_build() {
    let world = silent_at("GET /v2/hello/manifests/1.0-").await;
    let running = world.run(&["join"]).start();
    world.registry.asked("GET /v2/hello/manifests/1.0-", 2).await;
    stop(running, (Signal::INT, 130)).await;
    world.assert_untouched();
}
