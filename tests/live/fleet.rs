//! Several engines share the jobs of many images, and one of the engines dies.

use std::fmt::Write as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::project::{Project, read_json};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};

/// The number of images. Each has two platforms.
const IMAGES: usize = 8;

/// The platforms of all images in the report.
fn platforms(report: &Value) -> Vec<&Value> {
    report["images"].as_array().unwrap().iter().flat_map(|image| image["platforms"].as_array().unwrap()).collect()
}

fn engine_of(platform: &Value) -> &str {
    platform["engine"].as_str().unwrap()
}

#[tokio::test]
async fn fleet_finishes_after_one_of_its_engines_was_killed() {
    let dying = PrivateEngine::start(&Engine::new(), "fleet").await;
    let (steady, arm) = (Engine::new(), Engine::graph());
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(steady.clone(), "fleet");
    let _cleanup = arm.cleanup(&project.name);
    // Each image has a step of its own, so that no build takes the step from a cache.
    project.busybox("ARG NAME\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox sleep 2\"]\n");
    let mut plan = format!(
        "version: 1\nregistry: {}\nengines:\n  dying: {{ host: '{}', slots: 2 }}\n  steady: {{ host: '{}', slots: 2 }}\n  \
         arm: {{ host: '{}', platforms_only: [linux/arm64], slots: 4 }}\n\
         defaults: {{ context: context, tags: ['1.0'], platforms: [linux/amd64, linux/arm64] }}\nimages:\n",
        registry.address(),
        dying.engine.host,
        steady.host,
        arm.host
    );
    (0..IMAGES).for_each(|n| writeln!(plan, "  {}-{n}: {{ args: {{ NAME: image-{n} }} }}", project.name).unwrap());
    project.write("build.yaml", plan);
    let report = project.path("report.json");
    let mut building = project.start(&["build", "--progress", "plain", "--report", report.to_str().unwrap()]);
    building.stderr_line("building on dying").await;
    dying.signal(Signal::KILL);
    let finished = building.finish().await.expect_code(0);
    assert!(finished.stderr.contains("engine dying is lost"), "{}", finished.stderr);

    let report = read_json(&report);
    let all = platforms(&report);
    assert_eq!(all.len(), 2 * IMAGES);
    assert!(all.iter().any(|one| one["moved"][0]["from"] == "dying"), "{report:#}");
    for one in &all {
        let expected = if one["platform"] == "linux/arm64" { &["arm"][..] } else { &["steady", "dying"] };
        assert!(expected.contains(&engine_of(one)), "{one:#}");
        assert!(one["moved"].as_array().is_none() || engine_of(one) == "steady", "{one:#}");
    }
    project.run(&["verify"]).await.expect_code(0);
}
