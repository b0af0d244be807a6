//! What CI systems read of a run, and what cannot be written.

use std::fs;

use super::world::{World, says};
use crate::support::scripted_engine::Script;

#[tokio::test]
async fn github_outputs_summary_and_dotenv_name_the_digest() {
    let world = World::start(Script::default()).await;
    let path = |name: &str| world.home.path().join(name);
    fs::write(path("outputs"), "before=1\n").unwrap();
    let run = world.run(&["build", "--dotenv", "image.env"]).env("GITHUB_ACTIONS", "true");
    let run = run.env("GITHUB_OUTPUT", path("outputs")).env("GITHUB_STEP_SUMMARY", path("summary.md"));
    let finished = run.finish().await.expect_code(0);
    let reference = finished.stdout.trim_end();
    let (repository, digest) = reference.split_once('@').unwrap();

    let outputs = fs::read_to_string(path("outputs")).unwrap();
    assert!(outputs.starts_with("before=1\ndigest<<polyarch_"), "{outputs}");
    for (name, value) in [("digest", digest), ("hello_repository", repository), ("tags", "1.0\nlatest")] {
        let told = outputs.split(&format!("\n{name}<<")).nth(1).unwrap();
        let (delimiter, rest) = told.split_once('\n').unwrap();
        assert_eq!(rest.split(&format!("\n{delimiter}\n")).next(), Some(value), "{outputs}");
    }
    let summary = fs::read_to_string(path("summary.md")).unwrap();
    let report = world.report();
    for platform in report["images"][0]["platforms"].as_array().unwrap() {
        let child = platform["reference"].as_str().unwrap().split_once('@').unwrap().1;
        assert!(summary.contains(&format!("`{child}`")), "every child's digest is in the report and here: {summary}");
    }
    assert!(summary.contains(&format!("`{reference}` as `1.0`, `latest`")), "{summary}");
    let variables = fs::read_to_string(path("image.env")).unwrap();
    assert!(variables.starts_with(&format!("DIGEST={digest}\nHELLO_DIGEST={digest}\n")), "{variables}");
    // No line but ours is a command.
    let commands: Vec<_> = finished.stderr.lines().filter(|line| line.contains("::")).collect();
    assert_eq!(commands, ["::group::polyarch: 1 image, 2 builds", "::endgroup::"]);
}

#[tokio::test]
async fn step_summary_reports_images_that_were_not_pushed() {
    let world = World::start(Script::default()).await;
    let path = world.home.path().join("summary.md");
    world.run(&["build", "--no-push"]).env("GITHUB_STEP_SUMMARY", &path).finish().await.expect_code(0);
    let summary = fs::read_to_string(path).unwrap();
    let rows: Vec<_> = summary.lines().filter(|line| line.starts_with("| hello | ")).collect();
    assert_eq!(rows.len(), 2, "{summary}");
    for row in rows {
        assert!(row.contains(" | – | – | ") && row.ends_with("s | not pushed |"), "{summary}");
    }
    assert!(summary.contains("- **hello** not joined: --no-push\n"), "{summary}");
}

#[tokio::test]
async fn unwritable_output_file_is_refused_before_the_build() {
    let world = World::start(Script::default()).await;
    let cases: [(&[&str], &str, &str); 4] = [
        (&["--report", "no/such/report.json"], "HOME", "the report no/such/report.json"),
        (&["--dotenv", "context"], "HOME", "the variables context"),
        (&[], "GITHUB_OUTPUT", "GITHUB_OUTPUT /no/such/file"),
        (&["--progress", "json"], "GITHUB_STEP_SUMMARY", "GITHUB_STEP_SUMMARY /no/such/file"),
    ];
    for (args, variable, named) in cases {
        for command in ["build", "join"] {
            let args = [&[command], args].concat();
            let run = crate::support::program::Run::new(&world.home, args).env(variable, "/no/such/file");
            let finished = run.env("DOCKER_HOST", world.engine.host()).finish().await.expect_code(2);
            says(&finished, &[&format!("cannot write {named}: ")]);
        }
    }
    assert!(world.registry.requests().is_empty(), "nobody was asked anything");
    let left: Vec<_> = fs::read_dir(world.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".tmp")), "{left:?}");
}
