//! Indexes that list indexes: what is joined, added to, adopted and copied of them, and what is refused.

use std::time::{Duration, Instant};

use polyarch::oci::Digest;
use serde_json::{Value, json};

use super::editing::{has, join, platforms, published, reference, world};
use super::world::{World, says};
use crate::support::images::{DOCKER_LIST, Document, Image, OCI_INDEX, fields};
use crate::support::program::Run;

/// Has an index of `entries` by its digest; gives its entry.
fn listed(world: &World, entries: &[Value], more: &Value) -> Value {
    let index = Document::index_with(entries, more);
    world.store.put("hello", "ignored", &index);
    index.descriptor()
}

/// The same entry, of a platform.
fn of(platform: &str, mut entry: Value) -> Value {
    entry["platform"] = fields(platform);
    entry
}

/// Has an image, and what is attested of it; gives the entries of both.
fn attested(world: &World, platform: &str) -> [Value; 2] {
    let image = Image::oci(platform, "attested");
    world.store.push("hello", "ignored", &image);
    [image.entry(), world.store.attest("hello", &image)]
}

fn pushed(world: &World, platform: &str) -> Value {
    let image = Image::docker(platform, "pushed");
    world.store.push("hello", "ignored", &image);
    image.entry()
}

#[tokio::test]
async fn nested_indexes_are_joined_flat_with_attestations() {
    let world = world(&[]).await;
    let (amd64, arm64) = (attested(&world, "linux/amd64"), attested(&world, "linux/arm64"));
    let (board, s390x) = (pushed(&world, "linux/arm/v7"), pushed(&world, "linux/s390x"));
    // As engines push what is attested, under the platform; as crane appends; and an image of no index twice.
    let own = of("linux/amd64", listed(&world, &amd64, &json!({})));
    let inner = listed(&world, std::slice::from_ref(&board), &json!({ "annotations": { "c": "d" } }));
    let mut outer = listed(&world, &[inner, arm64[0].clone(), arm64[1].clone()], &json!({}));
    outer["annotations"] = json!({ "a": "b" });
    has(&world, "all", &[own, s390x.clone(), outer, s390x.clone()], &json!({}));
    let finished = join(&world, &[], &["all"]).await.expect_code(0);
    let order = [&amd64[0], &s390x, &board, &arm64[0], &amd64[1], &arm64[1]];
    assert_eq!(published(&world)["manifests"], json!(order));
    says(&finished, &["annotations left out of the index: 2"]);
    assert!(!finished.stderr.contains("attestations left out"), "{}", finished.stderr);
    Run::new(&world.home, ["verify", &reference(&world, "1.0")]).finish().await.expect_code(0);

    join(&world, &["--attestations", "strip"], &["all"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!(order[..4]));
}

#[tokio::test]
async fn only_nested_indexes_with_wanted_platforms_are_read() {
    let world = world(&[]).await;
    let (amd64, arm64) = (attested(&world, "linux/amd64"), attested(&world, "linux/arm64"));
    let other = of("linux/arm64", listed(&world, &arm64, &json!({})));
    let digest = other["digest"].as_str().unwrap().to_owned();
    has(&world, "all", &[other, listed(&world, &amd64, &json!({}))], &json!({}));
    join(&world, &["--platform", "linux/amd64"], &["all"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!(amd64));
    let asked = world.registry.lines().iter().filter(|line| line.starts_with("GET") && line.contains(&digest)).count();
    assert_eq!(asked, 0, "what is not wanted is not read");
    // An image alone, behind any number of indexes, may be said to be something else.
    let annotate = format!("{}=linux/arm/v6", reference(&world, "one"));
    has(&world, "one", &[listed(&world, &amd64, &json!({}))], &json!({}));
    join(&world, &["--annotate", &annotate, "--allow-shrink"], &["one"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/arm/v6", "unknown/unknown"]);
}

#[tokio::test]
async fn nested_index_that_contradicts_its_entry_is_refused() {
    let world = world(&[]).await;
    let amd64 = attested(&world, "linux/amd64");
    let inner = listed(&world, &amd64, &json!({}));
    let digest = inner["digest"].as_str().unwrap();
    let mut bare = amd64[0].clone();
    bare.as_object_mut().unwrap().remove("platform");
    let bare = of("linux/arm64", listed(&world, &[bare], &json!({})));
    let deep = of("linux/arm64", listed(&world, std::slice::from_ref(&inner), &json!({})));
    let (mut short, mut image, mut gone) = (inner.clone(), inner.clone(), inner.clone());
    short["size"] = json!(7);
    image["digest"] = amd64[0]["digest"].clone();
    image["size"] = amd64[0]["size"].clone();
    gone["digest"] = json!(Digest::of(b"gone").to_string());
    let claims = format!("linux/arm64: its index {digest} lists linux/amd64");
    let of_size = format!(
        "its index {digest} cannot be read: the entry specifies 7 bytes, but the manifest has {}",
        inner["size"]
    );
    for (entry, code, said) in [
        (of("linux/arm64", inner.clone()), 7, claims.as_str()),
        // What is claimed of an index holds of all below it.
        (deep, 7, &claims),
        (bare, 7, "the image is for linux/amd64"),
        (short, 7, &of_size),
        (image, 7, "the entry specifies media type application/vnd.oci.image.index.v1+json, but the manifest has "),
        (gone, 7, &format!("its index {}", Digest::of(b"gone"))),
    ] {
        has(&world, "all", &[entry, pushed(&world, "linux/s390x")], &json!({}));
        let finished = join(&world, &[], &["all"]).await.expect_code(code);
        says(&finished, &["hello:all: ", said]);
        world.assert_untouched();
    }
    // Two images of one platform are two, wherever they are listed.
    has(&world, "all", &[pushed(&world, "linux/amd64"), inner], &json!({}));
    says(&join(&world, &[], &["all"]).await.expect_code(7), &["duplicate linux/amd64"]);
    world.assert_untouched();
}

#[tokio::test]
async fn too_deep_or_too_many_nested_indexes_are_refused() {
    let world = world(&[]).await;
    let mut entries = attested(&world, "linux/amd64").to_vec();
    for _ in 0..3 {
        entries = vec![listed(&world, &entries, &json!({}))];
    }
    has(&world, "deep", &entries, &json!({}));
    join(&world, &[], &["deep"]).await.expect_code(0);
    let [copied, target] = ["copied", "1.0"].map(|tag| reference(&world, tag));
    has(&world, "deeper", &[listed(&world, &entries, &json!({}))], &json!({}));
    let before = (published(&world), world.put().len());
    let deeper = reference(&world, "deeper");
    for command in [&["join", "-t", &target, &deeper][..], &["copy", &deeper, &copied]] {
        let finished = world.run(command).finish().await.expect_code(7);
        says(&finished, &["nested too deep"]);
    }
    let many = |of: &str, count: usize| -> Vec<Value> {
        let of_number = |n: usize| Digest::of(format!("{n}").as_bytes()).to_string();
        (0..count).map(|n| json!({ "mediaType": of, "digest": of_number(n), "size": 100 })).collect()
    };
    for media_type in [OCI_INDEX, DOCKER_LIST, "application/vnd.oci.image.manifest.v1+json"] {
        // Each may list as many again.
        has(&world, "many", &many(media_type, 10_000), &json!({}));
        has(&world, "nested", &[listed(&world, &many(media_type, 10_000), &json!({}))], &json!({}));
        for (tag, requests) in [("many", 1), ("nested", 2)] {
            let manifests = || world.registry.lines().iter().filter(|line| line.contains("/manifests/")).count();
            let (asked, started) = (manifests(), Instant::now());
            let finished = join(&world, &[], &[tag]).await.expect_code(7);
            says(&finished, &["more than polyarch reads of one index"]);
            assert_eq!(manifests() - asked, requests, "{tag} of {media_type}");
            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
            let source = reference(&world, tag);
            let finished = world.run(&["copy", &source, &copied]).finish().await.expect_code(7);
            says(&finished, &["more than polyarch reads of one index"]);
        }
    }
    assert_eq!((published(&world), world.put().len()), before);
    // What is wanted of them is few.
    let rest = many("application/vnd.oci.image.manifest.v1+json", 10_000).into_iter().map(|one| of("linux/386", one));
    let wanted = pushed(&world, "linux/s390x");
    has(&world, "many", &rest.chain([wanted.clone()]).collect::<Vec<_>>(), &json!({}));
    join(&world, &["--platform", "linux/s390x", "--allow-shrink"], &["many"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!([wanted]));
}

#[tokio::test]
async fn append_keeps_images_of_nested_indexes() {
    let world = world(&["linux/s390x"]).await;
    let (amd64, arm64) = (attested(&world, "linux/amd64"), attested(&world, "linux/arm64"));
    let nested = listed(&world, &arm64, &json!({ "annotations": { "a": "b" } }));
    has(&world, "1.0", &[amd64[0].clone(), amd64[1].clone(), nested], &json!({}));
    let poorer = join(&world, &[], &["s390x"]).await.expect_code(7);
    says(&poorer, &["hello:1.0 has linux/amd64, linux/arm64, which the new index lacks"]);
    world.assert_untouched();
    let added = join(&world, &["--append", "--remove", "linux/amd64"], &["s390x"]).await.expect_code(0);
    says(&added, &["annotations left out of the index: 1 ", "hello:1.0 has them in nested indexes"]);
    let s390x = Image::docker("linux/s390x", "new").entry();
    assert_eq!(published(&world)["manifests"], json!([arm64[0], s390x, arm64[1]]));
}

#[tokio::test]
async fn image_in_a_nested_index_is_imported_and_copied_alone() {
    let world = world(&[]).await;
    let (amd64, arm64) = (attested(&world, "linux/amd64"), attested(&world, "linux/arm64"));
    let nested = of("linux/arm64", listed(&world, &arm64, &json!({})));
    let entries = [nested, listed(&world, &amd64, &json!({}))];
    has(&world, "all", &entries, &json!({}));
    let all = reference(&world, "all");
    world.plan(&format!(
        "images: {{ hello: {{ from: '{all}', tags: ['1.0'], platforms: [linux/amd64, linux/arm64] }} }}\n"
    ));
    world.build().await.expect_code(0);
    let order = [&amd64[0], &arm64[0], &amd64[1], &arm64[1]];
    assert_eq!(published(&world)["manifests"], json!(order));
    // Arch tags of others, which are such indexes, are joined as well.
    has(&world, "1.0-amd64", &[listed(&world, &amd64, &json!({}))], &json!({}));
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!(order));

    let copied = reference(&world, "copied");
    world.run(&["copy", "--platform", "linux/arm64", &all, &copied]).finish().await.expect_code(0);
    assert_eq!(world.store.get("hello", "copied").unwrap().digest(), arm64[0]["digest"].as_str().unwrap());
    let absent = world.run(&["copy", "--platform", "linux/s390x", &all, &copied]).finish().await.expect_code(7);
    says(&absent, &["the index lists 0 images for linux/s390x instead of one; it has linux/arm64, linux/amd64"]);
}
