//! A registry that answers, but not with what was asked for: before the builds, after a push, when a tag is put.

use futures::future::join_all;

use super::world::{World, says};
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::{Reply, status};

/// What a registry can say in place of an answer, and what of it a person must read.
const BAD: [(Bad, &str); 5] = [
    (Bad::Unauthorized, "docker login"),
    (Bad::TooMany, "429"),
    (Bad::Broken, "500"),
    (Bad::Html, "error"),
    (Bad::Cut, "error"),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bad {
    Unauthorized,
    TooMany,
    Broken,
    /// 200, and a page for people.
    Html,
    /// The connection ends in the middle of the head.
    Cut,
}

impl Bad {
    fn reply(self) -> Reply {
        match self {
            Self::Unauthorized => status(401).header("WWW-Authenticate", r#"Basic realm="test""#),
            Self::TooMany => status(429).header("Retry-After", "3600").body("slow down"),
            Self::Broken => status(500).body("it broke"),
            Self::Html => status(200).header("Content-Type", "text/html").body("<html>welcome</html>"),
            Self::Cut => Reply::CutHead,
        }
    }
}

/// Builds where every request that begins with `line` is answered so.
async fn build(line: &'static str, bad: Bad, words: &str, code: i32) -> World {
    let world = World::start(Script::default()).await;
    world.registry_answers(move |request| request.line().starts_with(line).then(|| bad.reply()));
    let finished = world.build().await;
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    assert_eq!(finished.code(), code, "{bad:?} to {line}\n{stderr}");
    assert_eq!(stdout, "", "{bad:?} to {line}");
    says(&finished, &["error", words, &world.registry.host()]);
    world
}

#[tokio::test]
async fn unusable_registry_stops_the_run_before_any_build() {
    // A page where the API should be is found out by the push.
    let cases = BAD.into_iter().filter(|(bad, _)| *bad != Bad::Html);
    join_all(cases.map(async |(bad, words)| {
        let world = build("GET /v2/", bad, words, 3).await;
        assert_eq!(world.engine.counts().solves.started, 0, "{bad:?}");
        world.assert_untouched();
    }))
    .await;
}

#[tokio::test]
async fn unconfirmed_push_moves_no_tag() {
    join_all(BAD.map(async |(bad, words)| {
        // Something that is no manifest is a refusal of ours.
        let code = if bad == Bad::Html { 7 } else { 5 };
        build("GET /v2/hello/manifests/sha256:", bad, words, code).await.assert_untouched();
    }))
    .await;
}

#[tokio::test]
async fn final_tag_does_not_move_if_it_cannot_be_read_first() {
    let cases = BAD.into_iter().filter(|(bad, _)| *bad != Bad::Html);
    join_all(cases.map(async |(bad, words)| {
        build("GET /v2/hello/manifests/1.0", bad, words, 6).await.assert_untouched();
    }))
    .await;
}

#[tokio::test]
async fn refused_final_tag_fails_the_publication() {
    join_all(BAD.map(async |(bad, words)| {
        let world = build("PUT /v2/hello/manifests/1.0", bad, words, 6).await;
        assert!(world.put().iter().all(|tag| tag == "1.0"), "{bad:?}: {:?}", world.put());
        assert!(world.store.get("hello", "latest").is_none());
    }))
    .await;
}

#[tokio::test]
async fn build_survives_one_503_for_every_request() {
    let world = World::start(Script::default()).await;
    let mut broken = std::collections::HashSet::new();
    world.registry_answers(move |request| broken.insert(request.line()).then(|| status(503)));
    let finished = world.build().await.expect_code(0);
    says(&finished, &["trying again"]);
    assert!(world.store.get("hello", "latest").is_some());
}
