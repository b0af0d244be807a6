//! The joiner alone: what others pushed, one tag or an index a platform, becomes one index.

use serde_json::Value;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(two_runners_push_and_a_third_joins, a_child_that_is_an_index_is_flattened);

/// An image of two platforms that no other test and no other run has.
fn project(engine: Engine, what: &str, registry: &Distribution) -> Project {
    let project = Project::new(engine, what);
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    project
}

async fn two_runners_push_and_a_third_joins(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = project(engine, "runners", &registry);
    let tags = || async { crane(&["ls", &format!("{}/{}", registry.address(), project.name)]).await };

    let native = project.run(&["build", "--no-join", "--platform", "native"]).await.expect_code(0);
    assert!(native.stdout.is_empty() && native.stderr.contains("linux/arm64"), "{}", native.stderr);
    assert_eq!(tags().await, "1.0-amd64");
    // Half of it is no image.
    let missing = project.run(&["join"]).await.expect_code(6);
    assert!(missing.stderr.contains("1.0-arm64") && missing.stderr.contains("polyarch build --no-join"));
    assert_eq!(tags().await, "1.0-amd64");
    project.run(&["build", "--no-join", "--platform", "linux/arm64"]).await.expect_code(0);

    let preview = project.run(&["join", "--dry-run"]).await.expect_code(0);
    assert_eq!(tags().await, "1.0-amd64\n1.0-arm64");
    let joined = project.run(&["join"]).await.expect_code(0);
    let digest = polyarch::oci::Digest::of(preview.stdout.as_bytes());
    assert_eq!(joined.stdout, format!("{}/{}@{digest}\n", registry.address(), project.name));
    for tag in ["1.0", "latest"] {
        let reference = project.reference(registry.address(), tag);
        assert_eq!(crane(&["manifest", &reference]).await, preview.stdout);
        assert_eq!(project.run(&["verify", &reference]).await.expect_code(0).stdout, joined.stdout);
    }
    let verified = project.run(&["verify", &project.name]).await.expect_code(0);
    assert_eq!(verified.stdout, joined.stdout);
    // The whole plan in one run, and the join again, find all of it there.
    let before = registry.requests().len();
    assert_eq!(project.run(&["build"]).await.expect_code(0).stdout, joined.stdout);
    assert_eq!(project.run(&["join"]).await.expect_code(0).stdout, joined.stdout);
    assert!(registry.requests()[before..].iter().all(|asked| !asked.starts_with("PUT ")));
}

async fn a_child_that_is_an_index_is_flattened(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = project(engine, "flattened", &registry);
    project.run(&["build", "--no-join", "--platform", "linux/arm64"]).await.expect_code(0);
    // buildx pushes an index of one image and its provenance.
    let child = project.reference(registry.address(), "1.0-amd64");
    let context = project.context();
    let args = ["buildx", "build", "--provenance=mode=max", "--platform=linux/amd64", "--push", "--tag", &child];
    let (builder, args) = (Engine::new(), [&args[..], &[context.to_str().unwrap()]].concat());
    let _cleanup = builder.cleanup(&project.name);
    parts::printed(&builder.docker(args).await);
    let pushed: Value = serde_json::from_str(&crane(&["manifest", &child]).await).unwrap();
    let entries = pushed["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "an image and its attestation: {pushed}");

    let joined = project.run(&["join"]).await.expect_code(0);
    assert!(joined.stderr.contains("1 attestation"), "{}", joined.stderr);
    let reference = project.reference(registry.address(), "1.0");
    let index: Value = serde_json::from_str(&crane(&["manifest", &reference]).await).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(index["manifests"][0]["digest"], entries[0]["digest"]);
    assert_eq!(index["manifests"][1]["platform"]["architecture"], "arm64");
    project.run(&["verify", &project.name]).await.expect_code(0);

    let raw = format!("docker://{reference}");
    parts::printed(&parts::tool("skopeo", ["inspect", "--tls-verify=false", "--raw", &raw]).await);
    let seen = parts::printed(&parts::tool("docker", ["buildx", "imagetools", "inspect", &reference]).await);
    assert!(seen.contains("linux/arm64") && !seen.contains("unknown/unknown"), "{seen}");
    for puller in Engine::both() {
        for (args, machine) in [(&[][..], "x86_64"), (&["--platform=linux/arm64"], "aarch64")] {
            let _cleanup = puller.cleanup(&project.name);
            parts::printed(&puller.docker([&["pull", "--quiet"], args, &[&reference]].concat()).await);
            let run = [&["run", "--rm", "--network=none"], args, &[&reference, "/bin/busybox", "uname", "-m"]].concat();
            assert_eq!(parts::printed(&puller.docker(run).await), machine, "{}", puller.host);
        }
    }
}

#[tokio::test]
async fn two_engines_of_one_plan_meet_in_the_registry() {
    let registry = Distribution::start(Setup::Plain);
    let (old, new) = (Engine::old(), Engine::new());
    let project = project(old.clone(), "engines", &registry);
    let _cleanup = new.cleanup(&project.name);
    project.plan(
        registry.address(),
        "platforms:\n  linux/amd64: { engine: old }\n  linux/arm64: { engine: new }\n  linux/arm/v7:",
    );
    let plan = std::fs::read_to_string(project.path("build.yaml")).unwrap();
    let engines = format!(
        "engines:\n  old: {{ host: '{}' }}\n  new: {{ host: '{}', platforms: [linux/arm64, linux/arm/v7] }}\n",
        old.host, new.host
    );
    project.write("build.yaml", plan + &engines);
    let report = project.build(&[]).await;
    let platforms = report["images"][0]["platforms"].as_array().unwrap();
    let engines: Vec<_> = platforms.iter().map(|platform| platform["engine"].as_str().unwrap()).collect();
    assert_eq!(engines, ["old", "new", "new"]);
    project.run(&["verify", &project.name]).await.expect_code(0);
    crane(&["validate", "--remote", &project.reference(registry.address(), "1.0")]).await;
}
