//! What keeps a finished index from a final tag.

use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::scripted_engine::Script;
use crate::support::scripted_images::{Document, Image, OCI_INDEX, attestation, fields};
use crate::support::scripted_registry::status;

/// Has an index of these platforms under the tags.
fn has_index(world: &World, tags: &[&str], platforms: &[&str]) -> Document {
    let entries = platforms.iter().map(|platform| {
        let image = Image::oci(platform, "before");
        world.store.push("hello", "ignored", &image);
        entry(&image)
    });
    has(world, tags, &entries.collect::<Vec<_>>())
}

fn entry(image: &Image) -> Value {
    let mut entry = image.manifest.descriptor();
    entry["platform"] = fields(&image.platform);
    entry
}

fn has(world: &World, tags: &[&str], entries: &[Value]) -> Document {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    let index = Document::new(OCI_INDEX, &index);
    for tag in tags {
        world.store.put("hello", tag, &index);
    }
    index
}

/// Final tags whose content was asked for before the first one was put.
fn read_before_put(world: &World) -> Vec<String> {
    let requests = world.registry.requests().into_iter().take_while(|request| request.method != "PUT");
    let read = requests.filter(|request| request.method == "GET");
    let names = read.filter_map(|request| Some(request.target.split_once("/manifests/")?.1.to_owned()));
    let mut names: Vec<_> = names.filter(|name| ["1.0", "latest"].contains(&name.as_str())).collect();
    names.sort();
    names
}

#[tokio::test]
async fn e20_a_fuller_index_stays_and_so_do_the_images_other_tags() {
    for command in ["build", "join"] {
        let world = World::start(Script::default()).await;
        for platform in ["linux/amd64", "linux/arm64"] {
            let tag = format!("1.0-{}", platform.rsplit('/').next().unwrap());
            world.store.push("hello", &tag, &Image::oci(platform, "x"));
        }
        has_index(&world, &["latest"], &["linux/amd64", "linux/arm/v7", "linux/s390x", "linux/arm64"]);
        let finished = world.run(&[command]).finish().await.expect_code(7);
        let lacks = "hello:latest has linux/arm/v7, linux/s390x, which the new index lacks; not moved";
        says(&finished, &[lacks, "`--allow-shrink`"]);
        assert_eq!(finished.stdout, "");
        world.assert_untouched();
        world.run(&[command, "--allow-shrink"]).finish().await.expect_code(0);
        assert_eq!(world.put(), ["1.0", "latest"], "{command}");
    }
}

#[tokio::test]
async fn e20_references_replace_no_fuller_index_either() {
    let world = World::start(Script::default()).await;
    has_index(&world, &["latest"], &["linux/amd64", "linux/arm64"]);
    world.store.push("hello", "amd", &Image::oci("linux/amd64", "new"));
    let reference = |tag: &str| format!("{}/hello:{tag}", world.registry.host());
    let (target, source) = (reference("latest"), reference("amd"));
    let finished = world.run(&["join", "-t", &target, &source]).finish().await.expect_code(7);
    says(&finished, &["hello:latest has linux/arm64, which the new index lacks"]);
    world.run(&["join", "-t", &target, &source, "--allow-shrink"]).finish().await.expect_code(0);
    assert_eq!(world.put(), ["latest"]);
}

#[tokio::test]
async fn e20_an_image_alone_is_replaced_by_an_index_of_its_platform() {
    let world = World::start(Script::default()).await;
    world.store.push("hello", "1.0", &Image::oci("linux/arm/v7", "alone"));
    let finished = world.build().await.expect_code(7);
    says(&finished, &["hello:1.0 has linux/arm/v7, which the new index lacks"]);
    world.assert_untouched();
    world.store.push("hello", "1.0", &Image::oci("linux/arm64", "alone"));
    world.build().await.expect_code(0);
}

#[tokio::test]
async fn e20_what_is_under_the_tags_is_read_once() {
    let world = World::start(Script::default()).await;
    world.build().await.expect_code(0);
    assert_eq!(read_before_put(&world), ["1.0", "latest"]);
    let before = world.registry.requests().len();
    world.build().await.expect_code(0);
    let again = world.registry.requests().split_off(before);
    let asked = |method: &str, tag: &str| {
        again.iter().filter(|r| r.method == method && r.target.ends_with(&format!("/manifests/{tag}"))).count()
    };
    let counts = ["1.0", "latest"].map(|tag| (asked("HEAD", tag), asked("GET", tag), asked("PUT", tag)));
    assert_eq!(counts, [(0, 1, 0); 2], "read");

    let world = World::start(Script::default()).await;
    has_index(&world, &["1.0", "latest"], &["linux/amd64", "linux/arm64"]);
    world.build().await.expect_code(0);
    assert_eq!(read_before_put(&world), ["1.0", "latest"]);
}

#[tokio::test]
async fn e20_attestations_that_go_are_warned_of() {
    let world = World::start(Script::default()).await;
    let image = Image::oci("linux/amd64", "attested");
    let (manifest, attests) = attestation(&image.manifest, &json!({}));
    world.store.push("hello", "ignored", &image);
    world.store.put("hello", "ignored", &manifest);
    has(&world, &["1.0", "latest"], &[entry(&image), attests]);
    let finished = world.build().await.expect_code(0);
    says(&finished, &["hello:1.0 has attestations of linux/amd64, which the new index lacks"]);
    assert_eq!(finished.stderr.matches("has attestations").count(), 1, "{}", finished.stderr);
}

#[tokio::test]
async fn e20_what_cannot_be_read_is_not_replaced() {
    let world = World::start(Script::default()).await;
    let index = has_index(&world, &["1.0"], &["linux/amd64"]);
    world.registry_answers(move |request| {
        let read = request.line() == "GET /v2/hello/manifests/1.0";
        read.then(|| status(200).header("Content-Type", &index.media_type).body("{\"schemaVersion\": 2"))
    });
    let finished = world.build().await.expect_code(7);
    says(&finished, &["read what", "hello:1.0 has: ", "`--allow-shrink`"]);
    world.assert_untouched();
}
