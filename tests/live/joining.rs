//! The joiner alone: what others pushed, one tag or an index a platform, becomes one index.

use serde_json::Value;

use crate::project::{Project, config, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(two_runners_push_and_a_third_joins_the_images, child_that_is_an_index_is_flattened);
on_the_graph_engine!(two_runners_push_and_a_third_joins_the_images);

/// An image of two platforms that no other test and no other run has.
fn project(engine: Engine, what: &str, registry: &Distribution) -> Project {
    let project = Project::new(engine, what);
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    project
}

async fn two_runners_push_and_a_third_joins_the_images(engine: Engine) {
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

/// Pushes the platform's arch tag with buildx, which makes an index of the image and its provenance. Gives its entries.
pub(crate) async fn push_with_provenance(project: &Project, registry: &Distribution, arch: &str) -> Vec<Value> {
    let child = project.reference(registry.address(), &format!("1.0-{arch}"));
    let (context, platform) = (project.context(), format!("--platform=linux/{arch}"));
    let args = ["buildx", "build", "--provenance=mode=max", &platform, "--push", "--tag", &child];
    let args = [&args[..], &[context.to_str().unwrap()]].concat();
    parts::printed(&Engine::new().docker(args).await);
    let pushed = entries(&child).await;
    assert_eq!(pushed.len(), 2, "an image and its attestation: {pushed:?}");
    pushed
}

pub(crate) async fn entries(reference: &str) -> Vec<Value> {
    let index: Value = serde_json::from_str(&crane(&["manifest", reference]).await).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

/// What buildx reads of an image: `.Provenance` or `.SBOM` of each platform.
pub(crate) async fn imagetools(reference: &str, what: &str) -> Value {
    let format = format!("--format={{{{json {what}}}}}");
    let args = ["buildx", "imagetools", "inspect", &format, reference];
    serde_json::from_str(&parts::printed(&parts::tool("docker", args).await)).unwrap()
}

pub(crate) async fn each_platform_is_pulled_and_runs(project: &Project, reference: &str) {
    for puller in Engine::both() {
        for (args, machine) in [(&[][..], "x86_64"), (&["--platform=linux/arm64"], "aarch64")] {
            let _cleanup = puller.cleanup(&project.name);
            parts::printed(&puller.docker([&["pull", "--quiet"], args, &[reference]].concat()).await);
            let run = [&["run", "--rm", "--network=none"], args, &[reference, "/bin/busybox", "uname", "-m"]].concat();
            assert_eq!(parts::printed(&puller.docker(run).await), machine, "{}", puller.host);
        }
    }
}

async fn child_that_is_an_index_is_flattened(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = project(engine, "flattened", &registry);
    let _cleanup = Engine::new().cleanup(&project.name);
    project.run(&["build", "--no-join", "--platform", "linux/arm64"]).await.expect_code(0);
    let pushed = push_with_provenance(&project, &registry, "amd64").await;

    let joined = project.run(&["join"]).await.expect_code(0);
    assert!(joined.stderr.contains("joined 2 platforms and 1 attestation as"), "{}", joined.stderr);
    let reference = project.reference(registry.address(), "1.0");
    let index = entries(&reference).await;
    assert_eq!(index.len(), 3, "{index:?}");
    assert_eq!(index[0]["digest"], pushed[0]["digest"]);
    assert_eq!(index[1]["platform"]["architecture"], "arm64");
    assert_eq!(index[2], pushed[1], "an attestation's entry is what buildx wrote");
    project.run(&["verify", &project.name]).await.expect_code(0);
    each_platform_is_pulled_and_runs(&project, &reference).await;

    let stripped = project.run(&["join", "--set", "*.attestations=strip"]).await.expect_code(0);
    assert!(stripped.stderr.contains("left out of the index: 1"), "{}", stripped.stderr);
    assert_eq!(entries(&reference).await, index[..2]);
}

#[tokio::test]
async fn buildx_provenance_survives_a_join() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "provenance", &registry);
    for arch in ["amd64", "arm64"] {
        push_with_provenance(&project, &registry, arch).await;
    }
    let digest = project.run(&["join"]).await.expect_code(0).stdout;
    let reference = project.reference(registry.address(), "1.0");
    let provenance = imagetools(&reference, ".Provenance").await;
    for arch in ["amd64", "arm64"] {
        let own = &provenance[format!("linux/{arch}")]["SLSA"];
        assert!(own["buildConfig"].to_string().contains(&format!("busybox-{arch}")), "{arch}: {own:#}");
        // Whoever reads images finds them as before.
        let found = config(&reference, &format!("linux/{arch}")).await;
        assert_eq!(found["architecture"], arch);
    }

    let raw = format!("docker://{reference}");
    let inspected = parts::printed(&parts::tool("skopeo", ["inspect", "--tls-verify=false", &raw]).await);
    assert!(inspected.contains("\"Architecture\": \"amd64\""), "{inspected}");
    let listed = ["manifest", "fetch", "--plain-http", "--platform=linux/arm64", &reference];
    parts::printed(&parts::tool("oras", listed).await);
    let seen = project.run(&["inspect", &reference]).await.expect_code(0).stdout;
    assert!(seen.contains("attestation of linux/amd64") && seen.contains("attestation of linux/arm64"), "{seen}");
    assert_eq!(project.run(&["verify", &reference]).await.expect_code(0).stdout, digest);
    each_platform_is_pulled_and_runs(&project, &reference).await;

    // The index as it was joined is a source, too, with what is its own.
    let target = project.reference(registry.address(), "2.0");
    let again = project.run(&["join", "-t", &target, &reference]).await.expect_code(0);
    assert_eq!(again.stdout, digest);
    let bare = project.run(&["join", "-t", &target, &reference, "--attestations", "strip"]).await.expect_code(0);
    assert!(bare.stderr.contains("left out of the index: 2"), "{}", bare.stderr);
    assert_eq!(imagetools(&target, ".Provenance").await, serde_json::json!({}));
}

#[tokio::test]
async fn join_into_another_registry_is_readable_by_other_tools() {
    let (here, there) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let project = project(Engine::new(), "across", &here);
    let children = ["amd64", "arm64"].map(|arch| project.reference(here.address(), &format!("1.0-{arch}")));
    for arch in ["amd64", "arm64"] {
        push_with_provenance(&project, &here, arch).await;
    }
    let target = project.reference(there.address(), "1.0");
    project.run(&["join", "-t", &target, &children[0], &children[1]]).await.expect_code(0);
    let mirror = format!("{}/mirror/{}:1.0", here.address(), project.name);
    let copied = project.run(&["copy", &target, &mirror]).await.expect_code(0);
    for reference in [&target, &mirror] {
        crane(&["validate", "--fast", "--remote", reference]).await;
        assert!(copied.stdout.trim_end().ends_with(&crane(&["digest", reference]).await), "{}", copied.stdout);
        let provenance = imagetools(reference, ".Provenance").await;
        assert!(provenance["linux/arm64"]["SLSA"].is_object(), "{provenance:#}");
        let raw = format!("docker://{reference}");
        let inspected = parts::printed(&parts::tool("skopeo", ["inspect", "--tls-verify=false", &raw]).await);
        assert!(inspected.contains("\"Architecture\": \"amd64\""), "{inspected}");
        each_platform_is_pulled_and_runs(&project, reference).await;
    }
}

#[tokio::test]
async fn images_of_two_engines_are_joined_in_the_registry() {
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
