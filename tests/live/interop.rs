//! What others made is joined, and what is joined is what others read: Docker's images and OCI's, indexes in indexes,
//! and what the real buildx attested.

use polyarch::oci::Digest;
use serde_json::Value;

use crate::joining::{each_platform_is_pulled_and_runs, entries, imagetools, push_with_provenance};
use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Runs a tool to its good end.
async fn tool(name: &str, args: &[&str]) -> String {
    parts::printed(&parts::tool(name, args).await)
}

/// What others pushed: under `docker-amd64` and `docker-arm64` images as Docker Engine 20.10 pushes them, under
/// `1.0-amd64` and `1.0-arm64` indexes of buildx, each of an image and its provenance.
struct Made {
    registry: Distribution,
    project: Project,
}

impl Made {
    async fn start(what: &str) -> Self {
        let registry = Distribution::start(Setup::Plain);
        let project = Project::new(Engine::old(), what);
        project.busybox(&format!("LABEL of={}\n", project.name));
        project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
        project.run(&["build", "--no-join"]).await.expect_code(0);
        let made = Self { registry, project };
        for arch in ["amd64", "arm64"] {
            let docker = format!("docker-{arch}");
            crane(&["tag", &made.name(&format!("1.0-{arch}")), &docker]).await;
            let pushed: Value = serde_json::from_str(&crane(&["manifest", &made.name(&docker)]).await).unwrap();
            assert_eq!(pushed["mediaType"], DOCKER);
            push_with_provenance(&made.project, &made.registry, arch).await;
        }
        made
    }

    fn name(&self, tag: &str) -> String {
        self.project.reference(self.registry.address(), tag)
    }

    /// The same in another repository.
    fn elsewhere(&self, by: &str, tag: &str) -> String {
        format!("{}/{}-by-{by}:{tag}", self.registry.address(), self.project.name)
    }

    /// Joins what is under these tags; all of it is true. Gives the index's entries.
    async fn joined(&self, tags: &[&str]) -> Vec<Value> {
        let sources: Vec<_> = tags.iter().map(|tag| self.name(tag)).collect();
        let sources: Vec<_> = sources.iter().map(String::as_str).collect();
        self.joined_as("joined", &sources).await
    }

    async fn joined_as(&self, tag: &str, sources: &[&str]) -> Vec<Value> {
        let target = self.name(tag);
        let published = self.project.run(&[&["join", "-t", &target], sources].concat()).await.expect_code(0).stdout;
        assert_eq!(self.project.run(&["verify", &target]).await.expect_code(0).stdout, published, "{sources:?}");
        let entries = entries(&target).await;
        let images = entries.iter().map(|entry| &entry["platform"]["architecture"]).filter(|arch| *arch != "unknown");
        assert_eq!(images.collect::<Vec<_>>(), ["amd64", "arm64"], "{sources:?}");
        entries
    }
}

fn attestations(entries: &[Value]) -> usize {
    entries.iter().filter(|entry| entry["platform"]["architecture"] == "unknown").count()
}

#[tokio::test]
async fn images_and_indexes_of_crane_are_joined() {
    let made = Made::start("crane").await;
    let of_docker = made.joined(&["docker-amd64", "docker-arm64"]).await;
    let of_buildx = made.joined(&["1.0-amd64", "1.0-arm64"]).await;
    assert_eq!((attestations(&of_docker), attestations(&of_buildx)), (0, 2));
    // An index of indexes, and one of images.
    let (amd64, arm64, target) = (made.name("1.0-amd64"), made.name("1.0-arm64"), made.name("nested"));
    crane(&["index", "append", "--flatten=false", "-m", &amd64, "-m", &arm64, "-t", &target]).await;
    assert!(entries(&target).await.iter().all(|entry| entry["mediaType"] == OCI_INDEX));
    assert_eq!(made.joined(&["nested"]).await, of_buildx);
    let (amd64, arm64, target) = (made.name("docker-amd64"), made.name("docker-arm64"), made.name("flat"));
    crane(&["index", "append", "--docker-empty-base", "-m", &amd64, "-m", &arm64, "-t", &target]).await;
    assert_eq!(made.joined(&["flat"]).await, of_docker);
    // An image that went through a file.
    let file = made.project.path("image.tar");
    let file = file.to_str().unwrap();
    crane(&["pull", &arm64, file]).await;
    crane(&["push", file, &made.name("pushed")]).await;
    let mixed = made.joined(&["1.0-amd64", "pushed"]).await;
    assert_eq!((attestations(&mixed), &mixed[0]), (1, &of_buildx[0]));
}

