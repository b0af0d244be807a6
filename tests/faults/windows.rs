//! Images of one architecture for several versions of Windows, as golang and others publish them.

use serde_json::{Value, json};

use super::editing::{has, join, published, reference, world};
use super::world::{World, says};
use crate::support::images::Image;
use crate::support::program::{Finished, Run};

const OLD: &str = "10.0.17763.5820";
const NEW: &str = "10.0.20348.2461";

/// A registry with an image for Linux, and those of golang for two versions of Windows.
async fn golang() -> World {
    let world = world(&["linux/amd64"]).await;
    for version in [OLD, NEW] {
        world.store.push("hello", version, &Image::of_windows(version, "golang"));
    }
    world
}

/// A command that has no report.
async fn read(world: &World, arguments: &[&str]) -> Finished {
    Run::new(&world.home, arguments).finish().await
}

/// System and version of each entry.
fn versions(index: &Value) -> Vec<(String, String)> {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let entries = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]);
    entries.map(|fields| (text(&fields["os"]), text(&fields["os.version"]))).collect()
}

fn windows(versions: &[&str]) -> Vec<(String, String)> {
    versions.iter().map(|version| ("windows".to_owned(), (*version).to_owned())).collect()
}

#[tokio::test]
async fn several_windows_versions_are_joined() {
    let world = golang().await;
    join(&world, &[], &["amd64", OLD, NEW]).await.expect_code(0);
    let index = published(&world);
    assert_eq!(versions(&index)[1..], windows(&[OLD, NEW]));
    assert_eq!(versions(&index)[0].0, "linux");
    // The index itself is a source, and what is known of it is told by these names.
    let source = reference(&world, "1.0");
    let verified = read(&world, &["verify", &source]).await.expect_code(0);
    let named = format!("windows({OLD})/amd64");
    assert!(verified.stdout.contains(&named) || verified.stderr.contains(&named), "{}", verified.stdout);
    let target = reference(&world, "2.0");
    world.run(&["join", "-t", &target, &source]).finish().await.expect_code(0);
    assert_eq!(world.store.get("hello", "2.0").unwrap().json(), index);
    for (platform, version) in [("windows(10.0.17763)/amd64", OLD), (&*format!("windows({NEW})/amd64"), NEW)] {
        let digest = Image::of_windows(version, "golang").manifest.digest();
        let found = read(&world, &["digest", &source, "--platform", platform]).await.expect_code(0);
        assert_eq!(found.stdout.trim(), digest);
        let copy = reference(&world, "copy");
        world.run(&["copy", &source, &copy, "--platform", platform]).finish().await.expect_code(0);
        assert_eq!(world.store.get("hello", "copy").unwrap().digest(), digest);
    }
    let ambiguous = read(&world, &["digest", &source, "--platform", "windows/amd64"]).await.expect_code(7);
    says(&ambiguous, &["the index lists 2 images for windows/amd64", &named]);
}

