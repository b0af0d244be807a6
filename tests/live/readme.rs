//! The output that the README shows is what a run prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::{Home, Run};

/// What is the same in every run: no digests, times, sizes or ports, and no padding.
fn same(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, word) in [
        (r"[0-9a-f]{64}", "DIGEST"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\b\d+\.\d+s\b", "TIME"),
        (r"\b\d+(\.\d+)? (B|kB|MB)\b", "SIZE"),
        (r"127\.0\.0\.1:\d+", "REGISTRY"),
        (r" +", " "),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text
}

#[tokio::test]
async fn readme_shows_the_real_output_of_a_run() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    let shown = readme.split("\n$ polyarch build\n").nth(1).unwrap().split("\n```").next().unwrap();
    let engine = Engine::old();
    let name = parts::unique("readme");
    let _cleanup = engine.cleanup(&name);
    let home = Home::new();
    let plan = fs::read_to_string(repository.join("build.yaml")).unwrap();
    let plan = plan.replace("  hello:\n", &format!("  {name}:\n"));
    let context = repository.join("fixtures/contexts/hello");
    let plan = plan.replace("context: fixtures/contexts/hello", &format!("context: {}", context.display()));
    fs::write(home.path().join("build.yaml"), plan).unwrap();
    // Without the cache its steps are shown as in a first run.
    let ran = Run::new(&home, ["build", "--no-cache"]).env("DOCKER_HOST", engine.host.as_str()).finish().await;
    let ran = ran.expect_code(0);
    let printed = same(&format!("{}{}", ran.stderr, ran.stdout).replace(&name, "hello"));
    let printed: BTreeSet<_> = printed.lines().collect();
    for line in same(shown).lines().filter(|line| *line != "…") {
        assert!(printed.contains(line), "the README shows {line:?}; printed was {printed:#?}");
    }
    assert_eq!(ran.stdout.lines().count(), 1, "the last line alone is the result");
    for (option, value, is_shown) in
        [("--progress", "plain", true), ("--progress", "quiet", false), ("--format", "json", false)]
    {
        let again = Run::new(&home, ["build", option, value]).env("DOCKER_HOST", engine.host.as_str()).finish().await;
        let again = again.expect_code(0);
        assert_eq!(again.stderr.contains("start `polyarch serve` first"), is_shown, "{value}: {}", again.stderr);
    }
}
