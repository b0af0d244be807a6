//! The files in `examples/ci` agree with the crate and with each other. `live/ci.rs` runs them.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

use crate::support::program::{Home, Run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

/// A home with the plan of the examples.
fn home() -> Home {
    let home = Home::new();
    fs::copy(folder().join("build.yaml"), home.path().join("build.yaml")).unwrap();
    home
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn examples_install_the_version_of_this_crate() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let named = Regex::new(r"(?:OWNER/polyarch@v|POLYARCH_VERSION\W+(?:Value: )?'?|polyarch/polyarch@v)([0-9][0-9.]+)")
        .unwrap();
    let mut count = 0;
    for file in files.chain(["action.yml".to_owned(), "templates/polyarch.yml".to_owned()]) {
        let text = text(&file);
        for found in named.captures_iter(&text) {
            assert_eq!(&found[1], env!("CARGO_PKG_VERSION"), "{file}: {}", &found[0]);
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
    let action: Value = serde_yaml::from_str(&text("action.yml")).unwrap();
    assert_eq!(action["inputs"]["version"]["default"], env!("CARGO_PKG_VERSION"));
    let component = text("templates/polyarch.yml");
    let head: Value = serde_yaml::from_str(component.split_once("\n---\n").unwrap().0).unwrap();
    assert_eq!(head["spec"]["inputs"]["version"]["default"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn plans_of_the_examples_differ_in_their_engine_alone() {
    let plan = |file: &str| serde_yaml::from_str::<Value>(&text(&format!("examples/ci/{file}"))).unwrap();
    let (features, mut buildx) = (plan("build-features.yaml"), plan("build-buildx.yaml"));
    let engines = buildx.as_object_mut().unwrap().remove("engines").unwrap();
    assert_eq!(engines, serde_json::json!({ "ci": { "builder": "current" } }));
    assert_eq!(features, buildx);
}

/// Some settings need the containerd image store. The engines of hosted runners do not have it until it is turned on.
#[test]
fn example_plan_works_without_the_containerd_store() {
    let plan: Value = serde_yaml::from_str(&fs::read_to_string(folder().join("build.yaml")).unwrap()).unwrap();
    for (name, image) in plan["images"].as_object().unwrap() {
        for key in ["provenance", "sbom", "compression", "oci_mediatypes", "annotations", "rewrite_timestamp"] {
            assert!(image.get(key).is_none(), "{name}: {key}");
        }
        assert_ne!(image["arch_tags"], "none", "{name}");
        let cache = &image["cache"];
        assert!(cache.get("registry").is_none() && cache["to"]["type"] == "inline", "{name}: {cache}");
    }
}

#[test]
fn github_example_and_engines_page_agree_on_the_store() {
    let setting = r#"{"features": {"containerd-snapshotter": true}}"#;
    let github: Value = serde_yaml::from_str(&text("examples/ci/github-containerd.yaml")).unwrap();
    let steps = github["jobs"]["build"]["steps"].as_array().unwrap();
    let is_set_up = |step: &&Value| step["uses"].as_str().is_some_and(|uses| uses.contains("setup-docker-action@"));
    assert_eq!(steps.iter().find(is_set_up).unwrap()["with"]["daemon-config"], setting);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/engines.md");
    let page = fs::read_to_string(page).unwrap();
    let dense = |text: &str| text.replace(' ', "");
    assert!(page.lines().any(|line| dense(line) == dense(setting)), "{setting}");
}

#[tokio::test]
async fn plan_prints_a_github_matrix_of_its_platforms() {
    let home = home();
    let plan = "version: 1\ndefaults: { tags: [x] }\nimages:\n  a: { platforms: [linux/amd64, linux/arm64] }\n  \
                b: { platforms: [linux/arm64, linux/arm/v7] }\n";
    fs::write(home.path().join("build.yaml"), plan).unwrap();
    let printed = Run::new(&home, ["plan", "--matrix", "github"]).finish().await.expect_code(0).stdout;
    assert_eq!(printed.lines().count(), 1, "it fits NAME=VALUE");
    let job = |platform: &str, slug: &str, runner: &str, images: &str| serde_json::json!({ "platform": platform, "slug": slug, "runner": runner, "images": images });
    let expected = serde_json::json!({ "include": [
        job("linux/amd64", "linux-amd64", "ubuntu-24.04", "a"),
        job("linux/arm64", "linux-arm64", "ubuntu-24.04-arm", "a b"),
        job("linux/arm/v7", "linux-arm-v7", "ubuntu-24.04-arm", "b"),
    ] });
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), expected);
}
