//! From confirmed platforms to final tags: what the index may hold, and when a tag moves.

use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::images::{DOCKER_LIST, Document, Image, OCI_INDEX, OCI_MANIFEST, attestation};
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;
use crate::support::store::{Store, missing};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn arch_tag(platform: &str) -> String {
    format!("1.0-{}", platform.rsplit('/').next().unwrap())
}

fn attested(platform: &str) -> Image {
    Image::oci(platform, "attested")
}

/// Has under each arch tag an index of the platform's image and its attestation, as the containerd store pushes it;
/// `more` is what the attestation says more. Gives the entries.
async fn joining_attested(more: &Value) -> (World, Vec<Value>) {
    let world = World::start(Script::default()).await;
    let mut entries = Vec::new();
    for platform in PLATFORMS {
        let image = attested(platform);
        let (manifest, attestation) = attestation(&image.manifest, more);
        world.store.push("hello", "ignored", &image);
        world.store.put("hello", "ignored", &manifest);
        world.store.fill(&manifest);
        world.store.put("hello", &arch_tag(platform), &Document::index(&[image.entry(), attestation.clone()]));
        entries.extend([image.entry(), attestation]);
    }
    (world, entries)
}

/// The entries of the image's index.
fn published(world: &World) -> Vec<Value> {
    world.store.get("hello", "1.0").unwrap().json()["manifests"].as_array().unwrap().clone()
}

/// What is joined alone: the engine has no part in it.
async fn joining(push: impl Fn(&Store, &str)) -> World {
    let world = World::start(Script::default()).await;
    for platform in PLATFORMS {
        push(&world.store, platform);
    }
    world
}

