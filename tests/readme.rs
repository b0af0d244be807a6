//! The README and the reference are true: their commands are taken, their tables are those of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::docs::{needs_aws, pages};
use crate::support::program::{Finished, Home, Run};

/// A page, by its path from the root of the repository.
fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The blocks of a language in a text, each without its fences.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// A section of the README, without its heading.
fn section(heading: &str) -> String {
    let text = page("README.md");
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

#[test]
fn readme_has_at_most_180_lines() {
    assert!(page("README.md").lines().count() <= 180);
}

#[tokio::test]
async fn keys_that_are_not_yet_supported_are_refused_by_name() {
    let text = page("docs/reference/plan.md");
    let not_yet = text.split("**Not yet**").nth(1).unwrap().split("\n\n").next().unwrap();
    for key in all("`([a-z_]+)`", not_yet) {
        let text = format!("version: 1\nimages:\n  a:\n    tags: [x]\n    platforms: [linux/amd64]\n    {key}: x\n");
        let refused = plan(&text).await.expect_code(2);
        assert!(refused.stderr.contains(&format!("`{key}` is not yet supported")), "{}", refused.stderr);
    }
}

/// The commands of console blocks and of workflows, as a shell would split them.
fn commands() -> BTreeSet<Vec<String>> {
    let pages = pages().into_iter().filter(|(path, _)| !needs_aws(path));
    let blocks = pages.flat_map(|(_, text)| [blocks(&text, "console"), blocks(&text, "yaml")].concat());
    let text = blocks.collect::<Vec<_>>().join("\n");
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("$ polyarch ").or_else(|| line.strip_prefix("- run: polyarch "))
    });
    lines.map(|line| line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()).collect()
}

#[tokio::test]
async fn readme_console_commands_are_valid() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commands = commands();
    assert!(commands.len() > 25, "{commands:?}");
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
            "build" | "doctor" => 3,
            // The repository has a plan, which polyarch does not overwrite.
            "init" => 2,
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
        let code = ran.finish().await.code();
        // This machine may have an engine at the default socket.
        let finds_none = command[0] == "engines" && code == 3;
        assert!(code == expected || finds_none, "{command:?}: {code}");
    });
    futures::future::join_all(taken).await;
}

#[tokio::test]
async fn plan_page_shows_the_real_error() {
    let blocks = blocks(&page("docs/reference/plan.md"), "console");
    let shown = blocks.iter().find_map(|block| block.strip_prefix("$ polyarch plan\n"));
    let ran = plan("version: 1\nimages:\n  hello:\n    tags: [1.10]\n    platforms: [linux/amd64]\n").await;
    assert_eq!(ran.expect_code(2).stderr.trim_end(), shown.unwrap());
}

#[tokio::test]
async fn tables_of_the_pages_match_the_help() {
    let home = Home::new();
    let mut help = Run::new(&home, ["--help"]).finish().await.expect_code(0).stdout;
    let codes = all(r"(?m)^(?:\| )?\b((?:\d+, )*\d+)\s+[a-z|]", help.split("Exit codes:").nth(1).unwrap());
    let flat = |codes: BTreeSet<String>| -> BTreeSet<String> {
        codes.iter().flat_map(|row| row.split(", ")).map(str::to_owned).collect()
    };
    for table in [section("## Exit codes"), page("docs/reference/exit-codes.md")] {
        let documented = all(r"(?m)^\| ((?:\d+, )*\d+) \|", &table);
        assert_eq!(flat(all(r"(?m)^  ((?:\d+, )*\d+) ", &help)), flat(documented), "{codes:?}");
    }
    let variables = all(r"\b([A-Z][A-Z_]+[A-Z])\b", help.split("Environment:").nth(1).unwrap());
    for variable in variables {
        assert!(page("docs/reference/environment.md").contains(&variable), "{variable}");
    }
    let commands = all(r"(?m)^  ([a-z]+)  ", help.split("Options:").next().unwrap());
    assert_eq!(commands.len(), 17);
    let text = page("docs/reference/commands.md");
    for command in commands {
        for table in [&section("## Commands"), &text] {
            assert!(table.contains(&format!("| `polyarch {command}")), "{command}");
        }
        help = Run::new(&home, [&command, "--help"]).finish().await.expect_code(0).stdout;
        for flag in all(r"(?m)^ +(?:-., )?(--[a-z-]+)", &help)
            .iter()
            .filter(|flag| !matches!(flag.as_str(), "--version" | "--file"))
        {
            assert!(text.contains(flag.as_str()), "{command} {flag} is not on the page of the commands");
        }
    }
}
