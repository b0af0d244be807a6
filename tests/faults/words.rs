//! The words in which an index describes an image. polyarch normalises platforms to compare them, and not to write
//! them. It carries on all that an entry of another index says.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::editing::{has, join, platforms, published, reference, world};
use super::world::{World, says};
use crate::support::images::{Document, Image};
use crate::support::program::Run;
use crate::support::scripted_engine::Script;

/// An entry of `image` with everything that an entry may have, and with fields that no specification knows yet.
fn full(image: &Image) -> Value {
    let mut full = image.entry();
    full["platform"]["os.version"] = "6.1".into();
    full["platform"]["os.features"] = json!(["seccomp"]);
    full["platform"]["features"] = json!(["sse4"]);
    full["platform"]["org.example.new"] = json!({ "deep": [1, null] });
    full["annotations"] = json!({ "org.example.tier": "1" });
    full["urls"] = json!(["https://mirror.example/x"]);
    full["artifactType"] = "application/vnd.example".into();
    full["data"] = STANDARD.encode(&image.manifest.bytes).into();
    full["org.example.unknown"] = json!({ "a": 1.50, "b": [] });
    full
}

/// Images as golang's are: the config of arm64 says the variant.
fn golang(world: &World) -> [Image; 2] {
    let images = ["linux/amd64", "linux/arm64/v8"].map(|platform| Image::docker(platform, "golang"));
    for (image, tag) in images.iter().zip(["1.19-amd64", "1.19-arm64"]) {
        world.store.push("hello", tag, image);
    }
    images
}

