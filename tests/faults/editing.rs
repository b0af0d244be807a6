//! What `polyarch join -t` makes of references: what it adds to, removes, annotates and expects, and what it refuses.

use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::images::{DOCKER_LIST, DOCKER_MANIFEST, Document, Image, OCI_INDEX, fields};
use crate::support::program::Finished;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;

/// A registry that has an image of each of these platforms under `ARCH` in `hello`, as docker has them.
pub(super) async fn world(platforms: &[&str]) -> World {
    let world = World::start(Script::default()).await;
    for platform in platforms {
        world.store.push("hello", &arch(platform), &Image::docker(platform, "new"));
    }
    world
}

fn arch(platform: &str) -> String {
    platform.split_once('/').unwrap().1.replace('/', "-")
}

pub(super) fn reference(world: &World, tag: &str) -> String {
    format!("{}/hello:{tag}", world.registry.host())
}

/// `join -t hello:1.0` with these options, of these tags.
pub(super) async fn join(world: &World, options: &[&str], tags: &[&str]) -> Finished {
    let target = reference(world, "1.0");
    let sources: Vec<_> = tags.iter().map(|tag| reference(world, tag)).collect();
    let sources: Vec<_> = sources.iter().map(String::as_str).collect();
    world.run(&[&["join", "-t", &target], options, &sources].concat()).finish().await
}

/// Has an index of `entries`, with more in it, under a tag.
pub(super) fn has(world: &World, tag: &str, entries: &[Value], more: &Value) {
    world.store.put("hello", tag, &Document::index_with(entries, more));
}

pub(super) fn published(world: &World) -> Value {
    world.store.get("hello", "1.0").expect("nothing was published").json()
}

/// The platforms of an index, in its order.
pub(super) fn platforms(index: &Value) -> Vec<String> {
    let fields = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]);
    let text = |fields: &Value| {
        let parts = ["os", "architecture", "variant"].map(|part| fields[part].as_str());
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    };
    fields.map(text).collect()
}

#[tokio::test]
async fn duplicate_image_is_listed_once_with_a_warning() {
    let world = world(&["linux/amd64", "linux/arm64"]).await;
    let amd64 = Image::docker("linux/amd64", "new");
    let attestation = world.store.attest("hello", &amd64);
    has(&world, "attested", &[amd64.entry(), attestation.clone()], &json!({}));
    let finished = join(&world, &[], &["amd64", "arm64", "attested"]).await.expect_code(0);
    says(
        &finished,
        &[&format!("the sources contain linux/amd64 twice, and the index lists it once: {}", amd64.manifest.digest())],
    );
    // Of the two the one with more that is attested stays, where the first one stood.
    assert_eq!(platforms(&published(&world)), ["linux/amd64", "linux/arm64", "unknown/unknown"]);
    assert_eq!(published(&world)["manifests"][2], attestation);
}

#[tokio::test]
async fn two_images_of_one_platform_are_refused_by_name() {
    let world = world(&["linux/amd64", "linux/arm64"]).await;
    let other = Image::docker("linux/arm64", "other");
    world.store.push("hello", "other", &other);
    let finished = join(&world, &[], &["amd64", "arm64", "other"]).await.expect_code(7);
    let named = format!("or {}/hello@{}", world.registry.host(), other.manifest.digest());
    says(&finished, &["duplicate linux/arm64", "pass only one image of linux/arm64", &named]);
    world.assert_untouched();
}

