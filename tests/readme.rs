//! The README says what is true: its plans resolve, its commands are taken, its tables are those of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::support::program::{Finished, Home, Run};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks of a language, each without its fences.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let fence = format!("\n```{language}\n");
    let blocks: Vec<_> =
        text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect();
    assert!(!blocks.is_empty(), "there are blocks of {language}");
    blocks
}

/// What a section says, without its heading.
fn section(heading: &str) -> String {
    let text = readme();
    let rest = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("there is a section {heading}"));
    rest.split("\n#").next().unwrap().to_owned()
}

fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let matches = Regex::new(pattern).unwrap();
    matches.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

async fn plan(text: &str) -> Finished {
    let home = Home::new();
    fs::create_dir_all(home.path().join("certs")).unwrap();
    fs::write(home.path().join("build.yaml"), text).unwrap();
    // What its plans build is not here, and such a matrix does not look.
    let run = Run::new(&home, ["plan", "--matrix", "github"]).env("NPM_REGISTRY", "https://npm.example.com");
    run.env("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567").finish().await
}

#[tokio::test]
async fn every_plan_in_it_resolves() {
    let (plans, workflows): (Vec<_>, Vec<_>) =
        blocks("yaml").into_iter().partition(|block| block.contains("version: 1"));
    assert_eq!((plans.len(), workflows.len()), (7, 1));
    for text in plans {
        plan(&text).await.expect_code(0);
    }
}

#[tokio::test]
async fn the_plan_reference_has_every_key_and_no_other() {
    let schema: Value = serde_json::from_str(polyarch::plan::SCHEMA).unwrap();
    let text = section("## The plan");
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for key in definitions.filter_map(|one| one["properties"].as_object()).flat_map(serde_json::Map::keys) {
        let named = Regex::new(&format!(r"[\s{{`,]{key}[:`]")).unwrap();
        let elsewhere = ["## Registries", "### Amazon ECR"].map(section);
        assert!(named.is_match(&text) || elsewhere.iter().any(|text| text.contains(&format!("{key}:"))), "{key}");
    }
    let not_yet = text.split("**Not yet**").nth(1).unwrap().to_owned();
    for key in all("`([a-z_]+)`", &not_yet) {
        let text = format!("version: 1\nimages:\n  a:\n    tags: [x]\n    platforms: [linux/amd64]\n    {key}: x\n");
        let refused = plan(&text).await.expect_code(2);
        assert!(refused.stderr.contains(&format!("`{key}` is not yet supported")), "{}", refused.stderr);
    }
}

/// The commands of all console blocks and of the workflow, as a shell would split them.
fn commands() -> Vec<Vec<String>> {
    let text = [blocks("console"), blocks("yaml")].concat().join("\n");
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("$ polyarch ").or_else(|| line.strip_prefix("- run: polyarch "))
    });
    lines.map(|line| line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()).collect()
}

#[tokio::test]
async fn every_command_in_it_is_taken_with_its_arguments() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    let home = Home::new();
    // All at once: those that nobody answers wait for their retries together.
    let taken = commands.iter().map(async |command| {
        // No engine is there: a build is refused when its arguments and its plan are found right (3), and before
        // anything is built. In an empty registry nothing can be joined (6).
        // Nobody pushes what it waits for (124).
        let typed: Vec<_> = command.iter().map(|word| if word == "30m" { "1s" } else { word }).collect();
        let ran = Run::new(&home, &typed).folder(repository).env("DOCKER_HOST", "unix:///nowhere/engine.sock");
        let ran = if command.iter().any(|word| word == "--report") {
            // It would write into the repository.
            fs::copy(repository.join("build.yaml"), home.path().join("build.yaml")).unwrap();
            ran.folder(home.path())
        } else {
            ran
        };
        let expected = match command[0].as_str() {
            "build" => 3,
            // No engine is there to pull.
            "verify" if typed.contains(&"--pull") => 3,
            // Nothing listens on port 9.
            "join" | "copy" | "inspect" | "verify" | "digest" | "images"
                if command.iter().any(|word| word.contains(":9/")) =>
            {
                3
            }
            "join" if typed.contains(&"--wait") => 124,
            "join" => 6,
            _ => 0,
        };
        assert_eq!(ran.finish().await.code(), expected, "{command:?}");
    });
    futures::future::join_all(taken).await;
}

#[tokio::test]
async fn the_error_that_it_shows_is_the_one_that_is_printed() {
    let shown =
        blocks("console").into_iter().find_map(|block| block.strip_prefix("$ polyarch plan\n").map(str::to_owned));
    let ran = plan("version: 1\nimages:\n  hello:\n    tags: [1.10]\n    platforms: [linux/amd64]\n").await;
    assert_eq!(ran.expect_code(2).stderr.trim_end(), shown.unwrap());
}

#[tokio::test]
async fn its_tables_are_those_of_the_help() {
    let home = Home::new();
    let mut help = Run::new(&home, ["--help"]).finish().await.expect_code(0).stdout;
    let codes = all(r"(?m)^(?:\| )?\b((?:\d+, )*\d+)\s+[a-z|]", help.split("Exit codes:").nth(1).unwrap());
    let documented = all(r"(?m)^\| ((?:\d+, )*\d+) \|", &section("### Exit codes"));
    let flat = |codes: BTreeSet<String>| -> BTreeSet<String> {
        codes.iter().flat_map(|row| row.split(", ")).map(str::to_owned).collect()
    };
    assert_eq!(flat(all(r"(?m)^  ((?:\d+, )*\d+) ", &help)), flat(documented), "{codes:?}");
    let variables = all(r"\b([A-Z][A-Z_]+[A-Z])\b", help.split("Environment:").nth(1).unwrap());
    for variable in variables {
        assert!(section("### Environment").contains(&variable), "{variable}");
    }
    let commands = all(r"(?m)^  ([a-z]+)  ", help.split("Options:").next().unwrap());
    assert_eq!(commands.len(), 13);
    let text = readme();
    for command in commands {
        assert!(section("## Commands").contains(&format!("| `polyarch {command}")), "{command}");
        help = Run::new(&home, [&command, "--help"]).finish().await.expect_code(0).stdout;
        for flag in all(r"(?m)^ +(?:-., )?(--[a-z-]+)", &help)
            .iter()
            .filter(|flag| !matches!(flag.as_str(), "--version" | "--file"))
        {
            assert!(text.contains(flag.as_str()), "{command} {flag} is not in the README");
        }
    }
}

#[test]
fn its_links_lead_somewhere() {
    for target in all(r"\]\(([^)#]+)\)", &readme()).iter().filter(|target| !target.contains("://")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{target}");
    }
}
