//! Pushes that fail, and engines that do not say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::world::{World, says};
use crate::support::images::Image;
use crate::support::scripted_engine::Script;

/// An engine whose pushes end with `lines`, and put nothing into the registry.
fn ends_with(lines: &'static [&'static str]) -> Script {
    Script::default().push(move |push| async move {
        push.line(r#"{"status":"The push refers to repository [hello]"}"#);
        for line in lines {
            push.line(line);
        }
    })
}

#[tokio::test]
async fn push_error_of_the_engine_is_shown() {
    let world = World::start(ends_with(&[
        r#"{"errorDetail":{"message":"denied: no access to hello"},"error":"denied: no access to hello"}"#,
    ]))
    .await;
    let finished = world.build().await.expect_code(5);
    says(&finished, &["push ", "denied: no access to hello", "docker login"]);
    world.assert_untouched();
    let world = World::start(ends_with(&[r#"{"errorDetail":{"message":"unknown: Method not allowed"}}"#])).await;
    says(&world.build().await.expect_code(5), &["unknown: Method not allowed", "a read-only registry answers so"]);
}

#[tokio::test]
async fn push_error_in_any_form_fails_the_build() {
    let cases: [(&'static [&'static str], &str); 4] = [
        (&[r#"{"error":"boom"}"#], "reported no digest for the push"),
        (&[r#"{"errorDetail":{"code":13}}"#], "code 13"),
        (&[r#"{"errorDetail":{}}"#], "without a message"),
        (&[], "reported no digest for the push"),
    ];
    // Side by side: what is not there is looked for, for 10 s.
    futures::future::join_all(cases.map(async |(lines, message)| {
        let world = World::start(ends_with(lines)).await;
        let finished = world.build().await.expect_code(5);
        says(&finished, &[message]);
        world.assert_untouched();
    }))
    .await;
}

#[tokio::test]
async fn image_of_an_earlier_run_is_not_mistaken_for_this_push() {
    let world = World::start(ends_with(&[r#"{"error":"boom"}"#])).await;
    for platform in ["linux/amd64", "linux/arm64"] {
        let tag = format!("1.0-{}", &platform[6..]);
        world.store.push("hello", &tag, &Image::docker(platform, "an earlier run"));
    }
    let finished = world.build().await.expect_code(7);
    says(&finished, &["the registry has another image", "reported no digest for the push"]);
    world.assert_untouched();
}

#[tokio::test]
async fn interrupted_push_stream_fails_the_build() {
    let script = Script::default().push(async |push| {
        push.line(r#"{"status":"Pushing","id":"layer"}"#);
        push.cut();
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(5);
    says(&finished, &["the connection to the engine was lost"]);
    world.assert_untouched();
}

#[tokio::test]
async fn pushed_digest_missing_from_the_registry_fails_the_build() {
    let script = Script::default().push(async |push| {
        let digest = Image::docker("linux/amd64", "nowhere").manifest.digest();
        push.line(&format!(r#"{{"status":"{}: digest: {digest} size: 1"}}"#, push.tag));
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(5);
    says(&finished, &["confirm", "has no such content"]);
    world.assert_untouched();
}

#[tokio::test]
async fn immutable_arch_tag_error_shows_both_digests() {
    for told in [
        "tag invalid: The image tag '1.0-amd64' already exists in the 'hello' repository and cannot be overwritten because the repository is immutable.",
        "denied: requested access to the resource is denied - This tag is already assigned to an image in this repository and cannot be updated due to immutability settings. To push this image, use a different tag.",
        "manifest invalid: cannot update tag 1.0-amd64. The repository has enabled tag immutability",
        "unknown: The operation is disallowed.",
    ] {
        let line = serde_json::json!({ "errorDetail": { "message": told } }).to_string();
        let script = Script::default().push(move |push| {
            let line = line.clone();
            async move { push.line(&line) }
        });
        let world = World::start(script).await;
        let old = Image::docker("linux/amd64", "an earlier run");
        world.store.push("hello", "1.0-amd64", &old);
        let finished = world.build().await.expect_code(5);
        let new = Image::docker("linux/amd64", "hello:1.0-amd64");
        let [there, ours] = [&old, &new].map(|image| image.config.digest());
        let has = format!("{} (image ID {there}); this run has the image ID {ours}", old.manifest.digest());
        says(&finished, &[&format!("hello:1.0-amd64 is immutable and has {has}")]);
        assert!(!finished.stderr.contains("docker login"), "{told}: {}", finished.stderr);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn push_is_retried_when_the_registry_was_busy() {
    for told in [
        "received unexpected HTTP status: 503 Service Unavailable",
        "unexpected status from PUT request to https://x/v2/hello/manifests/1.0: 429 Too Many Requests",
        "toomanyrequests: slow down",
        "error parsing HTTP 429 response body: unexpected end of JSON input: \"\"",
        "failed commit on ref: unexpected EOF",
        "read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer",
        "manifest blob unknown: blob unknown to registry",
    ] {
        let line = serde_json::json!({ "errorDetail": { "message": told } }).to_string();
        let first = Arc::new(AtomicBool::new(true));
        let script = Script::default().push(move |push| {
            let (line, is_first) = (line.clone(), first.swap(false, Ordering::SeqCst));
            async move { if is_first { push.line(&line) } else { push.pushed() } }
        });
        let world = World::start(script).await;
        world.plan("images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64] } }\n");
        let finished = world.build().await.expect_code(0);
        says(&finished, &["push: attempt 1 failed"]);
        assert_eq!(world.engine.counts().pushes.started, 2, "{told}");
    }
}

#[tokio::test]
async fn push_is_not_retried_when_the_registry_refused_it() {
    for told in ["denied: no access to hello", "manifest invalid: no", "name unknown: hello"] {
        let line = serde_json::json!({ "errorDetail": { "message": told } }).to_string();
        let script = Script::default().push(move |push| {
            let line = line.clone();
            async move { push.line(&line) }
        });
        let world = World::start(script).await;
        world.plan("images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64] } }\n");
        world.build().await.expect_code(5);
        assert_eq!(world.engine.counts().pushes.started, 1, "{told}");
        world.assert_untouched();
    }
}
