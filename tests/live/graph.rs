//! The engine that hosted CI runners have: new, with a graph driver. What its image store cannot hold is refused before
//! anything is built, and the error says how to turn containerd's store on.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};

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
async fn what_a_graph_driver_cannot_do_is_refused_with_how_to_turn_the_containerd_store_on() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::graph(), "graph");
    project.busybox("");
    for (settings, keys) in REFUSED {
        project.plan(registry.address(), &format!("platforms: [linux/amd64]\n{settings}"));
        let refused = project.run(&["build"]).await.expect_code(3);
        let words = format!("cannot build {} linux/amd64 with {keys}: ", project.name);
        for words in [&*words, TURN_ON, "docker/setup-docker-action", "leave the key out"] {
            assert!(refused.stderr.contains(words), "{settings}: no {words:?} in\n{}", refused.stderr);
        }
        assert!(refused.stdout.is_empty(), "{settings}");
    }
    // Two foreign platforms have no name that shows both.
    project.plan("local", "platforms: [linux/amd64, linux/arm64, linux/arm/v7]");
    let refused = project.run(&["build", "--load", "--platform", "linux/arm64,linux/arm/v7"]).await.expect_code(3);
    for words in ["keeps one platform under a name", "with --platform, or turn on", TURN_ON] {
        assert!(refused.stderr.contains(words), "no {words:?} in\n{}", refused.stderr);
    }
    assert!(registry.requests().iter().all(|asked| !asked.starts_with("PUT") && !asked.starts_with("POST")));
}

#[tokio::test]
async fn the_plan_that_was_refused_is_built_once_the_containerd_store_is_turned_on() {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&Engine::graph(), "turned-on").await;
    let project = Project::new(private.engine.clone(), "turned-on");
    project.busybox("");
    let settings = "platforms: [linux/amd64]\nprovenance: max\narch_tags: none\ncompression: zstd\n\
                    cache: { registry: true, mode: max }";
    project.plan(registry.address(), settings);
    let refused = project.run(&["build"]).await.expect_code(3);
    assert!(refused.stderr.contains(TURN_ON), "{}", refused.stderr);
    // As the error says.
    fs::write(private.configuration(), r#"{"features": {"containerd-snapshotter": true}}"#).unwrap();
    private.signal(Signal::KILL);
    private.restart().await;
    project.run(&["build"]).await.expect_code(0);
    let tags = crane(&["ls", &format!("{}/{}", registry.address(), project.name)]).await;
    let tags: BTreeSet<_> = tags.lines().collect();
    assert_eq!(tags, BTreeSet::from(["1.0", "buildcache-amd64", "latest"]));
}
