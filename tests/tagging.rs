//! Tags from git and from CI: real repositories, the facts of them, and the tags of a plan.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use polyarch::facts::{build_facts, git_facts};
use polyarch::plan::{Overrides, Plan, PlanErrors, SourceText, needed_facts, resolve};
use serde_json::json;
use tempfile::TempDir;

use crate::support::program::{Home, Run};

const REFS: &str = include_str!("tagging/refs.txt");

/// The day of each commit and of each build: 2020-01-10.
const DAY: u64 = 1_578_616_200;

/// The `tags:` of polyarch for an entry of docker/metadata-action.
const RULES: [(&str, &str); 18] = [
    ("basic", r#"["${git.ref_slug}", { tag: latest, when: tag }]"#),
    (
        "semver",
        r#"[{ tag: "${git.ref_slug}", when: [branch, pr] }, { tag: "${git.version}", when: [release, prerelease] },
           { tag: "${git.major}.${git.minor}", when: release }, { tag: latest, when: release }]"#,
    ),
    ("raw", r#"[{ tag: "${git.tag}", when: [release, prerelease] }]"#),
    ("version", r#"[{ tag: "${git.version}", when: [release, prerelease] }]"#),
    (
        "twopart",
        r#"[{ tag: "${git.major}.${git.minor}", when: release }, { tag: "${git.version}", when: prerelease }]"#,
    ),
    ("vmajor", r#"[{ tag: "v${git.major}", when: release }, { tag: "${git.version}", when: prerelease }]"#),
    ("minor", r#"[{ tag: "${git.minor}", when: release }]"#),
    ("patch", r#"[{ tag: "${git.patch}", when: release }]"#),
    ("ref", r#"["${git.ref_slug}"]"#),
    ("edge", "[{ tag: edge, when: default-branch }]"),
    ("branch", r#"[{ tag: "${git.ref_slug}", when: branch }]"#),
    ("tag", r#"["${git.tag:-}"]"#),
    ("default", "[{ tag: latest, when: default-branch }]"),
    ("sha", r#"["sha-${git.short}"]"#),
    ("date", r#"["${build.date}"]"#),
    ("commit", r#"["${git.commit_date}"]"#),
    ("auto", "auto"),
    ("pr", r#"["${git.pr:-none}", "${git.branch:-none}"]"#),
];

/// A repository with one commit, whose default branch is `master`.
struct Repository {
    directory: TempDir,
    head: String,
}

impl Repository {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut repository = Self { directory, head: String::new() };
        repository.git(&["init", "--quiet", "--initial-branch=master"]);
        repository.head = repository.commit("one");
        repository
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        command.args(["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]).args(arguments);
        command.env_clear().envs(environment(&[])).env("GIT_COMMITTER_DATE", format!("@{DAY} +0000"));
        let output = command.output().expect("git is installed: apt-get install git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The variables of a run of GitHub Actions, and its event file.
    fn github(&self, event: &str, reference: &str) -> BTreeMap<String, String> {
        let number = reference.strip_prefix("refs/pull/").map_or(Some("15"), |rest| rest.split('/').next());
        let number: u64 = number.unwrap().parse().unwrap();
        let mut file = json!({ "repository": { "default_branch": "master" } });
        if event.starts_with("pull_request") {
            file["pull_request"] = json!({ "number": number, "head": { "sha": self.head } });
        }
        let path = self.path().join(".git/event.json");
        fs::write(&path, file.to_string()).unwrap();
        environment(&[
            ("GITHUB_SHA", &self.head),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
            ("GITHUB_REF", reference),
        ])
    }
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").unwrap();
    // The test ignores the settings of this machine and repositories above the temporary directory.
    let base =
        [("PATH", &*path), ("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CEILING_DIRECTORIES", "/")];
    base.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn rule(name: &str) -> SourceText {
    let (_, tags) = RULES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("there is no rule {name}"));
    plan(&format!("{{ tags: {tags}, platforms: [linux/amd64] }}"))
}

fn plan(image: &str) -> SourceText {
    SourceText { path: "build.yaml".into(), text: format!("version: 1\nimages:\n  web: {image}\n") }
}

async fn resolved(
    source: &SourceText,
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Plan, PlanErrors> {
    let overrides = Overrides::default();
    let needed = needed_facts(source, &overrides);
    let mut facts = git_facts(directory, environment, &needed).await;
    facts.extend(build_facts(environment, &needed, UNIX_EPOCH + Duration::from_secs(DAY)));
    resolve(source, environment, &facts, &overrides)
}

/// The tags of the only image, or the message of the only problem.
async fn tags(source: &SourceText, directory: &Path, environment: &BTreeMap<String, String>) -> Result<String, String> {
    match resolved(source, directory, environment).await {
        Ok(plan) => Ok(plan.images[0].tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        Err(errors) => Err(errors.problems.iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("\n")),
    }
}

#[tokio::test]
async fn documented_refs_get_the_tags_of_metadata_action() {
    let repository = Repository::new();
    let rows: Vec<_> = REFS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for row in rows {
        let [event, reference, name, expected] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("this row has other columns: {row}");
        };
        let tag = reference.strip_prefix("refs/tags/");
        tag.inspect(|tag| drop(repository.git(&["tag", tag])));
        let environment = repository.github(event, reference);
        let actual = tags(&rule(name), repository.path(), &environment).await;
        tag.inspect(|tag| drop(repository.git(&["tag", "-d", tag])));
        match actual {
            Ok(tags) => assert_eq!(tags, expected.replace("SHORT", &repository.head[..7]), "{row}"),
            Err(message) => {
                assert_eq!(expected, "-", "{row}: {message}");
                let none = ["has no tag in this run", "every tag of the image"];
                assert!(none.iter().any(|none| message.contains(none)), "{row}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn latest_is_only_for_the_highest_release() {
    let repository = Repository::new();
    for tag in ["v1.2.3", "v1.10.0", "v2.0.0-rc.1", "web-v9.0.0"] {
        repository.git(&["tag", tag]);
    }
    for (tag, expected) in
        [("v1.2.3", "1.2.3,1.2,1"), ("v1.10.0", "1.10.0,1.10,1,latest"), ("v2.0.0-rc.1", "2.0.0-rc.1")]
    {
        let environment = repository.github("push", &format!("refs/tags/{tag}"));
        assert_eq!(tags(&rule("auto"), repository.path(), &environment).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn shallow_clone_does_not_guess_the_highest_release() {
    let origin = Repository::new();
    origin.git(&["tag", "v1.0.0"]);
    origin.commit("two");
    origin.git(&["tag", "v2.0.0"]);
    let clone = tempfile::tempdir().unwrap();
    let url = format!("file://{}", origin.path().display());
    let into = clone.path().to_str().unwrap();
    origin.git(&["clone", "--quiet", "--depth=1", "--branch=v2.0.0", &url, into]);
    let message = tags(&rule("auto"), clone.path(), &environment(&[])).await.unwrap_err();
    let expected = "polyarch cannot decide `when: highest`: the highest release is unknown: this clone may lack tags";
    assert_eq!(message, expected);
    let errors = resolved(&rule("auto"), clone.path(), &environment(&[])).await.unwrap_err();
    assert!(errors.problems[0].hint.as_ref().unwrap().contains("fetch-depth: 0"), "{errors:?}");
    // A clone that has a higher release knows that this one is not the highest, and a branch needs no tags at all.
    origin.git(&["-C", into, "tag", "v3.0.0"]);
    let started = environment(&[("CI_COMMIT_SHA", "HEAD"), ("CI_COMMIT_TAG", "v2.0.0")]);
    assert_eq!(tags(&rule("auto"), clone.path(), &started).await.as_deref(), Ok("2.0.0,2.0,2"));
    let head = origin.git(&["-C", into, "rev-parse", "HEAD"]);
    let branch = environment(&[("CI_COMMIT_SHA", &head), ("CI_COMMIT_BRANCH", "main")]);
    assert_eq!(tags(&rule("auto"), clone.path(), &branch).await.as_deref(), Ok("main"));
}

#[tokio::test]
async fn each_ci_system_names_its_branch_and_pull_request() {
    let nowhere = tempfile::tempdir().unwrap();
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for (variables, slug, pr_and_branch) in [
        ("GITHUB_SHA=SHA GITHUB_REF=refs/heads/a.b", "a.b", "none,a.b"),
        (
            "GITHUB_SHA=SHA GITHUB_REF=refs/pull/7/merge GITHUB_REF_NAME=7/merge GITHUB_REF_TYPE=branch",
            "pr-7",
            "7,none",
        ),
        ("CI_COMMIT_SHA=SHA CI_COMMIT_BRANCH=main CI_COMMIT_REF_NAME=main", "main", "none,main"),
        ("CI_COMMIT_SHA=SHA CI_MERGE_REQUEST_IID=8 CI_COMMIT_REF_NAME=x", "pr-8", "8,none"),
        ("CODEBUILD_RESOLVED_SOURCE_VERSION=SHA CODEBUILD_WEBHOOK_TRIGGER=branch/main", "main", "none,main"),
        (
            "CODEBUILD_RESOLVED_SOURCE_VERSION=SHA CODEBUILD_WEBHOOK_TRIGGER=pr/9 CODEBUILD_WEBHOOK_HEAD_REF=refs/heads/x",
            "pr-9",
            "9,none",
        ),
        ("CODEBUILD_RESOLVED_SOURCE_VERSION=SHA CODEBUILD_SOURCE_VERSION=pr/9", "pr-9", "9,none"),
        ("GIT_COMMIT=SHA JENKINS_URL=https://ci/ BRANCH_NAME=main", "main", "none,main"),
        ("GIT_COMMIT=SHA JENKINS_URL=https://ci/ GIT_BRANCH=origin/main", "main", "none,main"),
        ("GIT_COMMIT=SHA JENKINS_URL=https://ci/ BRANCH_NAME=PR-10 CHANGE_ID=10", "pr-10", "10,none"),
        ("BUILDKITE_COMMIT=SHA BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false", "main", "none,main"),
        ("BUILDKITE_COMMIT=SHA BUILDKITE_BRANCH=x BUILDKITE_PULL_REQUEST=11", "pr-11", "11,none"),
        ("CIRCLE_SHA1=SHA CIRCLE_BRANCH=main", "main", "none,main"),
        ("CIRCLE_SHA1=SHA CIRCLE_BRANCH=x CIRCLE_PULL_REQUEST=https://host/a/b/pull/12", "pr-12", "12,none"),
        ("BITBUCKET_COMMIT=SHA BITBUCKET_BRANCH=x BITBUCKET_PR_ID=13", "pr-13", "13,none"),
        ("DRONE_COMMIT_SHA=SHA DRONE_BRANCH=main DRONE_PULL_REQUEST=14", "pr-14", "14,none"),
        ("TRAVIS_COMMIT=SHA TRAVIS_BRANCH=main TRAVIS_PULL_REQUEST=false", "main", "none,main"),
        ("BUILD_SOURCEVERSION=SHA BUILD_SOURCEBRANCH=refs/heads/main", "main", "none,main"),
        (
            "BUILD_SOURCEVERSION=SHA BUILD_SOURCEBRANCH=refs/pull/1/merge SYSTEM_PULLREQUEST_PULLREQUESTID=16",
            "pr-16",
            "16,none",
        ),
    ] {
        let variables: Vec<_> = variables.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, if *value == "SHA" { sha } else { *value })).collect();
        let environment = environment(&variables);
        let of = async |name| tags(&rule(name), nowhere.path(), &environment).await;
        assert_eq!(of("ref").await.as_deref(), Ok(slug), "{variables:?}");
        assert_eq!(of("pr").await.as_deref(), Ok(pr_and_branch), "{variables:?}");
    }
}

#[tokio::test]
async fn pull_request_has_its_head_commit_and_no_tag_of_a_branch() {
    let repository = Repository::new();
    let merge = repository.commit("a merge that only CI has");
    let mut environment = repository.github("pull_request", "refs/pull/2/merge");
    environment.insert("GITHUB_SHA".into(), merge.clone());
    let source = rule("sha");
    let short = format!("sha-{}", &repository.head[..7]);
    assert_eq!(tags(&source, repository.path(), &environment).await, Ok(short));
    // GitHub checks out the default branch for this event, and says so: only the event names the pull request.
    let mut target = repository.github("pull_request_target", "refs/heads/master");
    target.insert("GITHUB_SHA".into(), merge.clone());
    assert_eq!(tags(&source, repository.path(), &target).await, Ok(format!("sha-{}", &merge[..7])));
    assert_eq!(tags(&rule("auto"), repository.path(), &target).await.as_deref(), Ok("pr-15"));
    repository.git(&["checkout", "--quiet", "-B", "master", &repository.head]);
    assert_eq!(tags(&rule("auto"), repository.path(), &target).await.as_deref(), Ok("pr-15"));
    repository.commit("a step of the run");
    assert_eq!(tags(&rule("auto"), repository.path(), &target).await.as_deref(), Ok("pr-15"));
}

#[tokio::test]
async fn clone_without_ci_has_the_tags_of_its_reference() {
    let repository = Repository::new();
    let (none, auto) = (environment(&[]), rule("auto"));
    assert_eq!(tags(&auto, repository.path(), &none).await.as_deref(), Ok("master"));
    // The remote says which branch is the default one.
    let message = tags(&rule("edge"), repository.path(), &none).await.unwrap_err();
    assert!(message.contains("the clone does not say which branch is the default one"), "{message}");
    repository.git(&["update-ref", "refs/remotes/origin/master", "HEAD"]);
    repository.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/master"]);
    assert_eq!(tags(&rule("edge"), repository.path(), &none).await.as_deref(), Ok("edge"));
    repository.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(tags(&auto, repository.path(), &none).await, Ok(format!("sha-{}", &repository.head[..7])));
    repository.git(&["tag", "v1.0.0"]);
    assert_eq!(tags(&auto, repository.path(), &none).await.as_deref(), Ok("1.0.0,1.0,1,latest"));
    // A run for a branch stays one, although the commit has a tag: the run for the tag publishes the release.
    let branch = repository.github("push", "refs/heads/master");
    assert_eq!(tags(&auto, repository.path(), &branch).await.as_deref(), Ok("master"));
}

#[tokio::test]
async fn tags_that_are_empty_or_equal_are_left_out() {
    let nowhere = tempfile::tempdir().unwrap();
    let image = r#"{ tags: ["${A}", "${B}", "${NONE:-}", "a"], platforms: [linux/amd64] }"#;
    let same = environment(&[("A", "a"), ("B", "a")]);
    assert_eq!(tags(&plan(image), nowhere.path(), &same).await.as_deref(), Ok("a"));
    let other = environment(&[("A", "b"), ("B", "")]);
    assert_eq!(tags(&plan(image), nowhere.path(), &other).await.as_deref(), Ok("b,a"));
    let empty = plan(r#"{ tags: ["${NONE:-}"], platforms: [linux/amd64] }"#);
    assert_eq!(tags(&empty, nowhere.path(), &same).await.unwrap_err(), "every tag of the image `web` is empty");
    let twice = plan("{ tags: [a, b, a], platforms: [linux/amd64] }");
    assert_eq!(tags(&twice, nowhere.path(), &same).await.unwrap_err(), "`a` appears twice");
}

/// A plan whose `nightly` is only for a tag, and whose `web` is for every run.
const CONDITIONAL: &str = r#"version: 1
images:
  web: { tags: ["1"], platforms: [linux/amd64], dockerfile_inline: "FROM scratch" }
  nightly: { when: tag, tags: ["${git.tag}"], platforms: [linux/arm64], args: { V: "${git.version}" } }
"#;

#[tokio::test]
async fn image_is_left_out_with_a_line_that_says_why() {
    let repository = Repository::new();
    fs::write(repository.path().join("build.yaml"), CONDITIONAL).unwrap();
    let home = Home::new();
    let mut run = Run::new(&home, ["plan"]).folder(repository.path());
    for (name, value) in [("CI_COMMIT_SHA", &*repository.head), ("CI_COMMIT_BRANCH", "main")] {
        run = run.env(name, value);
    }
    let finished = run.finish().await.expect_code(0);
    let line = "nightly is not in this run: no condition holds of its `when: tag`";
    assert!(finished.stdout.contains(line), "{}", finished.stdout);
    assert!(!finished.stdout.contains("linux/arm64"), "{}", finished.stdout);
}

#[tokio::test]
async fn run_without_any_image_succeeds_and_says_why() {
    let repository = Repository::new();
    let text = "version: 1\nregistry: local\nimages: { web: { when: tag, tags: auto, platforms: [linux/amd64] } }\n";
    fs::write(repository.path().join("build.yaml"), text).unwrap();
    let home = Home::new();
    let line = "web is not in this run: no condition holds of its `when: tag`\n";
    for command in [&["build"][..], &["build", "web", "--platform", "linux/amd64"], &["join"], &["verify"]] {
        let finished = Run::new(&home, command).folder(repository.path()).finish().await.expect_code(0);
        assert!(finished.stderr.contains(line), "{command:?}: {}", finished.stderr);
    }
    // The conditions of the command line replace those of the plan, so the build looks for its Dockerfile.
    let forced = Run::new(&home, ["build", "--set", "web.when=branch,pr"]).folder(repository.path());
    let finished = forced.env("DOCKER_HOST", "unix:///nowhere.sock").finish().await;
    assert_ne!(finished.code(), 0);
    assert!(!finished.stderr.contains(line), "{}", finished.stderr);
}

#[tokio::test]
async fn ci_run_for_another_commit_is_a_warning() {
    let repository = Repository::new();
    let text = "version: 1\nimages: { web: { tags: [\"${git.short}\"], platforms: [linux/amd64] } }\n";
    fs::write(repository.path().join("build.yaml"), text).unwrap();
    fs::write(repository.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let home = Home::new();
    for (sha, is_other) in [(&*repository.head, false), ("0123456789abcdef0123456789abcdef01234567", true)] {
        let run = Run::new(&home, ["plan"]).folder(repository.path());
        let finished = run.env("CI_COMMIT_SHA", sha).finish().await.expect_code(0);
        let says = format!("CI started this run for 0123456, and {} is checked out", &repository.head[..7]);
        assert_eq!(finished.stderr.contains(&says), is_other, "{}", finished.stderr);
    }
}