#[tokio::test]
async fn registry_without_oci_indexes_gets_a_docker_manifest_list() {
    for refusal in [400, 415] {
        let world = world(&["linux/amd64", "linux/arm64"]).await;
        world.registry_answers(move |request| {
            let refused = request.method == "PUT" && request.header("content-type") == Some(OCI_INDEX);
            refused.then(|| status(refusal).body(r#"{"errors":[{"code":"MANIFEST_INVALID","message":"no OCI"}]}"#))
        });
        join(&world, &[], &["amd64", "arm64"]).await.expect_code(0);
        let list = world.store.get("hello", "1.0").unwrap();
        assert_eq!(list.media_type, DOCKER_LIST);
        // What such a list cannot hold is not left out of it for that.
        let finished = join(&world, &["--annotation", "a=b"], &["amd64", "arm64"]).await.expect_code(6);
        says(&finished, &["no OCI", "OCI indexes", "Docker manifest list"]);
        assert_eq!(world.store.get("hello", "1.0").unwrap(), list);
    }
}

#[tokio::test]
async fn index_larger_than_4_mib_is_not_sent() {
    let all = ["linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le", "linux/riscv64", "linux/386"];
    let world = world(&all).await;
    let large: Vec<_> = (0..10).map(|n| format!("entry:k{n}={}", "x".repeat(100_000))).collect();
    let options: Vec<_> = large.iter().flat_map(|text| ["--annotation", text]).collect();
    let finished = join(&world, &options, &all.map(|platform| platform.split_once('/').unwrap().1)).await;
    says(&finished.expect_code(7), &["larger than 4194304 bytes"]);
    world.assert_untouched();
}

#[tokio::test]
async fn expect_requires_exactly_these_platforms_and_sets_the_order() {
    let world = world(&["linux/amd64", "linux/arm64", "linux/s390x"]).await;
    world.store.push("hello", "other", &Image::docker("linux/amd64", "other"));
    for (expect, tags, says_it) in [
        ("linux/amd64,linux/arm64,linux/arm/v7", &["amd64", "arm64"][..], "missing linux/arm/v7"),
        ("linux/amd64,linux/arm64", &["amd64", "arm64", "s390x"], "unexpected linux/s390x"),
        ("linux/amd64,linux/arm64", &["amd64", "arm64", "other"], "duplicate linux/amd64"),
    ] {
        let finished = join(&world, &["--expect", expect], tags).await.expect_code(7);
        says(&finished, &[says_it]);
        world.assert_untouched();
    }
    let finished = join(&world, &["--expect", "linux/arm64,linux/arm/v7"], &["arm64", "s390x"]).await.expect_code(7);
    says(
        &finished,
        &["missing linux/arm/v7; unexpected linux/s390x", "`--expect`, which lists linux/arm64, linux/arm/v7"],
    );
    join(&world, &["--expect", "linux/arm64,linux/amd64"], &["amd64", "arm64"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/arm64", "linux/amd64"]);
}

#[tokio::test]
async fn arch_tag_with_a_contradicting_image_is_not_joined() {
    let world = world(&[]).await;
    for tag in ["1.0-arm64", "1.0_aarch64", "1.0-arm-v7", "s390x"] {
        world.store.push("hello", tag, &Image::docker("linux/amd64", tag));
        let finished = join(&world, &[], &[tag]).await.expect_code(7);
        let named = reference(&world, tag);
        says(
            &finished,
            &[
                &format!("{named} is linux/amd64, but its tag names another architecture; not joined"),
                "--annotate SOURCE=linux/amd64",
            ],
        );
        world.assert_untouched();
    }
    let source = reference(&world, "1.0-arm64");
    // By digest, or in an index, an image has the same truth.
    has(&world, "2.0-arm64", &[Image::docker("linux/amd64", "1.0-arm64").entry()], &json!({}));
    join(&world, &[], &["2.0-arm64"]).await.expect_code(7);
    world.assert_untouched();
    for (said, index) in [("linux/amd64", "linux/amd64"), ("linux/arm64", "linux/arm64")] {
        let annotate = format!("{source}={said}");
        join(&world, &["--annotate", &annotate, "--allow-shrink"], &["1.0-arm64"]).await.expect_code(0);
        assert_eq!(platforms(&published(&world)), [index]);
    }
}

#[tokio::test]
async fn annotate_changes_only_the_entry_of_its_source() {
    let world = world(&["linux/amd64"]).await;
    world.store.push("hello", "win", &Image::docker("windows/amd64", "win"));
    let annotate = format!("{}=linux/arm/v6,os.version=10.0.20348.2461,os.features=win32k", reference(&world, "win"));
    join(&world, &["--annotate", &annotate], &["amd64", "win"]).await.expect_code(0);
    let said = json!({
        "os": "linux", "architecture": "arm", "variant": "v6",
        "os.version": "10.0.20348.2461", "os.features": ["win32k"],
    });
    let entries = published(&world)["manifests"].clone();
    assert_eq!((&entries[0]["platform"], &entries[1]["platform"]), (&fields("linux/amd64"), &said));
    // An index of several images is no one platform.
    let several = format!("{}=linux/arm64", reference(&world, "1.0"));
    let finished = join(&world, &["--annotate", &several], &["1.0"]).await.expect_code(7);
    says(&finished, &["it is an index of 2 images, and only a single image can be annotated"]);
    let none = format!("{}=linux/arm64", reference(&world, "nobody"));
    let finished = join(&world, &["--annotate", &none], &["amd64"]).await.expect_code(2);
    says(
        &finished,
        &["hello:nobody is not one of the sources", &format!("the sources are {}", reference(&world, "amd64"))],
    );
}

/// Under `1.0` an index of three platforms: annotated, and with an attestation of the first. Gives the images.
fn standing(world: &World) -> ([Image; 3], Value) {
    let images = ["linux/amd64", "linux/arm64", "linux/arm/v7"].map(|platform| Image::oci(platform, "before"));
    for image in &images {
        world.store.push("hello", "ignored", image);
    }
    let attestation = world.store.attest("hello", &images[0]);
    let mut entries = images.each_ref().map(Image::entry).to_vec();
    entries[0]["annotations"] = json!({ "tier": "1" });
    entries[1]["annotations"] = json!({ "tier": "2" });
    entries.push(attestation.clone());
    has(world, "1.0", &entries, &json!({ "annotations": { "vendor": "Acme" } }));
    (images, attestation)
}

#[tokio::test]
async fn append_replaces_entries_of_the_same_platform() {
    let world = world(&["linux/s390x", "linux/arm64"]).await;
    let (before, attestation) = standing(&world);
    let finished = join(&world, &["--append"], &["s390x", "arm64"]).await.expect_code(0);
    let index = published(&world);
    let order = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "unknown/unknown"];
    assert_eq!(platforms(&index), order);
    assert_eq!(index["manifests"][0]["digest"], before[0].manifest.digest());
    assert_eq!(index["manifests"][1]["digest"], Image::docker("linux/arm64", "new").manifest.digest());
    assert_eq!(index["manifests"][4], attestation);
    // What was annotated stays; what was said of an image that goes is not said of another.
    assert_eq!(index["annotations"], json!({ "vendor": "Acme" }));
    assert_eq!(index["manifests"][0]["annotations"], json!({ "tier": "1" }));
    assert_eq!(index["manifests"][1].get("annotations"), None);
    says(&finished, &["annotations of the replaced image are dropped: tier"]);
    // Once more, nothing is to be done.
    let puts = world.put().len();
    join(&world, &["--append"], &["s390x", "arm64"]).await.expect_code(0);
    assert_eq!(world.put().len(), puts);
}

#[tokio::test]
async fn append_and_remove_need_an_existing_target() {
    let world = world(&["linux/amd64"]).await;
    for edit in [&["--append"][..], &["--remove", "linux/arm64"]] {
        let finished = join(&world, edit, &["amd64"]).await.expect_code(7);
        says(&finished, &["hello:1.0 does not exist", "leave out `--append` and `--remove`"]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn append_refuses_to_lose_an_entry_added_by_another_run() {
    let world = world(&["linux/s390x", "linux/riscv64"]).await;
    let (before, _) = standing(&world);
    let (store, config) = (world.store.clone(), before[2].config.digest());
    let mut entries = before.each_ref().map(Image::entry).to_vec();
    entries.push(Image::docker("linux/riscv64", "new").entry());
    let other = Document::index(&entries);
    // By then it is known what the target has.
    world.registry_answers(move |request| {
        if request.target.ends_with(&config) {
            store.put("hello", "1.0", &other);
        }
        None
    });
    let finished = join(&world, &["--append"], &["s390x"]).await.expect_code(7);
    says(&finished, &["hello:1.0 has linux/riscv64, which the new index lacks; not moved"]);
    says(&finished, &["run this again"]);
    world.assert_untouched();
    join(&world, &["--append"], &["s390x"]).await.expect_code(0);
    assert!(platforms(&published(&world)).contains(&"linux/riscv64".to_owned()));
}

#[tokio::test]
async fn remove_deletes_only_the_named_platforms() {
    let world = world(&["linux/s390x"]).await;
    let (_, attestation) = standing(&world);
    let absent = join(&world, &["--remove", "linux/riscv64,linux/arm64"], &[]).await.expect_code(7);
    says(
        &absent,
        &["hello:1.0 has no linux/riscv64", "choose from its platforms: linux/amd64, linux/arm64, linux/arm/v7"],
    );
    world.assert_untouched();
    let finished = join(&world, &["--remove", "linux/arm64"], &[]).await.expect_code(0);
    assert!(!finished.stderr.contains("lacks"), "{}", finished.stderr);
    assert_eq!(platforms(&published(&world)), ["linux/amd64", "linux/arm/v7", "unknown/unknown"]);
    assert_eq!(published(&world)["manifests"][2], attestation);
    assert_eq!(published(&world)["annotations"], json!({ "vendor": "Acme" }));
    // With sources they are added; an attestation goes with its image.
    join(&world, &["--remove", "linux/amd64"], &["s390x"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/arm/v7", "linux/s390x"]);
    let nothing = join(&world, &["--remove", "linux/arm/v7", "--remove", "linux/s390x"], &[]).await.expect_code(7);
    says(&nothing, &["the index would have no images"]);
}

#[tokio::test]
async fn remove_checks_the_other_platforms_of_every_tag() {
    let world = world(&["linux/amd64"]).await;
    let (before, _) = standing(&world);
    has(
        &world,
        "latest",
        &[before.each_ref().map(Image::entry).to_vec(), vec![Image::oci("linux/s390x", "x").entry()]].concat(),
        &json!({}),
    );
    let latest = reference(&world, "latest");
    let finished = join(&world, &["-t", &latest, "--remove", "linux/arm/v7"], &[]).await.expect_code(7);
    says(&finished, &["hello:latest has linux/s390x, which the new index lacks"]);
    assert!(!finished.stderr.contains("has linux/arm/v7"), "{}", finished.stderr);
    world.assert_untouched();
}

#[tokio::test]
async fn broken_entries_can_be_replaced_but_not_kept() {
    let world = world(&["linux/arm64"]).await;
    let (before, _) = standing(&world);
    // Of the three, one is there; one is gone, one is another platform's.
    let lie = before[0].manifest.entry("linux/arm/v7");
    let gone = Image::oci("linux/arm64", "gone").entry();
    has(&world, "1.0", &[before[0].entry(), gone, lie], &json!({}));
    let finished = join(&world, &["--append"], &[]).await.expect_code(7);
    says(&finished, &["linux/arm64 of ", ": its image ", "linux/arm/v7 of ", "the image is for linux/amd64"]);
    world.assert_untouched();
    // It may be said once more what an image is.
    let digest = format!("{}/hello@{}", world.registry.host(), before[0].manifest.digest());
    let target = reference(&world, "1.0");
    let annotate = ["--annotate", &format!("{digest}=linux/arm/v7"), "--remove", "linux/arm64", &digest];
    world.run(&[&["join", "-t", &target][..], &annotate].concat()).finish().await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/amd64", "linux/arm/v7"]);
    join(&world, &["--remove", "linux/arm/v7"], &["arm64"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/amd64", "linux/arm64"]);
}

#[tokio::test]
async fn annotations_require_an_oci_index_and_are_kept() {
    let world = world(&["linux/amd64", "linux/arm64", "linux/s390x"]).await;
    let typed = ["--annotation", "a=1", "--annotation", "manifest-descriptor[linux/arm64]:b=2"];
    let finished = join(&world, &typed, &["amd64", "arm64"]).await.expect_code(0);
    says(&finished, &["the new index has the OCI format, because a Docker manifest list cannot have annotations"]);
    let index = world.store.get("hello", "1.0").unwrap();
    assert_eq!((index.media_type.as_str(), index.json()["mediaType"].as_str()), (OCI_INDEX, Some(OCI_INDEX)));
    assert_eq!(index.json()["manifests"][0]["mediaType"], DOCKER_MANIFEST);
    let appended = join(&world, &["--append", "--annotation", "a=3", "--annotation", "entry:c=4"], &["s390x"]).await;
    says(&appended.expect_code(0), &["the new index has the OCI format"]);
    let index = published(&world);
    let said: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["annotations"]).collect();
    assert_eq!(index["annotations"], json!({ "a": "3" }));
    assert_eq!(json!(said), json!([{ "c": "4" }, { "b": "2", "c": "4" }, { "c": "4" }]));
    // A list that cannot hold them is refused, wherever they come from.
    let typed = ["--index-format", "docker", "--annotation", "a=b"];
    says(&join(&world, &typed, &["amd64"]).await.expect_code(2), &["a Docker manifest list cannot have annotations"]);
    let kept = join(&world, &["--index-format", "docker", "--append"], &[]).await.expect_code(7);
    says(&kept, &["a Docker manifest list cannot hold this index: the index has annotations"]);
    let foreign = join(&world, &["--annotation", "entry[linux/riscv64]:a=b"], &["amd64"]).await.expect_code(7);
    says(&foreign, &["--annotation entry[linux/riscv64]:a=b: the index has no linux/riscv64"]);
    assert_eq!(published(&world), index);
}

#[tokio::test]
async fn index_format_is_obeyed_or_refused() {
    let world = world(&["linux/amd64", "linux/arm64"]).await;
    world.store.push("hello", "oci", &Image::oci("linux/s390x", "oci"));
    join(&world, &["--index-format", "oci"], &["amd64", "arm64"]).await.expect_code(0);
    assert_eq!(published(&world)["mediaType"], OCI_INDEX);
    join(&world, &["--index-format", "docker"], &["amd64", "arm64"]).await.expect_code(0);
    assert_eq!(published(&world)["mediaType"], DOCKER_LIST);
    let finished = join(&world, &["--index-format", "docker"], &["amd64", "arm64", "oci"]).await.expect_code(7);
    says(&finished, &["cannot hold this index: linux/s390x is an OCI image", "`--index-format auto`"]);
    assert_eq!(published(&world)["mediaType"], DOCKER_LIST);
}

#[tokio::test]
async fn platform_option_takes_only_these_entries_of_an_index() {
    let world = world(&["linux/s390x"]).await;
    let (before, attestation) = standing(&world);
    let index = world.store.get("hello", "1.0").unwrap();
    world.store.put("hello", "all", &index);
    let target = reference(&world, "mine");
    let all = reference(&world, "all");
    let run =
        async |options: &[&str]| world.run(&[&["join", "-t", &target][..], options, &[&all]].concat()).finish().await;
    run(&["--platform", "linux/arm/v7,linux/amd64"]).await.expect_code(0);
    let mine = world.store.get("hello", "mine").unwrap().json();
    assert_eq!(platforms(&mine), ["linux/amd64", "linux/arm/v7", "unknown/unknown"]);
    assert_eq!(mine["manifests"][2], attestation);
    let asked = world.registry.lines().iter().filter(|line| line.contains(&before[1].manifest.digest())).count();
    assert_eq!(asked, 0, "what is not wanted is not read");
    says(
        &run(&["--platform", "linux/amd64,linux/riscv64"]).await.expect_code(7),
        &["none of the sources has linux/riscv64"],
    );
    let other = reference(&world, "s390x");
    let finished = run(&["--platform", "linux/amd64", &other]).await.expect_code(7);
    says(&finished, &["hello:s390x: it contains linux/s390x; none of them is linux/amd64"]);
    // polyarch takes over what the index says of its image. It leaves out what the index says of itself, and reports
    // that.
    let annotated = run(&["--platform", "linux/amd64", "--allow-shrink"]).await.expect_code(0);
    says(&annotated, &["annotations left out of the index: 1"]);
    let mine = world.store.get("hello", "mine").unwrap().json();
    assert_eq!((&mine["manifests"][0]["annotations"], mine.get("annotations")), (&json!({ "tier": "1" }), None));
    // One image of it may be said to be something else.
    let annotate = format!("{all}=linux/arm/v6");
    let several = run(&["--platform", "linux/arm/v6", "--annotate", &annotate]).await.expect_code(7);
    says(&several, &["it is an index of 3 images"]);
}

#[tokio::test]
async fn join_dry_run_prints_the_exact_index_bytes() {
    let world = world(&["linux/s390x"]).await;
    standing(&world);
    world.store.push("hello", "board", &Image::docker("linux/amd64", "board"));
    let annotate = format!("{}=linux/arm/v6,os.version=1", reference(&world, "board"));
    let (entry, expect) = ("entry[linux/arm/v6]:a=b", "linux/s390x,linux/arm/v6,linux/arm/v7,linux/amd64");
    let options = ["--append", "--remove", "linux/arm64", "--annotate", &annotate, "--annotation", entry];
    let options = [&options[..], &["--annotation", "c=d", "--expect", expect, "--index-format", "oci"]].concat();
    let printed = join(&world, &[&options[..], &["--dry-run"]].concat(), &["board", "s390x"]).await.expect_code(0);
    world.assert_untouched();
    join(&world, &options, &["board", "s390x"]).await.expect_code(0);
    assert_eq!(printed.stdout.as_bytes(), world.store.get("hello", "1.0").unwrap().bytes);
    let index = published(&world);
    assert_eq!(platforms(&index)[..4], expect.split(',').collect::<Vec<_>>());
    assert_eq!(index["annotations"], json!({ "vendor": "Acme", "c": "d" }));
    assert_eq!(index["manifests"][1]["annotations"], json!({ "a": "b" }));
    assert_eq!(index["manifests"][1]["platform"]["os.version"], "1");
}
