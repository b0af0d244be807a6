//! The files in `examples/ci`: each is YAML, and every command in them is taken with its arguments.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

use crate::support::program::{Home, Run};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

/// The workflows and what is in them.
fn workflows() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let workflows = files.filter(|path| path.file_name().unwrap() != "build.yaml");
    workflows.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// A home with the plan of the examples.
fn home() -> Home {
    let home = Home::new();
    fs::copy(folder().join("build.yaml"), home.path().join("build.yaml")).unwrap();
    home
}

#[test]
fn every_example_workflow_is_yaml() {
    let workflows = workflows();
    assert_eq!(workflows.len(), 4, "{workflows:?}");
    for (path, text) in workflows {
        let parsed: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(parsed.is_object(), "{path}");
    }
}

#[tokio::test]
async fn every_command_of_the_example_workflows_is_valid() {
    let home = home();
    let command = Regex::new(r"polyarch ((?:build|join|plan)(?: [^)}#\n]|\$\{\{[^}]*\}\})*[^)}#\n]*)").unwrap();
    let registry = Regex::new(r"\$(CI_REGISTRY_IMAGE|REGISTRY)").unwrap();
    for (path, text) in workflows() {
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let mut seen = Vec::new();
        for line in lines {
            let line = line.replace("${{ matrix.images }}", "hello").replace("${{ matrix.platform }}", "linux/arm64");
            let line = line.replace("$PLATFORM", "linux/amd64");
            let line = registry.replace_all(&line, "localhost:9/acme").into_owned();
            let Some(found) = command.captures(&line) else { continue };
            let mut words: Vec<_> = found[1].split_whitespace().map(str::to_owned).collect();
            // Nothing listens on port 9, and no engine is there: what is taken is refused after that (3).
            if words[0] != "plan" && !words.contains(&"--registry".to_owned()) {
                words.extend(["--registry".to_owned(), "localhost:9".to_owned()]);
            }
            let run = Run::new(&home, &words).env("GITHUB_SHA", SHA).env("DOCKER_HOST", "unix:///nowhere/engine.sock");
            let expected = if words[0] == "plan" { 0 } else { 3 };
            let ran = run.finish().await;
            assert_eq!(ran.code(), expected, "{path}: {words:?}\n{}", ran.stderr);
            seen.push(words[0].clone());
        }
        assert!(seen.contains(&"build".to_owned()) && seen.contains(&"join".to_owned()), "{path}: {seen:?}");
    }
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
    let github = fs::read_to_string(folder().join("github.yaml")).unwrap();
    let commented: Vec<_> = github.lines().filter_map(|line| line.trim().strip_prefix("# ")).collect();
    let step = commented.iter().position(|line| line.starts_with("- uses: docker/setup-docker-action@")).unwrap();
    let step: Value = serde_yaml::from_str(&commented[step..step + 2].join("\n")).unwrap();
    assert_eq!(step[0]["with"]["daemon-config"], setting);
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