pub(super) fn children(index: &Document) -> Vec<(String, String)> {
    let entries = index.json()["manifests"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.iter().map(|e| (text(&e["platform"]["architecture"]), text(&e["digest"]))).collect()
}

#[tokio::test]
async fn join_keeps_attestations_after_the_platforms() {
    let (world, entries) = joining_attested(&json!({})).await;
    let [amd64, attests_amd64, arm64, attests_arm64] = &entries[..] else { panic!("{entries:?}") };
    let finished = world.run(&["join"]).finish().await.expect_code(0);
    assert!(!finished.stderr.contains("left out"), "{}", finished.stderr);
    says(&finished, &["joined 2 platforms and 2 attestations"]);
    let expected = [amd64, arm64, attests_amd64, attests_arm64].map(Clone::clone);
    assert_eq!(published(&world), expected);
    let reported = &world.report()["images"][0]["index"]["entries"][1]["attestations"];
    assert_eq!(reported, &json!([attests_arm64["digest"]]));
    // The same again is the same.
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn attestations_are_stripped_when_the_plan_asks_for_it() {
    let (world, entries) = joining_attested(&json!({})).await;
    let finished = world.run(&["join", "--set", "hello.attestations=strip"]).finish().await.expect_code(0);
    says(&finished, &["attestations left out of the index: 2 (`attestations: strip`)"]);
    assert_eq!(finished.stderr.matches("attestations: strip").count(), 1, "{}", finished.stderr);
    assert_eq!(published(&world), [entries[0].clone(), entries[2].clone()]);
    let attestation = entries[1]["digest"].as_str().unwrap();
    let asked = world.registry.requests();
    assert!(!asked.iter().any(|request| request.target.contains(attestation)), "nothing is fetched to be dropped");
}

#[tokio::test]
async fn attestations_of_other_images_are_left_out() {
    let world = World::start(Script::default()).await;
    let nobody = Image::oci("linux/arm64", "in no index");
    let images = PLATFORMS.map(attested);
    let mut entries: Vec<_> = images.iter().map(Image::entry).collect();
    entries.extend([&images[0], &images[1], &nobody].map(|image| world.store.attest("hello", image)));
    // Who says nothing of an image.
    entries.push(entries[4].clone());
    entries[5]["annotations"] = json!({});
    for image in &images {
        world.store.push("hello", "ignored", image);
    }
    world.store.put("hello", "1.0-amd64", &Document::index(&entries));
    world.store.push("hello", "1.0-arm64", &Image::oci("linux/arm64", "plain"));
    let finished = world.run(&["join"]).finish().await.expect_code(0);
    says(&finished, &["attestations left out of the index: 1 (their image is not in the index)"]);
    assert_eq!(published(&world), [entries[0].clone(), Image::oci("linux/arm64", "plain").entry(), entries[2].clone()]);
}

#[tokio::test]
async fn false_attestation_of_an_image_is_refused() {
    let other = Image::oci("linux/amd64", "other").manifest.descriptor();
    let layer = json!([Document::new("application/vnd.oci.image.layer.v1.tar", &json!({})).descriptor()]);
    for (more, says_what) in [
        (json!({ "subject": other }), "its subject is sha256:"),
        (json!({ "layers": layer }), "it has no in-toto statement"),
    ] {
        let (world, _) = joining_attested(&more).await;
        let finished = world.run(&["join"]).finish().await.expect_code(7);
        says(&finished, &["1.0-arm64: its attestation sha256:", says_what, "`attestations: strip`"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn missing_attestation_is_named() {
    let (world, entries) = joining_attested(&json!({})).await;
    let attestation = entries[1]["digest"].as_str().unwrap().to_owned();
    let target = format!("/v2/hello/manifests/{attestation}");
    world.registry_answers(move |request| (request.target == target).then(missing));
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &[&format!("1.0-amd64: its attestation {attestation}"), "`attestations: strip`"]);
    world.assert_untouched();
}

#[tokio::test]
async fn more_than_16_attestations_are_refused() {
    let (world, mut entries) = joining_attested(&json!({})).await;
    let many = std::iter::once(entries.remove(0)).chain((0..17).map(|_| entries[0].clone()));
    world.store.put("hello", "1.0-amd64", &Document::index(&many.collect::<Vec<_>>()));
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &["it has 17 attestations, and polyarch accepts at most 16"]);
    world.assert_untouched();
}

#[tokio::test]
async fn verify_refuses_attestations_of_other_images() {
    let (world, entries) = joining_attested(&json!({})).await;
    let whole = [entries[0].clone(), entries[2].clone(), entries[1].clone(), entries[3].clone()];
    for attestation in &whole[2..] {
        world.store.fill(&world.store.get("hello", attestation["digest"].as_str().unwrap()).unwrap());
    }
    let verify = async |entries: &[Value]| {
        world.store.put("hello", "seen", &Document::index(entries));
        let reference = format!("{}/hello:seen", world.registry.host());
        Run::new(&world.home, ["verify", "--format", "json", &reference]).finish().await
    };
    let verified = verify(&whole).await.expect_code(0);
    let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(verified["verified"][0]["attestations"], 2);
    assert_eq!(verified["verified"][0]["entries"][0]["attestations"], json!([entries[1]["digest"]]));

    let gone = verify(&[whole[0].clone(), whole[3].clone()]).await.expect_code(7);
    says(&gone, &["the attestation sha256:", "it attests no image of the index"]);
    let mut sized = whole.clone();
    sized[2]["size"] = 1.into();
    says(&verify(&sized).await.expect_code(7), &["the entry specifies 1 bytes"]);
    let other = json!({ "subject": Image::oci("linux/amd64", "other").manifest.descriptor() });
    let (manifest, entry) = attestation(&attested("linux/amd64").manifest, &other);
    world.store.put("hello", "ignored", &manifest);
    says(&verify(&[whole[0].clone(), entry]).await.expect_code(7), &["its subject is sha256:"]);
}

#[tokio::test]
async fn index_pushed_by_a_containerd_engine_is_flattened() {
    let script =
        Script::default().containerd().solve(async |call| call.built_as(&Image::oci(call.platform(), "containerd")));
    let world = World::start(script).await;
    world.build().await.expect_code(0);
    assert_eq!(world.store.get("hello", "1.0").unwrap().media_type, OCI_INDEX);
    assert!(world.engine.requests().contains(&"GET /info".to_owned()));
}

#[tokio::test]
async fn arch_tag_index_must_have_its_platform_exactly_once() {
    let foreign = Image::oci("linux/s390x", "foreign");
    let arm = [Image::oci("linux/arm64", "one"), Image::oci("linux/arm64", "two")];
    for (entries, says_what) in [(vec![&foreign], "linux/s390x"), (vec![&arm[0], &arm[1]], "2 images for linux/arm64")]
    {
        let world =
            joining(|store, platform| store.push("hello", &arch_tag(platform), &Image::oci(platform, "x"))).await;
        world.store.put("hello", "1.0-arm64", &Document::index_of(entries));
        let finished = world.run(&["join"]).finish().await.expect_code(7);
        says(&finished, &[says_what, "1.0-arm64"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn config_of_another_platform_is_refused() {
    let world = joining(|store, platform| {
        store.push("hello", &arch_tag(platform), &Image::oci("linux/amd64", platform));
    })
    .await;
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(&finished, &["1.0-arm64", "linux/amd64", "linux/arm64", "entry:"]);
    world.assert_untouched();
}

#[tokio::test]
async fn index_media_type_follows_its_children() {
    let world =
        joining(|store, platform| store.push("hello", &arch_tag(platform), &Image::docker(platform, "x"))).await;
    world.run(&["join"]).finish().await.expect_code(0);
    let list = world.store.get("hello", "1.0").unwrap();
    assert_eq!((list.media_type.as_str(), list.json()["mediaType"].as_str()), (DOCKER_LIST, Some(DOCKER_LIST)));

    world.store.push("hello", "1.0-arm64", &Image::oci("linux/arm64", "x"));
    world.run(&["join"]).finish().await.expect_code(0);
    let index = world.store.get("hello", "1.0").unwrap();
    assert_eq!((index.media_type.as_str(), index.json()["mediaType"].as_str()), (OCI_INDEX, Some(OCI_INDEX)));
}

#[tokio::test]
async fn descriptor_sizes_are_computed_from_the_bytes() {
    let world = joining(|store, platform| {
        let image = Image::oci(platform, "x");
        store.push("hello", "ignored", &image);
        let mut lie = image.entry();
        lie["size"] = 1.into();
        store.put("hello", &arch_tag(platform), &Document::index(&[lie]));
    })
    .await;
    world.run(&["join"]).finish().await.expect_code(0);
    let index = world.store.get("hello", "1.0").unwrap().json();
    for (entry, platform) in index["manifests"].as_array().unwrap().iter().zip(PLATFORMS) {
        assert_eq!(entry["size"], Image::oci(platform, "x").manifest.bytes.len());
        assert_eq!(entry["mediaType"], OCI_MANIFEST);
    }
}

#[tokio::test]
async fn second_run_with_the_same_inputs_moves_no_tag() {
    let world = World::start(Script::default()).await;
    world.build().await.expect_code(0);
    let first = world.store.get("hello", "1.0").unwrap();
    assert_eq!(world.put(), ["1.0", "latest"]);
    let finished = world.build().await.expect_code(0);
    assert_eq!(world.put(), ["1.0", "latest"]);
    assert_eq!(world.store.get("hello", "1.0"), Some(first));
    says(&finished, &["nothing changed", "unchanged: "]);
    // One tag that somebody moved is put, the other is left alone.
    world.store.push("hello", "latest", &Image::oci("linux/amd64", "somebody"));
    world.build().await.expect_code(0);
    assert_eq!(world.put(), ["1.0", "latest", "latest"]);
}

#[tokio::test]
async fn report_lists_moved_tags_when_a_later_tag_is_refused() {
    let world = World::start(Script::default()).await;
    world.plan(
        "images: { hello: { context: context, tags: ['1.0', '1', latest, edge], platforms: [linux/amd64, linux/arm64] } }",
    );
    let refuse = r#"{"errors":[{"code":"DENIED","message":"latest is immutable"}]}"#;
    world.registry_answers(move |request| {
        (request.line() == "PUT /v2/hello/manifests/latest").then(|| status(403).body(refuse))
    });
    let finished = world.build().await.expect_code(6);
    assert_eq!(world.put(), ["1.0", "1", "latest"]);
    says(&finished, &["publish", "hello:latest", "latest is immutable", "partly published"]);
    assert_eq!(finished.stdout, "");
    let report = world.report();
    let states: Vec<_> =
        report["images"][0]["tags"].as_array().unwrap().iter().map(|tag| tag["state"].clone()).collect();
    assert_eq!(states, ["put", "put", "not_moved", "not_moved"], "{report:#}");
    let left: Vec<_> = report["leftovers"].as_array().unwrap().iter().map(|left| left["kind"].clone()).collect();
    assert_eq!(left, ["arch_tag", "arch_tag", "final_tag", "final_tag"], "{report:#}");

    // Running it again converges.
    world.registry_answers(|_| None);
    world.build().await.expect_code(0);
    assert_eq!(world.put()[3..], ["latest", "edge"]);
}

#[tokio::test]
async fn child_that_is_not_visible_yet_is_awaited() {
    let world = World::start(Script::default()).await;
    let mut misses = 3;
    world.registry_answers(move |request| {
        let child = request.line().starts_with("GET /v2/hello/manifests/sha256:");
        (child && misses > 0).then(|| {
            misses -= 1;
            missing()
        })
    });
    world.build().await.expect_code(0);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn missing_child_is_named_with_a_hint() {
    let world = World::start(Script::default()).await;
    world.store.push("hello", "1.0-amd64", &Image::oci("linux/amd64", "x"));
    let finished = world.run(&["join"]).finish().await.expect_code(6);
    let hint = "check your jobs for linux/arm64, or push the images: `polyarch build --no-join --platform linux/arm64`";
    says(&finished, &["hello:1.0-arm64 does not exist", hint]);
    world.assert_untouched();
}

#[tokio::test]
async fn arch_tag_moved_after_the_push_warns_and_joins_the_build() {
    let script = Script::default().push(async |push| {
        push.pushed();
        if push.tag == "1.0-amd64" {
            push.move_tag(&Image::docker("linux/amd64", "somebody"));
        }
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(0);
    says(&finished, &["hello:1.0-amd64 points to another image: another run moved the tag"]);
    let index = world.store.get("hello", "1.0").unwrap();
    let built = Image::docker("linux/amd64", "hello:1.0-amd64").manifest.digest();
    assert_eq!(children(&index)[0], ("amd64".to_owned(), built));
}

#[tokio::test]
async fn build_refuses_child_bytes_that_do_not_match_the_digest() {
    let world = World::start(Script::default()).await;
    let other = Image::docker("linux/amd64", "other").manifest;
    world.registry_answers(move |request| {
        let child = request.line().starts_with("GET /v2/hello/manifests/sha256:");
        child.then(|| status(200).header("Content-Type", &other.media_type).body(other.bytes.clone()))
    });
    let finished = world.build().await.expect_code(7);
    says(&finished, &["confirm"]);
    world.assert_untouched();
}

#[tokio::test]
async fn build_refuses_config_bytes_that_do_not_match_the_digest() {
    let world = World::start(Script::default()).await;
    world.registry_answers(|request| {
        let config = request.line().starts_with("GET /v2/hello/blobs/");
        // Of the same length.
        config.then(|| {
            let mut bytes = Image::docker("linux/amd64", "hello:1.0-amd64").config.bytes;
            bytes[0] = b' ';
            status(200).body(bytes)
        })
    });
    world.build().await.expect_code(7);
    world.assert_untouched();
}

#[tokio::test]
async fn tag_that_shows_another_digest_after_the_push_fails() {
    let world = World::start(Script::default()).await;
    let other = Image::docker("linux/amd64", "another run").manifest;
    let mut asked = 0;
    world.registry_answers(move |request| {
        // Once before it is put.
        asked += u32::from(request.line() == "GET /v2/hello/manifests/latest");
        let read_back = asked > 1 && request.line() == "GET /v2/hello/manifests/latest";
        read_back.then(|| status(200).header("Content-Type", &other.media_type).body(other.bytes.clone()))
    });
    let finished = world.build().await.expect_code(7);
    says(&finished, &["hello:latest points to sha256:", "this run published sha256:"]);
    assert_eq!(finished.stdout, "");
}

#[tokio::test]
async fn tag_that_briefly_shows_the_old_digest_is_read_again() {
    let world = World::start(Script::default()).await;
    let old = Image::oci("linux/amd64", "the index before");
    world.store.push("hello", "latest", &old);
    let (mut put, mut late) = (false, 2);
    let shown = old.manifest.clone();
    world.registry_answers(move |request| {
        put |= request.line() == "PUT /v2/hello/manifests/latest";
        let read_back = put && request.line() == "GET /v2/hello/manifests/latest" && late > 0;
        read_back.then(|| {
            late -= 1;
            status(200).header("Content-Type", &shown.media_type).body(shown.bytes.clone())
        })
    });
    let finished = world.build().await.expect_code(0);
    says(&finished, &["still shows", "verified"]);
    assert_eq!(world.registry.count("GET /v2/hello/manifests/latest"), 4, "before, twice the old, then the new");
}

#[tokio::test]
async fn tag_overtaken_by_another_run_fails_at_once() {
    let world = World::start(Script::default()).await;
    world.store.push("hello", "latest", &Image::oci("linux/amd64", "the index before"));
    let third = Image::oci("linux/amd64", "another run").manifest;
    let mut put = false;
    world.registry_answers(move |request| {
        put |= request.line() == "PUT /v2/hello/manifests/latest";
        let read_back = put && request.line() == "GET /v2/hello/manifests/latest";
        read_back.then(|| status(200).header("Content-Type", &third.media_type).body(third.bytes.clone()))
    });
    let finished = world.build().await.expect_code(7);
    says(&finished, &["hello:latest points to sha256:", "another run moved the tag after this run"]);
    assert_eq!(world.registry.count("GET /v2/hello/manifests/latest"), 2);
}

/// How registries refuse to move a tag.
const IMMUTABLE: [(u16, &str, &str); 9] = [
    (
        400,
        "TAG_INVALID",
        "The image tag '1.0' already exists in the 'hello' repository and cannot be overwritten because the repository is immutable.",
    ),
    (412, "PRECONDITION", "Failed to process request due to '1.0' configured as immutable."),
    (403, "DENIED", "tag 1.0 is Immutable"),
    (409, "", "manifest is immutable"),
    (
        403,
        "DENIED",
        "requested access to the resource is denied - This tag is already assigned to an image in this repository and cannot be updated due to immutability settings. To push this image, use a different tag.",
    ),
    (400, "MANIFEST_INVALID", "cannot update tag 1.0. The repository has enabled tag immutability"),
    (400, "UNKNOWN", "The requested tag already exists and cannot be overwritten."),
    (405, "REGISTRY_DISALLOWED_OPERATION", "The operation is disallowed on this registry, repository or image."),
    (400, "UNKNOWN", "tag is immutable and cannot be overwritten"),
];

fn immutable(world: &World, (code, name, message): (u16, &'static str, &'static str)) {
    let answer = json!({ "errors": [{ "code": name, "message": message }] }).to_string();
    world.registry_answers(move |request| {
        (request.line() == "PUT /v2/hello/manifests/1.0").then(|| status(code).body(answer.clone()))
    });
}

#[tokio::test]
async fn immutable_tag_error_shows_both_digests() {
    for how in IMMUTABLE {
        let world = World::start(Script::default()).await;
        let old = Image::oci("linux/amd64", "the index before");
        world.store.push("hello", "1.0", &old);
        immutable(&world, how);
        let finished = world.build().await.expect_code(6);
        let there = format!("hello:1.0 is immutable and has {}; this run has sha256:", old.manifest.digest());
        says(&finished, &[&there, "not moved: ", "publish this image under another tag"]);
        assert_eq!(world.put(), ["1.0"], "tried once, and no tag after it: {how:?}");
        assert_eq!(finished.stdout, "");
    }
}

#[tokio::test]
async fn immutable_tag_with_the_same_digest_succeeds() {
    let world = World::start(Script::default()).await;
    world.build().await.expect_code(0);
    let index = world.store.get("hello", "1.0").unwrap();
    let (store, mut late) = (World::start(Script::default()).await, true);
    // Somebody else puts the same between our look and our put: ECR refuses what is there already.
    let theirs = store.store.clone();
    store.registry_answers(move |request| {
        let put = request.line() == "PUT /v2/hello/manifests/1.0" && std::mem::take(&mut late);
        put.then(|| {
            theirs.put("hello", "1.0", &index);
            status(400).body(r#"{"errors":[{"code":"TAG_INVALID","message":"the repository is immutable"}]}"#)
        })
    });
    let finished = store.build().await.expect_code(0);
    says(&finished, &["unchanged: ", "moved: "]);
    assert_eq!(store.put(), ["1.0", "latest"]);
    // The same again asks for nothing that could be refused.
    immutable(&store, IMMUTABLE[0]);
    store.build().await.expect_code(0);
    assert_eq!(store.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn tag_refusal_is_not_called_immutable_for_a_missing_tag() {
    let world = World::start(Script::default()).await;
    immutable(&world, (400, "TAG_INVALID", "manifest tag did not match URI"));
    let finished = world.build().await.expect_code(6);
    says(&finished, &["publish ", "manifest tag did not match URI"]);
    assert!(!finished.stderr.contains("is immutable"), "{}", finished.stderr);
}

#[tokio::test]
async fn other_tag_refusals_are_shown_in_the_registrys_own_words() {
    for how in [
        (400, "TAG_INVALID", "manifest tag did not match URI"),
        (403, "DENIED", "requested access to the resource is denied"),
        (405, "UNSUPPORTED", "The operation is unsupported."),
    ] {
        let world = World::start(Script::default()).await;
        world.store.push("hello", "1.0", &Image::oci("linux/amd64", "the index before"));
        immutable(&world, how);
        let finished = world.build().await.expect_code(6);
        says(&finished, &[how.2]);
        assert_eq!(finished.stderr.contains("a read-only registry answers so"), how.0 == 405, "{}", finished.stderr);
        assert!(!finished.stderr.contains("is immutable"), "{}", finished.stderr);
    }
}

/// What containerd and crane take for a success, too. The tag has moved by then.
#[tokio::test]
async fn tag_push_answered_200_202_or_204_is_read_back() {
    for code in [200, 202, 204] {
        let world = World::start(Script::default()).await;
        let store = world.store.clone();
        world.registry_answers(move |request| {
            let answered = (request.method == "PUT").then(|| store.answer(request));
            answered.map(|_| status(code))
        });
        let finished = world.build().await.expect_code(0);
        says(&finished, &["verified"]);
        assert_eq!(world.put(), ["1.0", "latest"], "{code}");
    }
}
