//! `--atomic`: the tags of all images move, or none.

use serde_json::Value;

use super::world::{World, says};
use crate::support::images::Image;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;

const PLAN: &str = r#"
defaults: { context: context, tags: ["1.0"], platforms: [linux/amd64, linux/arm64] }
images:
  base: {}
  web: {}
  job: {}
"#;

/// A willing registry and engine, but that the engine does not push this tag of `web`.
async fn failing(tag: &'static str) -> World {
    let script = Script::default().push(move |push| async move {
        if push.repository.ends_with("web") && push.tag == tag {
            push.line(r#"{"errorDetail":{"message":"denied: no access to web"}}"#);
        } else {
            push.pushed();
        }
    });
    let world = World::start(script).await;
    world.plan(PLAN);
    world
}

fn push_all(world: &World, images: &[&str]) {
    for image in images {
        for arch in ["amd64", "arm64"] {
            world.store.push(image, &format!("1.0-{arch}"), &Image::oci(&format!("linux/{arch}"), image));
        }
    }
}

fn withheld(world: &World) -> Vec<Option<String>> {
    let report = world.report();
    let images = report["images"].as_array().unwrap().iter();
    images.map(|image| image.get("withheld").and_then(Value::as_str).map(ToOwned::to_owned)).collect()
}

#[tokio::test]
async fn atomic_build_moves_no_tag_when_one_image_fails() {
    let world = failing("1.0-arm64").await;
    let finished = world.run(&["build", "--atomic"]).finish().await.expect_code(5);
    world.assert_untouched();
    assert_eq!(finished.stdout, "");
    let why = "web failed, and --atomic publishes all images or none";
    says(
        &finished,
        &[&format!("base not published: {why}"), &format!("job not published: {why}"), "web not published\n"],
    );
    assert_eq!(withheld(&world), [Some(why.to_owned()), None, Some(why.to_owned())]);
    // Without it each image goes on by itself.
    let finished = world.build().await.expect_code(5);
    assert_eq!(world.put(), ["1.0", "1.0"]);
    assert_eq!(finished.stdout.lines().count(), 2);
}

#[tokio::test]
async fn atomic_build_moves_tags_in_plan_order_when_all_are_ready() {
    let world = failing("none").await;
    let built = world.run(&["build", "--atomic"]).finish().await.expect_code(0);
    assert_eq!(built.stdout.lines().count(), 3);
    let all = world.registry.requests();
    let puts: Vec<_> = all.iter().filter(|r| r.method == "PUT").map(|r| r.target.clone()).collect();
    assert_eq!(puts, ["base", "web", "job"].map(|image| format!("/v2/{image}/manifests/1.0")));
    let first_put = all.iter().position(|r| r.method == "PUT").unwrap();
    for image in ["base", "web", "job"] {
        let asked = all.iter().position(|r| r.line() == format!("GET /v2/{image}/manifests/1.0"));
        assert!(asked.is_some_and(|asked| asked < first_put), "{image} was admitted before");
    }
    let again = world.run(&["build", "--atomic"]).finish().await.expect_code(0);
    says(&again, &["nothing changed"]);
    assert_eq!(world.put().len(), 3);
}

#[tokio::test]
async fn atomic_run_moves_no_tag_when_one_gate_fails() {
    for command in ["build", "join"] {
        let world = failing("none").await;
        push_all(&world, &["base", "web", "job"]);
        world.store.push("web", "1.0", &Image::oci("linux/s390x", "before"));
        let finished = world.run(&[command, "--atomic"]).finish().await.expect_code(7);
        world.assert_untouched();
        says(
            &finished,
            &["web:1.0 has linux/s390x", "base not published: web failed, and --atomic publishes all images or none"],
        );
    }
}

#[tokio::test]
async fn atomic_join_moves_no_tag_while_one_image_is_missing() {
    let world = failing("none").await;
    push_all(&world, &["base", "job"]);
    let finished = world.run(&["join", "--atomic"]).finish().await.expect_code(6);
    world.assert_untouched();
    says(
        &finished,
        &["web:1.0-amd64 does not exist", "job not published: web failed, and --atomic publishes all images or none"],
    );
    world.run(&["join"]).finish().await.expect_code(6);
    assert_eq!(world.put(), ["1.0", "1.0"]);
    push_all(&world, &["web"]);
    let joined = world.run(&["join", "--atomic"]).finish().await.expect_code(0);
    assert_eq!(joined.stdout.lines().count(), 3);
}

#[tokio::test]
async fn atomic_build_stops_at_the_first_refused_tag() {
    let world = failing("none").await;
    world.registry_answers(|request| (request.line() == "PUT /v2/web/manifests/1.0").then(|| status(403)));
    let finished = world.run(&["build", "--atomic"]).finish().await.expect_code(6);
    says(&finished, &["base verified", "job not published: web failed, and --atomic publishes all images or none"]);
    assert_eq!(
        withheld(&world),
        [None, None, Some("web failed, and --atomic publishes all images or none".to_owned())]
    );
    world.registry_answers(|_| None);
    world.run(&["build", "--atomic"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn atomic_build_withholds_all_when_one_image_is_not_joined() {
    let world = failing("none").await;
    world.plan(
        "images: { whole: { context: context, tags: [a], platforms: [linux/amd64] }, part: { context: context, tags: [a], platforms: [linux/amd64, linux/arm64] } }",
    );
    let finished = world.run(&["build", "--atomic", "--platform", "linux/amd64"]).finish().await.expect_code(1);
    world.assert_untouched();
    says(&finished, &["whole not published: part was not joined, and --atomic publishes all images or none"]);
}
