//! Indexes that were changed under their tags, as the tools of others read them.

use serde_json::Value;

use crate::joining::{entries, imagetools, push_with_provenance};
use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

/// A tool's answer about `reference`.
async fn read(tool: &str, args: &[&str], reference: &str) -> Value {
    let printed = parts::printed(&parts::tool(tool, [args, &[reference]].concat()).await);
    serde_json::from_str(&printed).unwrap()
}

#[tokio::test]
async fn edited_index_is_readable_by_other_tools() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "edited");
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    let [amd64, arm64] = ["1.0-amd64", "1.0-arm64"].map(|tag| project.reference(registry.address(), tag));
    for arch in ["amd64", "arm64"] {
        push_with_provenance(&project, &registry, arch).await;
    }
    let target = project.reference(registry.address(), "1.0");
    let annotations = ["--annotation", "org.example.vendor=Acme", "--annotation", "entry[linux/amd64]:tier=1"];
    project.run(&[&["join", "-t", &target][..], &annotations, &[&amd64]].concat()).await.expect_code(0);
    // A second runner adds its platform, and says for which board it is.
    let board = project.reference(registry.address(), "board");
    let image = entries(&arm64).await[0]["digest"].as_str().unwrap().to_owned();
    crane(&["tag", &format!("{}@{image}", arm64.rsplit_once(':').unwrap().0), "board"]).await;
    let annotate = format!("{board}=linux/arm64/v9,os.version=11");
    let append = ["join", "-t", &target, "--append", "--annotate", &annotate, &board, &arm64];
    let joined = project.run(&append).await.expect_code(0);
    let all = entries(&target).await;
    assert_eq!(all.len(), 5, "three platforms, two attestations: {all:?}");

    // Whoever reads it reads the annotations, the override and what is attested.
    let docker = read("docker", &["manifest", "inspect", "--insecure"], &target).await;
    let oras = read("oras", &["manifest", "fetch", "--plain-http"], &target).await;
    let buildx = read("docker", &["buildx", "imagetools", "inspect", "--raw"], &target).await;
    for index in [&docker, &oras, &buildx] {
        let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]).collect();
        assert_eq!(platforms[0]["architecture"], "amd64", "{index:#}");
        assert_eq!((&platforms[1]["variant"], &platforms[1]["os.version"]), (&"v9".into(), &"11".into()), "{index:#}");
    }
    for index in [&oras, &buildx] {
        assert_eq!(index["annotations"]["org.example.vendor"], "Acme", "{index:#}");
        assert_eq!(index["manifests"][0]["annotations"]["tier"], "1", "{index:#}");
    }
    let shown = ["buildx", "imagetools", "inspect", &target];
    let shown = parts::printed(&parts::tool("docker", shown).await);
    assert!(shown.contains("linux/arm64/v9"), "{shown}");
    assert!(imagetools(&target, ".Provenance").await["linux/amd64"]["SLSA"].is_object());
    assert!(joined.stdout.trim_end().ends_with(&crane(&["digest", &target]).await), "{}", joined.stdout);

    // The board's image is taken out again, and nothing else.
    project.run(&["join", "-t", &target, "--remove", "linux/arm64/v9"]).await.expect_code(0);
    let left = entries(&target).await;
    assert_eq!(left.len(), 4, "{left:?}");
    assert_eq!([&left[0], &left[1]], [&all[0], &all[2]]);
    assert_eq!(crane(&["config", "--platform=linux/arm64", &target]).await, crane(&["config", &board]).await);
    // It takes no entry for true whose `os.version` is not in the config, as the board's.
    crane(&["validate", "--fast", "--remote", &target]).await;
    project.run(&["verify", &target]).await.expect_code(0);
}

#[tokio::test]
async fn index_of_buildx_is_edited_as_buildx_does() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "appended");
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    for arch in ["amd64", "arm64"] {
        push_with_provenance(&project, &registry, arch).await;
    }
    let tag = |tag: &str| project.reference(registry.address(), tag);
    let ([amd64, arm64], [ours, theirs]) = (["1.0-amd64", "1.0-arm64"].map(tag), ["ours", "theirs"].map(tag));
    let create = ["buildx", "imagetools", "create", "--annotation", "index:made.by=buildx", "-t"];
    for target in [&ours, &theirs] {
        parts::printed(&parts::tool("docker", [&create[..], &[target, &amd64]].concat()).await);
    }
    let append = ["buildx", "imagetools", "create", "--append", "-t", &theirs, &arm64];
    parts::printed(&parts::tool("docker", append).await);
    project.run(&["join", "-t", &ours, "--append", &arm64]).await.expect_code(0);
    let digests = |entries: Vec<Value>| {
        let mut digests: Vec<_> = entries.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect();
        digests.sort();
        digests
    };
    assert_eq!(digests(entries(&ours).await), digests(entries(&theirs).await));
    let index: Value = serde_json::from_str(&crane(&["manifest", &ours]).await).unwrap();
    assert_eq!(index["annotations"]["made.by"], "buildx", "{index:#}");
}
