//! What keeps a finished index from a final tag.

use serde_json::{Value, json};

use super::world::{HELLO, World, says};
use crate::support::images::{Document, Image};
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;

/// Has an index of these platforms under the tags.
fn has_index(world: &World, tags: &[&str], platforms: &[&str]) -> Document {
    let entries = platforms.iter().map(|platform| {
        let image = Image::oci(platform, "before");
        world.store.push("hello", "ignored", &image);
        image.entry()
    });
    has(world, tags, &entries.collect::<Vec<_>>())
}

fn has(world: &World, tags: &[&str], entries: &[Value]) -> Document {
    let index = Document::index(entries);
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
async fn index_with_more_platforms_is_not_replaced() {
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
async fn join_of_references_does_not_replace_a_fuller_index() {
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
async fn index_replaces_a_single_image_of_its_platforms() {
    let world = World::start(Script::default()).await;
    world.store.push("hello", "1.0", &Image::oci("linux/arm/v7", "alone"));
    let finished = world.build().await.expect_code(7);
    says(&finished, &["hello:1.0 has linux/arm/v7, which the new index lacks"]);
    world.assert_untouched();
    world.store.push("hello", "1.0", &Image::oci("linux/arm64", "alone"));
    world.build().await.expect_code(0);
}

#[tokio::test]
async fn current_tags_are_read_once_before_they_move() {
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
async fn lost_attestations_are_warned_about() {
    let world = World::start(Script::default()).await;
    let image = Image::oci("linux/amd64", "attested");
    world.store.push("hello", "ignored", &image);
    let attests = world.store.attest("hello", &image);
    has(&world, &["1.0", "latest"], &[image.entry(), attests]);
    let finished = world.build().await.expect_code(0);
    says(&finished, &["hello:1.0 has attestations of linux/amd64, which the new index lacks"]);
    assert_eq!(finished.stderr.matches("has attestations").count(), 1, "{}", finished.stderr);
}

/// Has an index of both platforms with these annotations under the tags: of itself, and of the entry of amd64.
fn annotated(world: &World, tags: &[&str], own: &Value, of_amd64: &Value) {
    let images = ["linux/amd64", "linux/arm64"].map(|platform| Image::oci(platform, "annotated"));
    let mut entries = images.map(|image| {
        world.store.push("hello", "ignored", &image);
        image.entry()
    });
    entries[0]["annotations"] = of_amd64.clone();
    let index = Document::index_with(&entries, &json!({ "annotations": own }));
    for tag in tags {
        world.store.put("hello", tag, &index);
    }
}

#[tokio::test]
async fn lost_annotations_are_named_in_a_warning() {
    const SAID: &str = "has annotations that the new index lacks: ";
    let vendor = json!({ "org.opencontainers.image.vendor": "Acme", "a": "1" });
    for (own, of_amd64, tags, named) in [
        (vendor.clone(), Value::Null, &["1.0", "latest"][..], Some("a, org.opencontainers.image.vendor")),
        (json!({ "a": "1" }), Value::Null, &["latest"], Some("a")),
        (Value::Null, json!({ "tier": "2" }), &["1.0"], Some("entry[linux/amd64]:tier")),
        (json!({ "a": "1" }), json!({ "tier": "2" }), &["1.0"], Some("a, entry[linux/amd64]:tier")),
        (json!({}), Value::Null, &["1.0", "latest"], None),
    ] {
        let world = World::start(Script::default()).await;
        annotated(&world, tags, &own, &of_amd64);
        let built = world.build().await.expect_code(0);
        let said = built.stderr.matches(SAID).count();
        assert_eq!(said, usize::from(named.is_some()), "tags of one index are one warning: {}", built.stderr);
        let Some(named) = named else { continue };
        says(&built, &[&format!("hello:{} {SAID}{named}", tags[0]), "`silence: [lost_annotations]`"]);
        let again = world.build().await.expect_code(0);
        assert!(!again.stderr.contains(SAID), "they are gone: {}", again.stderr);
    }
}

#[tokio::test]
async fn lost_annotations_warning_can_be_silenced() {
    let world = World::start(Script::default()).await;
    world.plan(&format!("{HELLO}silence: [lost_annotations]\n"));
    annotated(&world, &["1.0"], &json!({ "a": "1" }), &Value::Null);
    let built = world.build().await.expect_code(0);
    assert!(!built.stderr.contains("annotations"), "{}", built.stderr);

    // `join` of the plan warns too. What is appended to an index keeps its annotations.
    let world = World::start(Script::default()).await;
    world.build().await.expect_code(0);
    annotated(&world, &["1.0"], &json!({ "a": "1" }), &Value::Null);
    let target = format!("{}/hello:1.0", world.registry.host());
    let source = format!("{}/hello:1.0-arm64", world.registry.host());
    let appended = world.run(&["join", "-t", &target, "--append", &source]).finish().await.expect_code(0);
    assert!(!appended.stderr.contains("annotations that"), "{}", appended.stderr);
    let joined = world.run(&["join"]).finish().await.expect_code(0);
    says(&joined, &["hello:1.0 has annotations that the new index lacks: a"]);
}

#[tokio::test]
async fn unreadable_index_is_not_replaced() {
    let world = World::start(Script::default()).await;
    let index = has_index(&world, &["1.0"], &["linux/amd64"]);
    world.registry_answers(move |request| {
        let read = request.line() == "GET /v2/hello/manifests/1.0";
        read.then(|| status(200).header("Content-Type", &index.media_type).body("{\"schemaVersion\": 2"))
    });
    let finished = world.build().await.expect_code(7);
    says(&finished, &["cannot read the manifest", "hello:1.0 names: ", "`--allow-shrink`"]);
    world.assert_untouched();
}

/// A layer with a program for x86-64 at `/app`, after as many zeros.
fn layer(zeros: usize) -> Vec<u8> {
    let entry = |path: &str, content: &[u8]| {
        let mut header = vec![0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header.extend(content);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    };
    let mut program = b"\x7fELF\x02\x01".to_vec();
    program.resize(64, 0);
    program[18] = 62;
    [entry("zeros", &vec![0; zeros]), entry("app", &program), vec![0; 1024]].concat()
}

/// Has images that start `/app`, and of which only that for amd64 holds it for its processor.
async fn lying(layer: Vec<u8>) -> (World, Document) {
    let world = World::start(Script::default()).await;
    let layer = Document { media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(), bytes: layer };
    for platform in ["linux/amd64", "linux/arm64"] {
        let tag = format!("1.0-{}", platform.rsplit('/').next().unwrap());
        let image = Image::oci(platform, "lying").holding(&json!({ "Entrypoint": ["/app"] }), &[&layer]);
        world.store.push("hello", &tag, &image);
    }
    (world, layer)
}

fn fetched(world: &World, layer: &Document) -> Vec<Option<String>> {
    let target = format!("/v2/hello/blobs/{}", layer.digest());
    let requests = world.registry.requests().into_iter();
    let requests = requests.filter(|request| request.method == "GET" && request.target == target);
    requests.map(|request| request.header("range").map(str::to_owned)).collect()
}

#[tokio::test]
async fn image_with_programs_of_another_processor_is_refused() {
    let (world, layer) = lying(layer(0)).await;
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &["linux/arm64 holds an x86-64 /app; ", "hello:1.0, ", "hello:latest not moved", "`--no-elf`"]);
    assert!(!finished.stderr.contains("linux/amd64 holds"), "{}", finished.stderr);
    world.assert_untouched();
    let before = fetched(&world, &layer).len();
    let finished = world.run(&["join", "--no-elf"]).finish().await.expect_code(0);
    assert!(!finished.stderr.contains("not checked"), "{}", finished.stderr);
    // It is not opened again: neither where nothing changes, nor where another image comes beside it.
    world.run(&["join"]).finish().await.expect_code(0);
    world.store.push("hello", "1.0-amd64", &Image::oci("linux/amd64", "other"));
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(fetched(&world, &layer).len(), before);
}

#[tokio::test]
async fn program_check_fetches_only_the_needed_part_of_a_layer() {
    let (world, mut layer) = lying(layer(1 << 20)).await;
    layer.bytes.resize(20 << 20, 0);
    for platform in ["linux/amd64", "linux/arm64"] {
        let tag = format!("1.0-{}", platform.rsplit('/').next().unwrap());
        let image = Image::oci(platform, "long").holding(&json!({ "Entrypoint": ["/app"] }), &[&layer]);
        world.store.push("hello", &tag, &image);
    }
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &["linux/arm64 holds an x86-64 /app"]);
    let parts = fetched(&world, &layer);
    assert_eq!(parts[..2], [Some("bytes=0-262143".to_owned()), Some("bytes=0-262143".to_owned())], "{parts:?}");
    assert!(parts.len() <= 8, "{parts:?}");
}

#[tokio::test]
async fn unreadable_layers_are_reported_and_do_not_stop_a_join() {
    let (world, layer) = lying(layer(0)).await;
    let blob = format!("GET /v2/hello/blobs/{}", layer.digest());
    for (tag, (answer, why)) in ["a", "b"].into_iter().zip([(status(416), "416"), (status(403), "denied access")]) {
        let line = blob.clone();
        world.registry_answers(move |request| (request.line() == line).then(|| answer.clone()));
        let [target, amd64, arm64] =
            [tag, "1.0-amd64", "1.0-arm64"].map(|tag| format!("{}/hello:{tag}", world.registry.host()));
        let finished = world.run(&["join", "-t", &target, &amd64, &arm64]).finish().await.expect_code(0);
        says(&finished, &["programs of linux/amd64, linux/arm64 not checked: its layer sha256:", why]);
        let unchecked = &world.report()["images"][0]["not_checked"];
        assert_eq!(unchecked[0]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    }
}

#[tokio::test]
async fn missing_or_altered_layer_moves_no_tag() {
    let (world, layer) = lying(layer(0)).await;
    let blob = format!("GET /v2/hello/blobs/{}", layer.digest());
    for (answer, why) in [
        (status(404), "has no such content"),
        (status(200).body("short"), "bytes"),
        (status(200).body(vec![1; layer.bytes.len()]), "sha256:"),
    ] {
        let line = blob.clone();
        world.registry_answers(move |request| (request.line() == line).then(|| answer.clone()));
        let finished = world.run(&["join"]).finish().await.expect_code(7);
        says(&finished, &["linux/amd64: its layer sha256:", why, "hello:latest not moved", "build and push"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn program_check_does_not_fetch_large_layers() {
    let (world, layer) = lying(layer(0)).await;
    let mut large = layer.clone();
    large.bytes.resize(65 << 20, 0);
    let data = Document { bytes: vec![0; 5 << 20], ..layer.clone() };
    let start = json!({ "Entrypoint": ["/app"] });
    world.store.push("hello", "1.0-amd64", &Image::oci("linux/amd64", "data").holding(&json!({}), &[&data]));
    world.store.push("hello", "1.0-arm64", &Image::oci("linux/arm64", "large").holding(&start, &[&layer, &large]));
    // What is below what is too large tells as well.
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &["linux/arm64 holds an x86-64 /app"]);
    world.store.push("hello", "1.0-arm64", &Image::oci("linux/arm64", "large").holding(&start, &[&large]));
    let finished = world.run(&["join"]).finish().await.expect_code(0);
    let reason = "was not found in its small layers, and polyarch does not read large layers";
    says(
        &finished,
        &[
            &format!("of linux/amd64 not checked: a program {reason}"),
            &format!("of linux/arm64 not checked: /app {reason}"),
        ],
    );
    assert_eq!((fetched(&world, &large).len(), fetched(&world, &data).len()), (0, 0));
}

#[tokio::test]
async fn verify_reports_programs_of_another_processor() {
    let (world, _) = lying(layer(0)).await;
    world.run(&["join", "--no-elf"]).finish().await.expect_code(0);
    let verify = async |args: &[&str]| Run::new(&world.home, args).finish().await;
    let refused = verify(&["verify"]).await.expect_code(7);
    says(&refused, &["linux/arm64 holds an x86-64 /app"]);
    assert!(!refused.stderr.contains("linux/amd64 holds") && refused.stdout.is_empty(), "{}", refused.stderr);
    verify(&["verify", "--no-elf"]).await.expect_code(0);
}