#[tokio::test]
async fn images_and_indexes_of_oras_are_joined() {
    let made = Made::start("oras").await;
    let of_buildx = made.joined(&["1.0-amd64", "1.0-arm64"]).await;
    // An index of an index and of an image of Docker's, and one that lists that.
    let create = ["manifest", "index", "create", "--plain-http"];
    let (nested, deeper) = (made.name("nested"), made.name("deeper"));
    tool("oras", &[&create[..], &[&nested, "1.0-amd64", "docker-arm64"]].concat()).await;
    tool("oras", &[&create[..], &[&deeper, "nested"]].concat()).await;
    let mixed = made.joined(&["nested"]).await;
    assert_eq!([&mixed[0], &mixed[2]], [&of_buildx[0], &of_buildx[2]]);
    assert_eq!(mixed[1]["mediaType"], DOCKER);
    assert_eq!(made.joined(&["deeper"]).await, mixed);
    // An image whose manifest is pushed by hand, and an index that is copied.
    let manifest = parts::tool("crane", ["manifest", "--platform=linux/arm64", &made.name("1.0-arm64")]).await;
    made.project.write("manifest.json", manifest.stdout);
    let file = made.project.path("manifest.json");
    tool("oras", &["manifest", "push", "--plain-http", &made.name("pushed"), file.to_str().unwrap()]).await;
    let (from, copied) = (made.name("1.0-amd64"), made.elsewhere("oras", "copied"));
    tool("oras", &["cp", "--from-plain-http", "--to-plain-http", &from, &copied]).await;
    let joined = made.joined_as("joined", &[&copied, &made.name("pushed")]).await;
    assert_eq!(joined, of_buildx[..3]);
}

#[tokio::test]
async fn images_converted_by_skopeo_are_joined() {
    let made = Made::start("skopeo").await;
    let [list, bare] = ["list", "bare"].map(|tag| made.name(tag));
    let children = ["docker-amd64", "docker-arm64", "1.0-amd64", "1.0-arm64"].map(|tag| made.name(tag));
    let join = ["join", "--index-format=docker", "-t", &list, &children[0], &children[1]];
    made.project.run(&join).await.expect_code(0);
    let join = ["join", "--attestations=strip", "-t", &bare, &children[2], &children[3]];
    made.project.run(&join).await.expect_code(0);
    for (format, source, media_type) in [("oci", &list, OCI), ("v2s2", &bare, DOCKER)] {
        let (from, to) = (format!("docker://{source}"), format!("docker://{}", made.name(format)));
        let copy = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
        tool("skopeo", &[&copy[..], &["--format", format, &from, &to]].concat()).await;
        let entries = made.joined(&[format]).await;
        assert!(entries.iter().all(|entry| entry["mediaType"] == media_type), "{format}: {entries:?}");
    }
}

#[tokio::test]
async fn images_and_lists_of_buildx_and_docker_are_joined() {
    let made = Made::start("docker").await;
    let (list, created) = (made.name("list"), made.name("created"));
    let docker = ["docker-amd64", "docker-arm64"].map(|tag| made.name(tag));
    tool("docker", &["manifest", "create", "--insecure", &list, &docker[0], &docker[1]]).await;
    tool("docker", &["manifest", "push", "--purge", "--insecure", &list]).await;
    assert_eq!(made.joined(&["list"]).await, made.joined(&["docker-amd64", "docker-arm64"]).await);
    let create = ["buildx", "imagetools", "create", "-t", &created, &made.name("1.0-amd64"), &docker[1]];
    tool("docker", &create).await;
    let mixed = made.joined(&["created"]).await;
    assert_eq!((attestations(&mixed), &mixed[1]["mediaType"]), (1, &DOCKER.into()));
    // What several tools list is listed once.
    let same = made.project.run(&["join", "-t", &made.name("joined"), &created, &docker[1]]).await.expect_code(0);
    assert!(same.stderr.contains("twice, and the index lists it once"), "{}", same.stderr);
}