#[tokio::test]
async fn entry_keeps_the_variant_spelling_of_the_config() {
    let world = world(&["linux/arm/v7", "linux/amd64/v1"]).await;
    let images = golang(&world);
    join(&world, &[], &["1.19-arm64", "1.19-amd64"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!([images[1].entry(), images[0].entry()]));
    // Other variants whose normal form differs from their words.
    let odd = ["linux/arm64/8", "linux/arm64/v8.0", "linux/arm"].map(|platform| Image::oci(platform, "odd"));
    for (image, tag) in odd.iter().zip(["eight", "dotted", "bare"]) {
        world.store.push("hello", tag, image);
        join(&world, &["--allow-shrink"], &[tag]).await.expect_code(0);
        assert_eq!(published(&world)["manifests"], json!([image.entry()]));
    }
    join(&world, &["--allow-shrink"], &["arm-v7", "amd64-v1"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/arm/v7", "linux/amd64/v1"]);
}

#[tokio::test]
async fn entry_keeps_the_variant_spelling_of_annotate() {
    let world = world(&["linux/amd64", "linux/arm64"]).await;
    golang(&world);
    for (tag, typed, says_it) in [
        ("arm64", "linux/arm64/v8", "linux/arm64/v8"),
        ("arm64", "linux/arm64/8", "linux/arm64/8"),
        ("amd64", "linux/amd64/v1", "linux/amd64/v1"),
        ("arm64", "linux/aarch64", "linux/arm64"),
        ("arm64", "linux/armhf", "linux/arm/v7"),
        // The typed platform has no variant, and the config has one.
        ("1.19-arm64", "linux/arm64", "linux/arm64/v8"),
        ("1.19-arm64", "linux/arm64/v8.0", "linux/arm64/v8.0"),
    ] {
        let annotate = format!("{}={typed}", reference(&world, tag));
        join(&world, &["--annotate", &annotate, "--allow-shrink"], &[tag]).await.expect_code(0);
        assert_eq!(platforms(&published(&world)), [says_it], "{tag} as {typed}");
    }
    // Two references name one image, and only one of them is annotated: the annotation stays.
    let annotate = format!("{}=linux/arm64/v8", reference(&world, "again"));
    world.store.push("hello", "again", &Image::docker("linux/arm64", "new"));
    join(&world, &["--annotate", &annotate, "--allow-shrink"], &["arm64", "again"]).await.expect_code(0);
    assert_eq!(platforms(&published(&world)), ["linux/arm64/v8"]);
}

#[tokio::test]
async fn all_fields_of_an_index_entry_are_kept() {
    let world = world(&["linux/s390x"]).await;
    let images = golang(&world);
    let mut attested = world.store.attest("hello", &images[0]);
    attested["artifactType"] = "application/vnd.docker.attestation.manifest.v1+json".into();
    let entries = [full(&images[0]), full(&images[1]), attested];
    has(&world, "source", &entries, &json!({}));
    join(&world, &[], &["source"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!(entries));
    // The entries stay when an image is added, and the same run again puts nothing.
    join(&world, &["--append"], &["s390x"]).await.expect_code(0);
    let index = published(&world)["manifests"].clone();
    let s390x = Image::docker("linux/s390x", "new").entry();
    assert_eq!(index, json!([entries[0], entries[1], s390x, entries[2]]));
    let puts = world.put().len();
    for sources in [&["s390x"][..], &["source"], &["1.19-arm64"]] {
        join(&world, &["--append"], sources).await.expect_code(0);
        assert_eq!(published(&world)["manifests"], index, "{sources:?}");
    }
    assert_eq!(world.put().len(), puts);
    // The image and its entry in an index are one image. The entry stays, because it says more.
    join(&world, &["--allow-shrink"], &["1.19-amd64", "source"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"], json!(entries));
    // An annotation goes before the words of the entry, and the rest of the entry stays.
    let annotate = format!("{}=linux/arm64,os.version=7", reference(&world, "source"));
    let only = ["--platform", "linux/arm64", "--annotate", &annotate, "--allow-shrink"];
    has(&world, "source", &entries[1..2], &json!({}));
    join(&world, &only, &["source"]).await.expect_code(0);
    let mut said = entries[1].clone();
    said["platform"]["os.version"] = "7".into();
    assert_eq!(published(&world)["manifests"], json!([said]));
}

#[tokio::test]
async fn entries_of_docker_lists_and_nested_indexes_are_kept() {
    let world = world(&[]).await;
    let images = golang(&world);
    let mut entries = images.each_ref().map(Image::entry);
    entries[0]["platform"]["features"] = json!(["sse4"]);
    let list = Document::docker_list(&entries);
    world.store.put("hello", "list", &list);
    join(&world, &[], &["list"]).await.expect_code(0);
    assert_eq!(published(&world), list.json());
    // An index may list an image without a platform. The entry above that index says it.
    let platform = entries[0].as_object_mut().unwrap().remove("platform").unwrap();
    let inner = Document::index(&entries[..1]);
    world.store.put("hello", "ignored", &inner);
    let mut above = inner.descriptor();
    above["platform"] = platform;
    has(&world, "nested", &[above], &json!({}));
    join(&world, &["--index-format", "docker"], &["nested", "1.19-arm64"]).await.expect_code(0);
    assert_eq!(published(&world), list.json());
}

#[tokio::test]
async fn ambiguous_entry_or_false_embedded_data_is_refused() {
    let world = world(&[]).await;
    let images = golang(&world);
    let (mut twin, mut lie, mut none) = (images[0].entry(), images[0].entry(), images[0].entry());
    twin["Digest"] = images[1].manifest.digest().into();
    lie["data"] = STANDARD.encode(&images[1].manifest.bytes).into();
    none["data"] = "?".into();
    for (entry, why) in [(twin, "Digest"), (lie, "the `data` of its index entry is not the manifest"), (none, "`data`")]
    {
        has(&world, "source", &[entry], &json!({}));
        says(&join(&world, &[], &["source"]).await.expect_code(7), &["hello:source", why]);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn join_of_a_plan_keeps_platform_spellings() {
    let world = World::start(Script::default()).await;
    let images = golang(&world);
    // `polyarch plan` looks at it, and a join does not.
    fs::write(world.home.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let plan = |entry: &str| {
        world.plan(&format!(
            "images:\n  hello:\n    tags: [\"1.19\"]\n    platforms:\n      linux/amd64: {{}}\n      linux/arm64: {{ {entry} }}\n"
        ));
    };
    let joined = async || {
        world.run(&["join", "--allow-shrink"]).finish().await.expect_code(0);
        world.store.get("hello", "1.19").unwrap().json()
    };
    for (said, is) in [
        ("", "linux/arm64/v8"),
        ("entry: { os: linux }", "linux/arm64/v8"),
        ("entry: { arch: arm64 }", "linux/arm64/v8"),
        ("entry: { variant: \"\" }", "linux/arm64"),
        ("entry: { variant: \"8\" }", "linux/arm64/8"),
        ("entry: { platform: linux/arm64/v8.0 }", "linux/arm64/v8.0"),
        ("entry: { platform: linux/arm/v6, os_version: \"1\" }", "linux/arm/v6"),
    ] {
        plan(said);
        assert_eq!(platforms(&joined().await), ["linux/amd64", is], "{said}");
    }
    // The variant is as typed, also where the config has none.
    world.store.push("hello", "1.19-arm64", &Image::docker("linux/arm64", "bare"));
    plan("entry: { variant: v8 }");
    assert_eq!(platforms(&joined().await), ["linux/amd64", "linux/arm64/v8"]);
    // The output of `polyarch plan` is a plan of the same.
    for (said, is) in [("entry: { variant: \"8\" }", "linux/arm64/8"), ("entry: { variant: \"\" }", "linux/arm64")] {
        plan(said);
        let shown = Run::new(&world.home, ["plan", "--format", "yaml"]).finish().await.expect_code(0).stdout;
        fs::write(world.home.path().join("build.yaml"), shown).unwrap();
        assert_eq!(platforms(&joined().await), ["linux/amd64", is], "{said}");
    }
    // An arch tag may be an index, as buildx pushes one. polyarch takes its words.
    has(&world, "1.19-arm64", &[full(&images[1])], &json!({}));
    plan("");
    assert_eq!(joined().await["manifests"][1], full(&images[1]));
    let digest = world.store.get("hello", "1.19").unwrap().digest();
    let puts = world.put().len();
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!((world.store.get("hello", "1.19").unwrap().digest(), world.put().len()), (digest, puts));
    Run::new(&world.home, ["verify", "hello"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn import_keeps_entry_fields_in_index_and_arch_tag() {
    let world = World::start(Script::default()).await;
    let entries = ["linux/amd64", "linux/arm64/v8"].map(|platform| {
        let image = Image::oci(platform, "upstream");
        world.store.push("upstream", "ignored", &image);
        full(&image)
    });
    world.store.put("upstream", "1", &Document::index(&entries));
    let host = world.registry.host().clone();
    world.plan(&format!(
        "images:\n  golang:\n    from: {host}/upstream:1\n    tags: [\"1\"]\n    platforms: [linux/amd64, linux/arm64]\n"
    ));
    world.registry_answers(|request| {
        let asked = request.method == "HEAD" && request.target.contains("/blobs/");
        asked.then(|| crate::support::scripted_registry::status(200))
    });
    world.build().await.expect_code(0);
    let index = world.store.get("golang", "1").unwrap();
    assert_eq!(index.json()["manifests"], json!(entries));
    assert_eq!(world.store.get("golang", "1-arm64").unwrap().json()["manifests"], json!([entries[1]]));
    // `polyarch join` alone makes the same of the arch tags.
    let puts = world.put().len();
    world.run(&["join"]).finish().await.expect_code(0);
    assert_eq!((world.store.get("golang", "1").unwrap(), world.put().len()), (index, puts));
}
