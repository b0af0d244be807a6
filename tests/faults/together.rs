//! Other runs on the same engine, which name images at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tonic::Status;

use super::world::{World, says};
use crate::support::images::Image;
use crate::support::scripted_engine::{Rest, Script};

/// A counter that is true once, for the first call.
fn first() -> impl Fn() -> bool + Clone + Send + Sync {
    let asked = Arc::new(AtomicUsize::new(0));
    move || asked.fetch_add(1, Ordering::SeqCst) == 0
}

/// The number of the run's own names that it took away again.
fn removed(world: &World) -> usize {
    let removals = world.engine.requests().into_iter().filter(|line| line.starts_with("DELETE /images/"));
    removals.filter(|line| line.contains("/hello:polyarch-run-")).count()
}

#[tokio::test]
async fn image_name_taken_by_another_run_is_built_again() {
    let first = first();
    let script = Script::default().solve(move |call| {
        let taken = first().then(|| format!("image {:?}: already exists", call.name()));
        async move { taken.map_or_else(|| call.built(), |message| Err(Status::unknown(message))) }
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(0);
    says(&finished, &["another build gives the name"]);
    assert_eq!(world.engine.counts().solves.started, 3);
    assert_eq!(removed(&world), 2);
}

#[tokio::test]
async fn failed_step_with_already_exists_is_not_repeated() {
    let script = Script::default().solve(|_| async { Err(Status::unknown("mkdir: /x: already exists")) });
    let world = World::start(script).await;
    world.build().await.expect_code(4);
    assert!(world.engine.counts().solves.started <= 2);
    world.assert_untouched();
}

/// A plan of one platform. Another run gives its arch tag to that run's own image, until this run gives the tag back.
async fn moved(shows: Shows) -> World {
    let given = Arc::new(AtomicUsize::new(0));
    let (counted, moved) = (given.clone(), move || given.load(Ordering::SeqCst) == 0);
    let other = Image::docker("linux/amd64", "another run");
    let inspected = json!({ "Id": other.config.digest(), "Os": "linux", "Architecture": "amd64" }).to_string();
    let looked_at = moved.clone();
    let script = Script::default().rest(move |line| {
        if line.starts_with("POST /images/") && line.ends_with("/tag") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let looks = line.starts_with("GET /images/127.0.0.1") && line.ends_with("/hello:1.0-amd64/json");
        (looks && looked_at()).then(|| match shows {
            Shows::Other => Rest::Answer(200, inspected.clone()),
            Shows::Nothing => Rest::Answer(404, r#"{"message":"No such image"}"#.into()),
        })
    });
    let world = World::start(script.push(move |call| {
        let (moved, other) = (moved(), other.clone());
        async move {
            match shows {
                _ if !moved => call.pushed(),
                Shows::Other => {
                    call.move_tag(&other);
                    let digest = other.manifest.digest();
                    call.line(&json!({ "status": format!("{}: digest: {digest} size: 528", call.tag) }).to_string());
                }
                Shows::Nothing => {
                    let message = format!("An image does not exist locally with the tag: {}", call.repository);
                    call.line(&json!({ "errorDetail": { "message": message }, "error": message }).to_string());
                }
            }
        }
    }))
    .await;
    world.plan("images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64] } }\n");
    world
}

#[derive(Debug, Clone, Copy)]
enum Shows {
    Other,
    Nothing,
}

#[tokio::test]
async fn name_moved_by_another_run_is_set_and_pushed_again() {
    for shows in [Shows::Other, Shows::Nothing] {
        let world = moved(shows).await;
        world.build().await.expect_code(0);
        assert_eq!(world.engine.counts().solves.started, 1, "{shows:?}");
        assert_eq!(world.engine.counts().pushes.started, 2, "{shows:?}");
        assert_eq!(world.report()["images"][0]["platforms"][0]["retries"], 1, "{shows:?}");
        assert_eq!(removed(&world), 1, "{shows:?}");
    }
}

#[tokio::test]
async fn engine_that_pushes_another_image_fails_the_build() {
    let script = Script::default().push(|call| async move { call.move_tag(&Image::docker("linux/amd64", "another")) });
    let world = World::start(script).await;
    world.plan("images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64] } }\n");
    let finished = world.build().await.expect_code(7);
    says(&finished, &["the registry has another image"]);
    assert_eq!(world.engine.counts().pushes.started, 3);
    assert_eq!(removed(&world), 1);
    world.assert_untouched();
}
