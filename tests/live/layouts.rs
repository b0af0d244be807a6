//! Image layouts: those of skopeo, oras, crane and buildx are read and joined, and they read ours.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

async fn tool(name: &str, args: &[&str]) -> String {
    parts::printed(&parts::tool(name, args).await)
}

fn index(layout: &Path) -> Value {
    serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn layouts_are_exchanged_with_other_tools() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "layouts");
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    project.run(&["build"]).await.expect_code(0);
    let whole = project.reference(registry.address(), "1.0");
    let path = |name: &str| project.path(name).display().to_string();
    let [skopeo, oras, crane_dir, buildx, ours] = ["skopeo", "oras", "crane", "buildx", "ours"].map(path);

    // Each of them writes one.
    let (docker, oci) = (format!("docker://{whole}"), format!("oci:{skopeo}:1.0"));
    tool("skopeo", &["copy", "--all", "--src-tls-verify=false", &docker, &oci]).await;
    let (from, to) = (whole.as_str(), format!("{oras}:1.0"));
    tool("oras", &["copy", "--from-plain-http", "--to-oci-layout", from, &to]).await;
    crane(&["pull", "--insecure", "--format=oci", from, &crane_dir]).await;
    let output = format!("--output=type=oci,tar=false,dest={buildx}");
    let context = project.context();
    let args = ["buildx", "build", "--platform=linux/arm64", "--provenance=mode=max", &output];
    parts::printed(&Engine::new().docker([&args[..], &[context.to_str().unwrap()]].concat()).await);

    let digest = crane(&["digest", "--insecure", from]).await;
    for written in [&format!("oci:{skopeo}:1.0"), &format!("oci:{oras}:1.0"), &format!("oci:{crane_dir}")] {
        let name = written.trim_end_matches(":1.0");
        let verified = project.run(&["verify", written]).await.expect_code(0);
        // skopeo turns Docker's manifests into OCI's, which have other digests.
        let same = verified.stdout == format!("{name}@{digest}\n");
        assert_eq!(same, !written.contains("/skopeo:"), "{}", verified.stdout);
        // One image needs no tag, also where its children are listed beside it.
        assert_eq!(project.run(&["verify", name]).await.expect_code(0).stdout, verified.stdout);
    }

    // What is joined of them is joined into both.
    let amd64 = project.reference(registry.address(), "1.0-amd64");
    let joined = project.reference(registry.address(), "joined");
    let (layout, source) = (format!("oci:{ours}:1.0"), format!("oci:{buildx}"));
    let join = project.run(&["join", "-t", &joined, "-t", &layout, &amd64, &source]).await.expect_code(0);
    assert!(join.stderr.contains("joined 2 platforms and 1 attestation"), "{}", join.stderr);
    let raw = crane(&["manifest", "--insecure", &joined]).await;

    // And they read ours, byte for byte.
    assert_eq!(tool("skopeo", &["inspect", "--raw", &layout]).await, raw);
    assert_eq!(tool("oras", &["manifest", "fetch", "--oci-layout", &format!("{ours}:1.0")]).await, raw);
    let back = project.reference(registry.address(), "skopeo");
    tool("skopeo", &["copy", "--all", "--dest-tls-verify=false", &layout, &format!("docker://{back}")]).await;
    assert_eq!(crane(&["manifest", "--insecure", &back]).await, raw);
    // crane pushes the image of a layout that has one.
    let (alone, pushed) = (path("alone"), project.reference(registry.address(), "crane"));
    project.run(&["copy", "--platform=linux/arm64", &layout, &format!("oci:{alone}:1")]).await.expect_code(0);
    crane(&["push", "--insecure", &alone, &pushed]).await;
    let image = index(Path::new(&alone))["manifests"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(crane(&["digest", "--insecure", &pushed]).await, image);
    // What another tool adds to ours stays, and ours beside it.
    tool("skopeo", &["copy", "--all", &format!("oci:{skopeo}:1.0"), &format!("oci:{ours}:other")]).await;
    project.run(&["copy", &format!("oci:{ours}:other"), &format!("oci:{ours}:third")]).await.expect_code(0);
    let names: Vec<_> = index(Path::new(&ours))["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(names, ["1.0", "other", "third"]);
}
