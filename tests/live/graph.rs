//! The engine that hosted CI runners have: new, with a graph driver. Before it builds anything, polyarch refuses what
//! the engine's image store cannot hold. The error says how to turn containerd's store on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

/// Each setting of a plan that such an engine cannot do, and the keys that the error names.
const REFUSED: [(&str, &str); 13] = [
    ("cache: { registry: true, mode: max }", "`cache`"),
    ("cache: { to: { type: registry, ref: \":elsewhere\" } }", "`cache`"),
    ("cache: { to: { type: local, dest: cache } }", "`cache`"),
    ("provenance: min", "`provenance`"),
    ("provenance: max\nsbom: true", "`provenance`, `sbom`"),
    ("arch_tags: none", "`arch_tags`"),
    ("compression: zstd", "`compression`"),
    ("compression_level: 3", "`compression_level`"),
    ("force_compression: true", "`force_compression`"),
    ("rewrite_timestamp: true\nargs: { SOURCE_DATE_EPOCH: \"0\" }", "`rewrite_timestamp`"),
    ("oci_mediatypes: true", "`oci_mediatypes`"),
    ("annotations: { a: b }", "`annotations`"),
    ("cache: { registry: true }\ncompression: zstd", "`compression`"),
];

const TURN_ON: &str = "turn on the engine's containerd image store: \"features\": {\"containerd-snapshotter\": true} in \
                       /etc/docker/daemon.json, and restart it";

#[tokio::test]
async fn graph_driver_refusals_hint_the_containerd_store() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::graph(), "graph");
    project.busybox("");
    for (settings, keys) in REFUSED {
        project.plan(registry.address(), &format!("platforms: [linux/amd64]\n{settings}"));
        let refused = project.run(&["build"]).await.expect_code(3);
        let words = format!("cannot build {} linux/amd64 with {keys}: ", project.name);
        for words in [&*words, TURN_ON, "docker/setup-docker-action", "remove the key"] {
            assert!(refused.stderr.contains(words), "{settings}: no {words:?} in\n{}", refused.stderr);
        }
        assert!(refused.stdout.is_empty(), "{settings}");
    }
    // Two foreign platforms have no name that shows both.
    project.plan("local", "platforms: [linux/amd64, linux/arm64, linux/arm/v7]");
    let refused = project.run(&["build", "--load", "--platform", "linux/arm64,linux/arm/v7"]).await.expect_code(3);
    for words in ["can name only one platform of an image", "with --platform, or turn on", TURN_ON] {
        assert!(refused.stderr.contains(words), "no {words:?} in\n{}", refused.stderr);
    }
    assert!(registry.requests().iter().all(|asked| !asked.starts_with("PUT") && !asked.starts_with("POST")));
}

#[tokio::test]
async fn refused_plan_builds_after_enabling_the_containerd_store() {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&Engine::graph(), "turned-on").await;
    let project = Project::new(private.engine.clone(), "turned-on");
    project.busybox("");
    let settings = "platforms: [linux/amd64]\nprovenance: max\narch_tags: none\ncompression: zstd\n\
                    cache: { registry: true, mode: max }";
    project.plan(registry.address(), settings);
    let refused = project.run(&["build"]).await.expect_code(3);
    assert!(refused.stderr.contains(TURN_ON), "{}", refused.stderr);
    // The engine gets the setting that the error names.
    fs::write(private.configuration(), r#"{"features": {"containerd-snapshotter": true}}"#).unwrap();
    private.signal(Signal::KILL);
    private.restart().await;
    project.run(&["build"]).await.expect_code(0);
    let tags = crane(&["ls", &format!("{}/{}", registry.address(), project.name)]).await;
    let tags: BTreeSet<_> = tags.lines().collect();
    assert_eq!(tags, BTreeSet::from(["1.0", "buildcache-amd64", "latest"]));
}

#[tokio::test]
async fn example_plan_builds_like_its_workflow_and_hits_its_cache() {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&Engine::graph(), "hosted").await;
    let project = Project::new(private.engine.clone(), "hosted");
    // Nobody can guess this result: two images that have the same one share one run of the step.
    project.busybox(
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /proc/sys/kernel/random/uuid > /made\"]\nCOPY version /\n",
    );
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci/build.yaml");
    let plan = fs::read_to_string(examples).unwrap();
    assert!(plan.contains("\n  hello:\n    context: .\n"), "{plan}");
    let plan = plan.replace("  hello:\n    context: .\n", &format!("  {}:\n    context: context\n", project.name));
    project.write("build.yaml", plan);
    let mut made = Vec::new();
    for (sha, version) in [("1".repeat(40), "one"), ("2".repeat(40), "two")] {
        project.write("context/version", version);
        let host = registry.address().to_string();
        // github.yaml: a job for each platform, then the join.
        for args in [
            &["build", &project.name, "--platform", "linux/amd64", "--no-join"][..],
            &["build", &project.name, "--platform", "linux/arm64", "--no-join"],
            &["join"],
        ] {
            let args = [args, &["--registry", &host]].concat();
            project.command(&args).env("GITHUB_SHA", &sha).finish().await.expect_code(0);
            // Each runner has an engine of its own.
            parts::printed(&project.engine.docker(["builder", "prune", "--all", "--force"]).await);
        }
        for (platform, arch) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64")] {
            let image = project.reference(&host, &format!("{sha}-{arch}"));
            let platform = format!("--platform={platform}");
            let run = ["run", "--rm", "--network=none", &platform, &image, "/bin/busybox", "cat", "/made", "/version"];
            made.push(parts::printed(&project.engine.docker(run).await));
        }
        // The engine also forgets the images that it loaded.
        let images = parts::printed(&project.engine.docker(["images", "--all", "--quiet"]).await);
        let images: Vec<_> = images.split_whitespace().collect();
        project.engine.docker(["rmi", "--force"].iter().chain(&images)).await;
        parts::printed(&project.engine.docker(["builder", "prune", "--all", "--force"]).await);
    }
    let without_version = |text: &String| text.trim_end_matches("one").trim_end_matches("two").to_owned();
    let [amd64, arm64, amd64_again, arm64_again] = &made[..] else { panic!("{made:?}") };
    assert!(amd64.ends_with("one") && amd64_again.ends_with("two"), "{made:?}");
    assert_eq!(without_version(amd64), without_version(amd64_again), "the cache of `latest` was not hit");
    assert_eq!(without_version(arm64), without_version(arm64_again), "the cache of `latest` was not hit");
    assert_ne!(without_version(amd64), without_version(arm64));
}

#[tokio::test]
async fn vulnerable_engine_warning_depends_on_reported_versions() {
    for (engine, warned) in [(Engine::old(), true), (Engine::new(), false), (Engine::graph(), false)] {
        let project = Project::new(engine, "versions");
        project.busybox("");
        project.plan("local", "platforms: [linux/amd64]");
        let built = project.run(&["build", "--load"]).await.expect_code(0);
        let said = built.stderr.matches("known vulnerabilities that let a build escape").count();
        assert_eq!(said > 0, warned, "{}: {}", project.engine.host, built.stderr);
        let buildkit = built.stderr.contains("its BuildKit (CVE-2024-23651");
        assert_eq!(buildkit, warned, "{}", built.stderr);
    }
}