#[tokio::test]
async fn joined_index_is_readable_by_every_tool_and_engine() {
    let made = Made::start("joined").await;
    let [amd64, arm64, nested] = ["1.0-amd64", "1.0-arm64", "nested"].map(|tag| made.name(tag));
    crane(&["index", "append", "--flatten=false", "-m", &amd64, "-m", &arm64, "-t", &nested]).await;
    let docker = ["docker-amd64", "docker-arm64"].map(|tag| made.name(tag));
    let as_list = ["--index-format=docker", &docker[0], &docker[1]];
    for (tag, sources, attested) in
        [("list", &as_list[..], 0), ("mixed", &[&amd64, &docker[1]], 1), ("flat", &[&nested], 2)]
    {
        assert_eq!(attestations(&made.joined_as(tag, sources).await), attested);
        is_read_by_every_tool(&made, tag).await;
        each_platform_is_pulled_and_runs(&made.project, &made.name(tag)).await;
    }
    let provenance = imagetools(&made.name("flat"), ".Provenance").await;
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(provenance[platform]["SLSA"].is_object(), "{provenance:#}");
    }
}

/// Every tool reads the same bytes, and takes them elsewhere as they are.
async fn is_read_by_every_tool(made: &Made, tag: &str) {
    let reference = made.name(tag);
    let raw = made.project.run(&["inspect", "--raw", &reference]).await.expect_code(0).stdout;
    let digest = Digest::of(raw.as_bytes()).to_string();
    assert_eq!(crane(&["digest", &reference]).await, digest);
    crane(&["validate", "--fast", "--remote", &reference]).await;
    let remote = format!("docker://{reference}");
    for (name, args) in [
        ("crane", &["manifest", &reference][..]),
        ("oras", &["manifest", "fetch", "--plain-http", &reference]),
        ("skopeo", &["inspect", "--raw", "--tls-verify=false", &remote]),
        ("docker", &["buildx", "imagetools", "inspect", "--raw", &reference]),
    ] {
        assert_eq!(tool(name, args).await, raw.trim_end(), "{name}");
    }
    let described = tool("oras", &["manifest", "fetch", "--descriptor", "--plain-http", &reference]).await;
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!((&described["digest"], &described["size"]), (&digest.as_str().into(), &raw.len().into()));
    let listed = tool("docker", &["manifest", "inspect", "--insecure", &reference]).await;
    let digests = |index: &str| -> Vec<Value> {
        let index: Value = serde_json::from_str(index).unwrap();
        index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].clone()).collect()
    };
    assert_eq!(digests(&listed), digests(&raw));
    let shown = tool("docker", &["buildx", "imagetools", "inspect", &reference]).await;
    assert!(shown.contains(&digest) && shown.contains("linux/arm64"), "{shown}");

    let [by_oras, by_skopeo] = ["oras", "skopeo"].map(|by| made.elsewhere(by, tag));
    tool("oras", &["cp", "--from-plain-http", "--to-plain-http", &reference, &by_oras]).await;
    let copy = ["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false"];
    let to = format!("docker://{by_skopeo}");
    tool("skopeo", &[&copy[..], &["--dest-tls-verify=false", &remote, &to]].concat()).await;
    for copied in [&by_oras, &by_skopeo] {
        let verified = made.project.run(&["verify", copied]).await.expect_code(0).stdout;
        assert!(verified.trim_end().ends_with(&digest), "{copied}: {verified}");
    }
}
