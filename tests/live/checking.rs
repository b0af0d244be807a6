//! `--check`: BuildKit's lint of the plan's Dockerfiles, with places. Nothing is built, and no registry is asked.

use serde_json::{Value, json};

use crate::project::Project;
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Finished;

const CASING: &str =
    "FROM scratch as Base\nARG TARGETARCH\nCOPY busybox-${TARGETARCH} /bin/busybox\n  CMD /bin/busybox\n";

/// A plan for a registry that is not there: who asks it fails.
fn project(engine: Engine, dockerfile: &str) -> Project {
    let project = Project::new(engine, "check");
    project.write("context/Dockerfile", dockerfile);
    project.plan("registry.invalid/team", "platforms: [linux/amd64, linux/arm64]");
    project
}

/// Nothing is on the engine of what would be built.
async fn nothing_is_built(project: &Project) {
    let listed = parts::printed(&project.engine.docker(["images", "--format={{.Repository}}"]).await);
    assert!(!listed.contains(&project.name), "{listed}");
    assert!(!project.home.path().join("registry").exists(), "an embedded registry was made");
}

fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "no {text:?} in\n{}", finished.stderr);
    }
}

/// What `--format json` says of each finding.
fn found(finished: &Finished) -> Vec<(u64, u64, Option<String>)> {
    let document: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(document["version"], 1);
    let findings = document["findings"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    findings
        .map(|one| (number(&one["line"]), number(&one["column"]), one["rule"].as_str().map(str::to_owned)))
        .collect()
}

#[tokio::test]
async fn lint_findings_are_errors_with_their_places() {
    let project = project(Engine::new(), CASING);
    let checked = project.run(&["build", "--check"]).await.expect_code(2);
    says(
        &checked,
        &[
            "error: FromAsCasing: ",
            "error: StageNameCasing: ",
            "error: JSONArgsRecommended: ",
            "context/Dockerfile:1:1\n",
            "context/Dockerfile:4:3\n",
            "FROM scratch as Base",
            "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
        ],
    );
    // Once, though two platforms have it.
    assert_eq!(checked.stderr.matches("FromAsCasing").count(), 1, "{}", checked.stderr);
    assert_eq!(checked.stdout, "");
    nothing_is_built(&project).await;

    let programs = ["build", "--check", "--format", "json", "--progress", "json"];
    let checked = project.run(&programs).await.expect_code(2);
    let rule = |line, column, rule: &str| (line, column, Some(rule.to_owned()));
    let expected = [rule(1, 1, "FromAsCasing"), rule(1, 1, "StageNameCasing"), rule(4, 3, "JSONArgsRecommended")];
    assert_eq!(found(&checked), expected);
    let events = checked.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = events.filter(|event| event["event"] == json!("failed")).count();
    assert_eq!(failed, 3, "{}", checked.stderr);
}

#[tokio::test]
async fn check_reports_an_invalid_dockerfile_with_its_place() {
    let project = project(Engine::new(), "FROM scratch\n\nCOPI a /a\n");
    let checked = project.run(&["build", "--check"]).await.expect_code(2);
    says(&checked, &["unknown instruction: COPI", "context/Dockerfile:3:1\n", "COPI a /a"]);
    // A text that is no file is named by its image.
    project.plan("local", "platforms: [linux/amd64]\ndockerfile_inline: |\n  FROM scratch\n  COPI a /a\n");
    let checked = project.run(&["build", "--check"]).await.expect_code(2);
    says(&checked, &["unknown instruction: COPI", &format!("Dockerfile of {}:2:1\n", project.name)]);
    nothing_is_built(&project).await;
}

#[tokio::test]
async fn check_without_findings_builds_nothing() {
    let dockerfile = CASING.replace("as Base", "AS base").replace("  CMD /bin/busybox", "CMD [\"/bin/busybox\"]");
    let project = project(Engine::new(), &dockerfile);
    // What it copies is not there: no build would end.
    let checked = project.run(&["build", "--check"]).await.expect_code(0);
    says(&checked, &["checked 1 Dockerfile: nothing found"]);
    let checked = project.run(&["build", "--check", "--format", "json"]).await.expect_code(0);
    assert_eq!(found(&checked), []);
    nothing_is_built(&project).await;
}

#[tokio::test]
async fn check_does_not_build_bases_of_the_plan() {
    let project = Project::new(Engine::new(), "check-bases");
    let name = &project.name;
    project.write("context/Dockerfile", "FROM scratch\nENV PLACE=/srv\n");
    project.write("upper/Dockerfile", "FROM parent as upper\nLABEL place=$PLACE\n");
    let plan = format!(
        "version: 1\nregistry: registry.invalid\ndefaults: {{ tags: [x], platforms: [linux/amd64] }}\nimages:\n  \
         {name}: {{ context: context }}\n  {name}-upper: {{ context: upper, contexts: {{ parent: \"image:{name}\" }} }}\n"
    );
    project.write("build.yaml", plan);
    let checked = project.run(&["build", "--check", "--format", "json"]).await.expect_code(2);
    // What the base sets is not known, and so not missed.
    assert_eq!(found(&checked), [(1, 1, Some("FromAsCasing".to_owned()))], "{}", checked.stderr);
    nothing_is_built(&project).await;
}

#[tokio::test]
async fn check_is_refused_on_an_engine_without_checks() {
    let project = project(Engine::old(), CASING);
    let refused = project.run(&["build", "--check"]).await.expect_code(3);
    let words = format!("cannot check {} linux/amd64 with `--check`: its BuildKit is too old", project.name);
    says(&refused, &[&words, "Engine 27.0 or newer"]);
}
