//! The files that make a release: the workflow, the plan of polyarch's image and the formula.

use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use tokio::process::Command;

use crate::support::parts;
use crate::support::program::{Home, Run};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

#[test]
fn release_workflow_pins_each_action_by_its_commit() {
    let text = read(".github/workflows/release.yaml");
    let workflow: Value = serde_yaml::from_str(&text).unwrap();
    let jobs = workflow["jobs"].as_object().unwrap();
    let steps = jobs.values().flat_map(|job| job["steps"].as_array().unwrap());
    let used: Vec<_> = steps.filter_map(|step| step["uses"].as_str()).collect();
    let pinned = Regex::new(r"^actions/[a-z-]+@[0-9a-f]{40}$").unwrap();
    assert!(used.len() >= 4 && used.iter().all(|action| pinned.is_match(action)), "{used:?}");
}

#[test]
fn release_workflow_gives_each_job_its_own_permissions() {
    let workflow: Value = serde_yaml::from_str(&read(".github/workflows/release.yaml")).unwrap();
    assert!(workflow["permissions"].as_object().unwrap().is_empty());
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        let writes = job["permissions"].as_object().unwrap().values().any(|value| value == "write");
        assert_eq!(writes, name == "publish", "{name}");
    }
}

/// Only the tools with a version install the same program each time.
#[test]
fn release_workflow_and_dist_use_tools_of_a_version() {
    let compiler = Regex::new(r#"RUSTUP_TOOLCHAIN: "\d+\.\d+\.\d+""#).unwrap();
    assert!(compiler.is_match(&read(".github/workflows/release.yaml")));
    let tools = Regex::new(r"cyclonedx=\d+\.\d+\.\d+ deb=\d+\.\d+\.\d+\n").unwrap();
    assert!(tools.is_match(&read("scripts/dist")));
}

#[tokio::test]
async fn plan_of_the_image_has_both_platforms() {
    let home = Home::new();
    let plan = home.path().join("packaging/image");
    fs::create_dir_all(&plan).unwrap();
    fs::create_dir_all(home.path().join("target/image")).unwrap();
    for file in ["build.yaml", "Dockerfile"] {
        fs::copy(repository().join("packaging/image").join(file), plan.join(file)).unwrap();
    }
    let run = Run::new(&home, ["plan", "--file", "packaging/image/build.yaml", "--matrix", "github"]);
    let ran = run.env("POLYARCH_IMAGE_VERSION", VERSION).env("GITHUB_SHA", "0123456789".repeat(4)).finish().await;
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("linux/amd64") && ran.stdout.contains("linux/arm64"), "{}", ran.stdout);
}

#[tokio::test]
async fn formula_has_the_hash_of_each_archive() {
    let home = Home::new();
    let sums = home.path().join("SHA256SUMS");
    let targets =
        ["aarch64-apple-darwin", "aarch64-unknown-linux-musl", "x86_64-apple-darwin", "x86_64-unknown-linux-musl"];
    let line = |(number, target): (usize, &&str)| {
        format!("{}  polyarch-{VERSION}-{target}.tar.gz\n", number.to_string().repeat(64))
    };
    fs::write(&sums, targets.iter().enumerate().map(line).collect::<String>()).unwrap();
    let formula = |sums: &Path| {
        let mut command = Command::new(repository().join("scripts/homebrew"));
        command.args(["https://example.com/releases", "https://example.com"]).arg(sums);
        command
    };
    let text = parts::printed(&parts::output(formula(&sums)).await);
    for (number, target) in targets.iter().enumerate() {
        let url = format!("https://example.com/releases/v{VERSION}/polyarch-{VERSION}-{target}.tar.gz");
        let lines = format!("url \"{url}\"\n      sha256 \"{}\"", number.to_string().repeat(64));
        assert!(text.contains(&lines), "{lines}\n{text}");
    }
    fs::write(&sums, line((0, &targets[0]))).unwrap();
    let output = parts::output(formula(&sums)).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("x86_64-apple-darwin"));
}

/// `cargo binstall` looks for the same names as `scripts/install.sh`.
#[test]
fn binstall_finds_the_archives_of_a_release() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("/v{ version }/polyarch-{ version }-{ target }.tar.gz\""));
    assert!(manifest.contains("bin-dir = \"polyarch-{ version }-{ target }/{ bin }\""));
    assert!(read("scripts/install.sh").contains("name=polyarch-$version-$target"));
    assert!(read("scripts/dist").contains("local name=polyarch-$version-$1"));
}
