//! A context that several images have is one source of one session, and others are as they were.

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};

use super::world::World;
use crate::support::scripted_engine::Script;

/// Builds `a` and `b` on one context with these Dockerfiles, and more settings of each; gives how many of their four
/// solves had the context as an input, and how many different inputs there were.
async fn inputs(dockerfiles: [&str; 2], settings: [&str; 2]) -> (usize, usize) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = seen.clone();
    let world = World::start(Script::default().containerd().solve(move |call| {
        let input = call.request.frontend_inputs.get("context").map(|input| input.def.clone());
        heard.lock().unwrap().extend(input);
        async move { call.built() }
    }))
    .await;
    let mut plan =
        "defaults: { context: context, tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }\nimages:\n".to_owned();
    for ((name, text), settings) in ["a", "b"].into_iter().zip(dockerfiles).zip(settings) {
        fs::write(world.home.path().join("context").join(name), text).unwrap();
        writeln!(plan, "  {name}: {{ dockerfile: {name}{settings} }}").unwrap();
    }
    world.plan(&plan);
    world.run(&["build", "--no-elf"]).finish().await.expect_code(0);
    let mut seen = seen.lock().unwrap().clone();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    (count, seen.len())
}

#[tokio::test]
async fn context_is_shared_only_if_one_build_copies_all_of_it() {
    const ALL: &str = "FROM scratch\nCOPY . /\n";
    const SOME: &str = "FROM scratch\nCOPY a /\n";
    for (dockerfiles, settings, inputs_of) in [
        ([ALL, SOME], ["", ""], (4, 1)),
        ([SOME, ALL], ["", ""], (4, 1)),
        ([ALL, ALL], ["", ""], (4, 1)),
        ([SOME, SOME], ["", ""], (0, 0)),
        ([ALL, "FROM scratch AS other\nCOPY a /\n"], ["", ", contexts: { context: context }"], (0, 0)),
        ([ALL, "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY . /\n"], ["", ""], (0, 0)),
        (["FROM scratch AS not\nCOPY . /\nFROM scratch\nCOPY a /\n", SOME], ["", ""], (0, 0)),
    ] {
        assert_eq!(inputs(dockerfiles, settings).await, inputs_of, "{dockerfiles:?} {settings:?}");
    }
}
