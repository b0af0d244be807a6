//! `arch_tags: remove`: tags that go after the join, where nothing goes with them.

use std::fs;

use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::distribution::{Distribution, Setup};
use crate::support::images::Image;
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::{Reply, Request, status};

const HELLO: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0", latest]
    platforms: { linux/amd64: , linux/arm64: , linux/s390x: { arch_tags: keep } }
    arch_tags: remove
"#;

async fn world() -> World {
    let world = World::start(Script::default()).await;
    world.plan(HELLO);
    world
}

/// The tag that `request` is to delete, unless it is one that nothing has.
fn deleted(request: &Request) -> Option<&str> {
    let tag = request.target.strip_prefix("/v2/hello/manifests/").filter(|_| request.method == "DELETE");
    tag.filter(|tag| !tag.starts_with("polyarch-"))
}

fn all_deleted(world: &World) -> Vec<String> {
    let requests = world.registry.requests();
    let mut deleted: Vec<_> = requests.iter().filter_map(deleted).map(str::to_owned).collect();
    deleted.sort_unstable();
    deleted
}

fn refuses(code: u16, name: &str) -> Reply {
    status(code).body(json!({ "errors": [{ "code": name, "message": "told so" }] }).to_string())
}

fn children(world: &World) -> Vec<String> {
    let index = world.store.get("hello", "1.0").unwrap().json();
    let entries = index["manifests"].as_array().unwrap();
    entries.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn arch_tags_are_deleted_only_after_verification() {
    let world = world().await;
    let built = world.build().await.expect_code(0);
    assert!(!built.stderr.contains("warning: hello"), "{}", built.stderr);
    let lines = world.registry.lines();
    let at = |text: &str| lines.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{text}"));
    let last = |text: &str| lines.iter().rposition(|line| line.starts_with(text)).unwrap();
    assert!(at("DELETE /v2/hello/manifests/polyarch-") < at("PUT "), "asked before anything is put");
    let children = children(&world);
    for arch in ["amd64", "arm64"] {
        let tag = format!("1.0-{arch}");
        let delete = at(&format!("DELETE /v2/hello/manifests/{tag}"));
        assert!(at("GET /v2/hello/manifests/latest") < delete && last("PUT ") < delete, "{lines:#?}");
        assert!(at("DELETE /v2/hello/manifests/1.0-") > at("GET /v2/hello/manifests/1.0"));
        // All is read once more, by digest.
        let index = world.store.get("hello", "1.0").unwrap().digest();
        for digest in children.iter().chain([&index]) {
            assert!(last(&format!("GET /v2/hello/manifests/{digest}")) > delete, "{digest}: {lines:#?}");
        }
        assert!(world.store.get("hello", &tag).is_none());
        says(&built, &[&format!("removed {}/hello:{tag}", world.registry.host())]);
    }
    assert!(world.store.get("hello", "1.0-s390x").is_some() && all_deleted(&world).len() == 2);
    for digest in &children {
        assert!(world.store.get("hello", digest).is_some(), "{digest}");
    }
    let removed = world.report()["images"][0]["removed_arch_tags"].as_array().map(Vec::len);
    assert_eq!((removed, &world.report()["leftovers"]), (Some(2), &json!([])));
    // Again: the tags are pushed again and go again, the final ones do not move.
    let again = world.build().await.expect_code(0);
    says(&again, &["unchanged"]);
    assert_eq!(again.stdout, built.stdout);
    assert_eq!(all_deleted(&world), ["1.0-amd64", "1.0-amd64", "1.0-arm64", "1.0-arm64"]);
    assert!(world.store.get("hello", "1.0-amd64").is_none());
}

#[tokio::test]
async fn registry_without_tag_deletion_is_refused_before_the_build() {
    for (code, name, said) in [
        (405, "UNSUPPORTED", "the registry does not delete a tag without its image"),
        (400, "DIGEST_INVALID", "the registry does not delete a tag without its image"),
        (403, "DENIED", "the registry does not let this login delete tags"),
    ] {
        let world = world().await;
        world.registry_answers(move |request| (request.method == "DELETE").then(|| refuses(code, name)));
        for command in ["build", "join"] {
            let refused = world.run(&[command]).finish().await.expect_code(3);
            says(
                &refused,
                &[
                    "`arch_tags: remove` does not work in ",
                    said,
                    &if code == 403 { "denied access".to_owned() } else { format!("answered {code}") },
                    "set `arch_tags: none`",
                ],
            );
        }
        world.assert_untouched();
        assert_eq!(world.engine.counts().solves.started, 0, "{code}");
        // What is not joined keeps its tags.
        world.run(&["build", "--no-join"]).finish().await.expect_code(0);
    }
    let registry = Distribution::start(Setup::Plain);
    let world = World::start(Script::default()).await;
    fs::write(world.home.path().join("build.yaml"), format!("version: 1\nregistry: {}\n{HELLO}", registry.address()))
        .unwrap();
    let refused = world.build().await.expect_code(3);
    says(&refused, &["the registry does not delete a tag without its image", "405"]);
    assert_eq!((world.engine.counts().solves.started, refused.stdout.as_str()), (0, ""));
}

#[tokio::test]
async fn registry_that_deletes_images_with_tags_fails_the_run() {
    let world = world().await;
    let store = world.store.clone();
    world.registry_answers(move |request| {
        deleted(request)?;
        let image = store.remove(&request.target)?;
        store.remove(&format!("/v2/hello/manifests/{}", image.digest()));
        Some(status(202))
    });
    let failed = world.build().await.expect_code(7);
    says(&failed, &["cannot be read any more, after polyarch deleted an arch tag: linux/", "has no such content"]);
    says(&failed, &["the registry deletes images with their tags"]);
    assert_eq!(all_deleted(&world).len(), 1);
    // What is left is what is there.
    let report = world.report();
    let left = report["leftovers"].as_array().unwrap().iter().map(|left| left["tag"].as_str().unwrap().to_owned());
    let gone = format!("{}/hello:{}", world.registry.host(), all_deleted(&world)[0]);
    let left: Vec<_> = left.collect();
    assert!(left.len() == 4 && !left.contains(&gone), "{left:?}");
}

#[tokio::test]
async fn arch_tag_moved_by_another_run_is_kept_with_a_warning() {
    let world = world().await;
    let store = world.store.clone();
    let other = Image::docker("linux/amd64", "of another run");
    let moved = other.clone();
    world.registry_answers(move |request| {
        if request.line() == "PUT /v2/hello/manifests/latest" {
            store.push("hello", "1.0-amd64", &moved);
        }
        None
    });
    let built = world.build().await.expect_code(0);
    says(&built, &["hello:1.0-amd64 was not deleted: another run moved it to sha256:"]);
    assert_eq!(world.store.get("hello", "1.0-amd64").unwrap().digest(), other.manifest.digest());
    assert_eq!(all_deleted(&world), ["1.0-arm64"]);
}

#[tokio::test]
async fn arch_tag_that_cannot_be_deleted_is_kept_with_a_warning() {
    let world = world().await;
    // A repository that is not there says nothing of what it will do.
    world.registry_answers(move |request| match (request.method.as_str(), deleted(request)) {
        ("DELETE", None) => Some(refuses(404, "NAME_UNKNOWN")),
        ("DELETE", Some(_)) => Some(refuses(405, "UNSUPPORTED")),
        _ => None,
    });
    let built = world.build().await.expect_code(0);
    says(
        &built,
        &[
            "hello:1.0-amd64 was not deleted: registry",
            "hello:1.0-arm64 was not deleted: registry",
            "`arch_tags: none`",
        ],
    );
    assert!(world.store.get("hello", "1.0-amd64").is_some());
    assert_eq!(world.report()["images"][0]["removed_arch_tags"], Value::Null);
}

#[tokio::test]
async fn unverified_run_deletes_no_arch_tags_and_lists_them() {
    let world = world().await;
    world.registry_answers(|request| {
        (request.line() == "PUT /v2/hello/manifests/latest").then(|| refuses(400, "MANIFEST_INVALID"))
    });
    world.build().await.expect_code(6);
    assert_eq!(all_deleted(&world), Vec::<String>::new());
    let report = world.report();
    let left = report["leftovers"].as_array().unwrap();
    assert_eq!(left.iter().filter(|left| left["kind"] == "arch_tag").count(), 3, "{left:?}");
}

#[tokio::test]
async fn join_deletes_its_arch_tags_and_cannot_run_twice() {
    let world = world().await;
    for arch in ["amd64", "arm64", "s390x"] {
        world.store.push("hello", &format!("1.0-{arch}"), &Image::docker(&format!("linux/{arch}"), "first"));
    }
    let preview = world.run(&["join", "--dry-run"]).finish().await.expect_code(0);
    assert_eq!(world.registry.count("DELETE "), 0);
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(all_deleted(&world), ["1.0-amd64", "1.0-arm64"]);
    let index = world.store.get("hello", "1.0").unwrap();
    assert_eq!(preview.stdout.as_bytes(), index.bytes);
    let again = world.run(&["join"]).finish().await;
    assert_ne!(again.code(), 0);
    says(&again, &["hello:1.0-amd64", "with `arch_tags: remove` a join removes its arch tags"]);
    assert_eq!(world.store.get("hello", "latest").unwrap(), index);
    Run::new(&world.home, ["verify", "hello"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn arch_tags_are_deleted_in_every_registry_after_all_verify() {
    let world = World::start(Script::default()).await;
    let host = world.registry.host();
    let plan = format!("version: 1\nregistry: [{host}, {host}/mirror]\n{HELLO}");
    fs::write(world.home.path().join("build.yaml"), plan).unwrap();
    world.build().await.expect_code(0);
    let lines = world.registry.lines();
    let put = lines.iter().rposition(|line| line.starts_with("PUT ")).unwrap();
    for repository in ["hello", "mirror/hello"] {
        for arch in ["amd64", "arm64"] {
            let delete = format!("DELETE /v2/{repository}/manifests/1.0-{arch}");
            assert!(lines.iter().position(|line| *line == delete) > Some(put), "{delete}: {lines:#?}");
            assert!(world.store.get(repository, &format!("1.0-{arch}")).is_none());
        }
        assert!(world.store.get(repository, "1.0-s390x").is_some());
        assert!(world.store.get(repository, "latest").is_some());
    }
}
