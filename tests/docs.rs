//! The README and the book are true: their plans resolve, their commands are taken, their links lead somewhere.
//! `readme.rs` runs the commands of the pages that need no account of AWS.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::program::{Home, Run};
use crate::support::scripted_ecr::ScriptedEcr;

mod plan_page;
mod troubleshooting;

/// The pages of a folder and of the folders in it, each with its text.
fn pages_of(folder: &Path) -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = paths
        .flat_map(|path| match path.extension().and_then(|end| end.to_str()) {
            Some("md") => vec![(path.clone(), fs::read_to_string(&path).unwrap())],
            None if path.is_dir() => pages_of(&path),
            _ => Vec::new(),
        })
        .collect();
    pages.sort();
    pages
}

/// The README and the pages of the book.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = repository.join("README.md");
    let text = fs::read_to_string(&readme).unwrap();
    [vec![(readme, text)], pages_of(&repository.join("docs"))].concat()
}

/// Whether the commands of a page, in its tables too, need the plan before them and an account of AWS.
pub(crate) fn needs_aws(page: &Path) -> bool {
    ["guide/ecr.md", "guide/walkthroughs.md", "guide/codebuild.md"].iter().any(|aws| page.ends_with(aws))
}

/// The plans of a page, each with the commands that follow it up to the next one; first those before any plan.
fn plans(text: &str) -> Vec<(Option<&str>, Vec<&str>)> {
    let plan = Regex::new(r"(?ms)^```yaml\n((?:#[^\n]*\n)?version: 1\n.*?)^```$").unwrap();
    let command = Regex::new(r"(?m)`polyarch ([a-z][^`]*)`|^\$ polyarch (.*)$").unwrap();
    let mut found = vec![(None, 0)];
    found.extend(
        plan.captures_iter(text).map(|block| (block.get(1).map(|plan| plan.as_str()), block.get(0).unwrap().end())),
    );
    let ends = found.iter().skip(1).map(|(_, at)| *at).chain([text.len()]);
    let commands = |from: usize, to: usize| {
        let all = command.captures_iter(&text[from..to]);
        all.map(|one| one.get(1).or_else(|| one.get(2)).unwrap().as_str()).collect()
    };
    found.iter().zip(ends).map(|((plan, at), end)| (*plan, commands(*at, end))).collect()
}

/// A run with the keys of an account of AWS. Nothing beyond this machine is reached: nobody listens on port 9.
fn aws(run: Run, ecr: &ScriptedEcr) -> Run {
    run.env("AWS_ENDPOINT_URL", ecr.endpoint())
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "key")
        .env("AWS_REGION", "us-east-1")
        .env("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567")
        .env("GITHUB_REF", "refs/heads/main")
        .env("NPM_REGISTRY", "https://npm.example.com")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("DOCKER_HOST", "unix:///nowhere/engine.sock")
}

#[tokio::test]
async fn plans_and_commands_of_the_pages_are_valid() {
    let ecr = ScriptedEcr::start().await;
    let pages = pages();
    let blocks: Vec<_> =
        pages.iter().flat_map(|(path, text)| plans(text).into_iter().map(move |block| (path, block))).collect();
    let (plans, commands) = blocks.iter().fold((0, 0), |(plans, commands), (path, (plan, typed))| {
        (plans + usize::from(plan.is_some()), commands + if needs_aws(path) { typed.len() } else { 0 })
    });
    assert!(plans >= 15 && commands >= 15, "{plans} plans, {commands} commands");
    // All at once: those that nobody answers wait for their retries together.
    let taken = blocks.into_iter().map(async |(path, (plan, commands))| {
        let home = Home::new();
        fs::create_dir_all(home.path().join("certs")).unwrap();
        if let Some(plan) = plan {
            fs::write(home.path().join("build.yaml"), plan).unwrap();
            let ran = aws(Run::new(&home, ["plan", "--matrix", "github"]), &ecr).finish().await;
            assert_eq!(ran.code(), 0, "{}: {plan}\n{}", path.display(), ran.stderr);
        }
        for command in commands.into_iter().filter(|_| needs_aws(path)) {
            let words: Vec<_> = command.split(' ').collect();
            let ran = aws(Run::new(&home, &words), &ecr).finish().await;
            // Neither an engine nor a registry is there, and the account has no repository: what is taken is refused
            // after that.
            let expected: &[i32] = match words[0] {
                // What the plan builds is not here.
                "plan" => &[0, 2],
                // AWS is asked, or the registry.
                "images" => &[7, 3],
                _ => &[3],
            };
            assert!(expected.contains(&ran.code()), "{}: {command}\n{}", path.display(), ran.stderr);
        }
    });
    futures::future::join_all(taken).await;
}

/// The anchors of a page: its headings as GitHub and mdBook name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    let anchor = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings
        .map(|heading| {
            let anchor: String = anchor(heading);
            anchor.replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_of_the_pages_lead_to_files_and_headings() {
    let link = Regex::new(r"\]\(([^)#]*)(?:#([^)]*))?\)").unwrap();
    for (path, text) in pages() {
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            let target = if found[1].is_empty() { path.clone() } else { path.with_file_name(&found[1]) };
            assert!(target.exists(), "{}: {}", path.display(), &found[0]);
            if let Some(anchor) = found.get(2) {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor.as_str()), "{}: {}: {there:?}", path.display(), &found[0]);
            }
        }
    }
}

#[test]
fn summary_lists_every_page_of_the_book() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<_> =
        Regex::new(r"\]\(([^)]+)\)").unwrap().captures_iter(&summary).map(|found| folder.join(&found[1])).collect();
    let pages = pages_of(&folder).into_iter().map(|(path, _)| path);
    let pages: BTreeSet<_> = pages.filter(|path| !path.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, pages);
}
