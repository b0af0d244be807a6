//! Runners that never meet: each builds its platform, another one joins; and pipelines that race for one tag.

use serde_json::Value;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

/// A pipeline of two platforms: `tag` is its own, `latest` everybody's.
fn pipeline(project: &Project, registry: &Distribution, tag: &str) {
    project.busybox(&format!("LABEL of={} org.opencontainers.image.revision={tag}\n", project.name));
    let plan = "platforms: [linux/amd64, linux/arm64]";
    project.plan(registry.address(), plan);
    let text = std::fs::read_to_string(project.path("build.yaml")).unwrap();
    project.write("build.yaml", text.replace("\"1.0\"", &format!("\"{tag}\"")));
}

#[tokio::test]
async fn two_engines_build_while_a_third_process_waits_and_joins() {
    let registry = Distribution::start(Setup::Plain);
    let (old, new) = (Engine::old(), Engine::new());
    let project = Project::new(old.clone(), "split");
    let _cleanup = new.cleanup(&project.name);
    pipeline(&project, &registry, "c0ffee1");

    let mut joining = project.start(&["join", "--wait", "10m"]);
    let said = joining.stderr_line("waiting for").await;
    assert!(said.contains("c0ffee1-amd64") && said.contains("c0ffee1-arm64"), "{said}");
    let amd64 = project.command(&["build", "--platform", "linux/amd64", "--no-join"]);
    let arm64 = project.command(&["build", "--platform", "linux/arm64", "--no-join"]).env("DOCKER_HOST", &new.host);
    let (amd64, arm64, joined) = tokio::join!(amd64.finish(), arm64.finish(), joining.finish());
    amd64.expect_code(0);
    arm64.expect_code(0);
    let joined = joined.expect_code(0);
    assert!(!joined.stderr.contains("which moves"), "a commit moves nowhere: {}", joined.stderr);
    for tag in ["c0ffee1", "latest"] {
        let reference = project.reference(registry.address(), tag);
        assert_eq!(project.run(&["verify", &reference]).await.expect_code(0).stdout, joined.stdout);
    }
    // Any job may be run again.
    let again = project.command(&["build", "--platform", "linux/arm64", "--no-join"]).env("DOCKER_HOST", &new.host);
    again.finish().await.expect_code(0);
    assert_eq!(project.run(&["join", "--wait", "1m"]).await.expect_code(0).stdout, joined.stdout);
}

#[tokio::test]
async fn racing_pipelines_end_with_one_whole_index() {
    let registry = Distribution::start(Setup::Plain);
    let (first, mut second) = (Project::new(Engine::new(), "race"), Project::new(Engine::new(), "race"));
    second.name.clone_from(&first.name);
    pipeline(&first, &registry, "aaaaaa1");
    pipeline(&second, &registry, "bbbbbb2");
    let indexes =
        [first.run(&["build"]).await.expect_code(0).stdout, second.run(&["build"]).await.expect_code(0).stdout];
    assert_ne!(indexes[0], indexes[1]);

    let rounds = std::env::var("POLYARCH_TEST_RACES").map_or(20, |rounds| rounds.parse().unwrap());
    let latest = first.reference(registry.address(), "latest");
    let mut overtaken = 0;
    for round in 0..rounds {
        let (one, other) = tokio::join!(first.run(&["join"]), second.run(&["join"]));
        let ran = [&one, &other];
        assert!(ran.iter().any(|ran| ran.code() == 0), "round {round}: {one:?}\n{other:?}");
        for (ran, index) in ran.iter().zip(&indexes) {
            if ran.code() == 0 {
                assert_eq!(ran.stdout, *index);
                continue;
            }
            overtaken += 1;
            assert_eq!(ran.code(), 7, "{}", ran.stderr);
            assert!(ran.stderr.contains("another run moved the tag after this run"), "{}", ran.stderr);
        }
        let shown = first.run(&["verify", &latest]).await.expect_code(0).stdout;
        assert!(indexes.contains(&shown), "round {round}: {shown}");
        let entries: Value = serde_json::from_str(&crane(&["manifest", &latest]).await).unwrap();
        assert_eq!(entries["manifests"].as_array().unwrap().len(), 2, "round {round}");
        // What is under a pipeline's own tag is its own, whoever won.
        for (project, tag, index) in [(&first, "aaaaaa1", &indexes[0]), (&second, "bbbbbb2", &indexes[1])] {
            let own = project.reference(registry.address(), tag);
            assert_eq!(first.run(&["verify", &own]).await.expect_code(0).stdout, *index);
        }
    }
    println!("{rounds} races, {overtaken} overtaken");
}
