//! Several registries: what an engine built to the first one is in the others, and is pulled from there.

use std::collections::BTreeSet;

use crate::joining::imagetools;
use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

#[tokio::test]
async fn attested_build_runs_from_every_registry() {
    let registries = [Setup::Plain, Setup::Plain].map(Distribution::start);
    let list = format!("[{}, \"{}/mirror\"]", registries[0].address(), registries[1].address());
    let arch_tags = ["1.0-amd64", "1.0-arm64"];
    for (what, settings, named) in [("copied", "", &arch_tags[..]), ("untagged", "\narch_tags: none", &[])] {
        let project = Project::new(Engine::new(), what);
        project.busybox("CMD [\"/bin/busybox\", \"echo\", \"it runs\"]\n");
        project.plan(&list, &format!("platforms: [linux/amd64, linux/arm64]\nprovenance: min{settings}"));
        let built = project.run(&["build"]).await.expect_code(0);
        let first = format!("{}/{}", registries[0].address(), project.name);
        let second = format!("{}/mirror/{}", registries[1].address(), project.name);
        let tags = crane(&["ls", &second]).await;
        let expected: BTreeSet<_> = named.iter().copied().chain(["1.0", "latest"]).collect();
        assert_eq!(tags.split_whitespace().collect::<BTreeSet<_>>(), expected);
        let mut lines = Vec::new();
        for tag in expected {
            let digests = [
                crane(&["digest", &format!("{first}:{tag}")]).await,
                crane(&["digest", &format!("{second}:{tag}")]).await,
            ];
            assert_eq!(digests[0], digests[1], "{tag}");
            if tag == "latest" {
                lines = [&first, &second].map(|repository| format!("{repository}@{}", digests[0].trim())).to_vec();
            }
        }
        assert_eq!(built.stdout.lines().collect::<Vec<_>>(), lines);
        // What is attested is there with what it holds.
        let provenance = imagetools(&format!("{second}:1.0"), ".Provenance").await;
        assert!(provenance["linux/arm64"]["SLSA"].is_object(), "{provenance:#}");
        assert_eq!(project.run(&["verify", &project.name]).await.expect_code(0).stdout, built.stdout);
        for engine in Engine::both() {
            let _cleanup = engine.cleanup(&project.name);
            for platform in ["linux/amd64", "linux/arm64"] {
                let reference = format!("{second}:1.0");
                let run = engine.docker(["run", "--rm", "--pull", "always", "--platform", platform, &reference]).await;
                assert_eq!(parts::printed(&run).trim(), "it runs", "{} {platform}", engine.host);
            }
        }
    }
}