#[tokio::test]
async fn two_images_of_one_windows_version_are_refused() {
    let world = golang().await;
    world.store.push("hello", "again", &Image::of_windows(OLD, "another"));
    let finished = join(&world, &[], &["amd64", OLD, "again"]).await.expect_code(7);
    says(&finished, &[&format!("duplicate windows({OLD})/amd64")]);
    world.assert_untouched();
    // Of what is asked for, each is one image.
    for expect in ["linux/amd64,windows/amd64", "linux/amd64,windows(10.0.17763)/amd64"] {
        join(&world, &["--expect", expect], &["amd64", OLD, NEW]).await.expect_code(7);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn windows_entries_are_replaced_and_removed_by_version() {
    let world = golang().await;
    join(&world, &[], &["amd64", OLD, NEW]).await.expect_code(0);
    let (patch, newest) = ("10.0.17763.6000", "10.0.26100.1");
    for version in [patch, newest] {
        world.store.push("hello", version, &Image::of_windows(version, "golang"));
    }
    let annotation = "entry[windows(10.0.17763)/amd64]:lts=2019";
    join(&world, &["--append", "--annotation", annotation], &[patch, newest]).await.expect_code(0);
    let index = published(&world);
    assert_eq!(versions(&index)[1..], windows(&[patch, NEW, newest]));
    let annotations: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|entry| &entry["annotations"]).collect();
    assert_eq!(annotations, [&Value::Null, &json!({ "lts": "2019" }), &Value::Null, &Value::Null]);
    let lost = join(&world, &[], &["amd64", patch, NEW]).await.expect_code(7);
    says(&lost, &[&format!("has windows({newest})/amd64, which the new index lacks")]);
    join(&world, &["--remove", "windows(10.0.20348)/amd64"], &[]).await.expect_code(0);
    assert_eq!(versions(&published(&world))[1..], windows(&[patch, newest]));
    let expect = format!("windows({newest})/amd64,linux/amd64,windows(10.0.17763)/amd64");
    join(&world, &["--append", "--expect", &expect], &["amd64"]).await.expect_code(0);
    assert_eq!(versions(&published(&world))[..1], windows(&[newest]));
    join(&world, &["--remove", "windows/amd64"], &[]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn annotated_windows_version_is_the_identity_of_the_entry() {
    let world = world(&["linux/amd64"]).await;
    let image = Image::docker("windows/amd64", "old");
    world.store.push("hello", "one", &image);
    world.store.push("hello", "two", &Image::docker("windows/amd64", "new"));
    let one = format!("{}=windows(10.0.17763+win32k)/amd64", reference(&world, "one"));
    let two = format!("{}=os.version=10.0.20348", reference(&world, "two"));
    join(&world, &["--annotate", &one, "--annotate", &two], &["one", "two"]).await.expect_code(0);
    let index = published(&world);
    assert_eq!(versions(&index), windows(&["10.0.17763", "10.0.20348"]));
    assert_eq!(index["manifests"][0]["platform"]["os.features"], json!(["win32k"]));
    // Features alone are a difference, too.
    let mut gpu = image.manifest.descriptor();
    gpu["platform"] = json!({ "os": "windows", "architecture": "amd64", "os.features": ["gpu"] });
    let plain = Image::docker("windows/amd64", "new");
    let mut entry = plain.manifest.descriptor();
    entry["platform"] = json!({ "os": "windows", "architecture": "amd64" });
    has(&world, "features", &[gpu, entry], &json!({}));
    join(&world, &["--allow-shrink"], &["features"]).await.expect_code(0);
    assert_eq!(published(&world)["manifests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn plan_imports_joins_and_verifies_several_windows_versions() {
    let world = golang().await;
    join(&world, &[], &["amd64", OLD, NEW]).await.expect_code(0);
    let plan = |platforms: &str| {
        format!(
            "images:\n  go:\n    from: {}\n    tags: [latest]\n    platforms: [linux/amd64, {platforms}]\n",
            reference(&world, "1.0")
        )
    };
    world.plan(&plan("\"windows(10.0.17763)/amd64\", \"windows(10.0.20348)/amd64\""));
    world.build().await.expect_code(0);
    let index = world.store.get("go", "latest").unwrap().json();
    assert_eq!(versions(&index)[1..], windows(&[OLD, NEW]));
    assert!(world.store.get("go", "latest-amd64-10.0.17763").is_some(), "it has an arch tag of its own");
    read(&world, &["verify", "go"]).await.expect_code(0);
    world.run(&["join", "go"]).finish().await.expect_code(0);
    assert_eq!(world.store.get("go", "latest").unwrap().json(), index);
    let arguments = ["build", "--no-join", "--platform", "windows(10.0.20348)/amd64"];
    world.run(&arguments).finish().await.expect_code(0);
    world.plan(&plan("windows/amd64").replace("from:", "arch_tag: \"${tag}-${os}-${arch}\"\n    from:"));
    let ambiguous = world.build().await.expect_code(7);
    says(&ambiguous, &["2 images for windows/amd64", &format!("windows({OLD})/amd64, windows({NEW})/amd64")]);
    world.plan(&plan("windows(10.0.17763)/amd64, windows(10.0.17763)/amd64"));
    says(&world.build().await.expect_code(2), &["windows(10.0.17763)/amd64"]);
}
