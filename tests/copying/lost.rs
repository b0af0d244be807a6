//! Registries that lost a part of an image, as garbage collections and retention rules make them. The manifest is
//! there, and a blob that it names is not. No tag moves to that manifest, and nothing calls it verified.

use polyarch::oci::Digest;

use super::{push, run};
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::program::{Finished, Home};

/// The layer that every image of [`push`] has.
const SHARED: &[u8] = b"shared";

/// The layer that only one image has.
fn own(arch: &str) -> Digest {
    Digest::of(format!("of {arch}").repeat(1000).as_bytes())
}

/// The statement of an image's attestation.
fn statement(arch: &str) -> Digest {
    Digest::of(arch.as_bytes())
}

/// A registry with two images under arch tags.
async fn registry() -> Distribution {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "web");
    for arch in ["amd64", "arm64"] {
        push(&peer, &format!("1-{arch}"), arch).await;
    }
    registry
}

async fn join(registry: &Distribution) -> Finished {
    let name = |tag: &str| format!("{}/web:{tag}", registry.address());
    run(&Home::new(), &["join", "-t", &name("1"), &name("1-amd64"), &name("1-arm64")]).await
}

/// The digest that `tag` shows.
async fn shown(registry: &Distribution, name: &str, tag: &str) -> Option<Digest> {
    let answer = Peer::new(&registry.base(), name).get(&format!("manifests/{tag}")).await.unwrap();
    answer.is(200).ok().map(|answer| Digest::of(&answer.body))
}

fn names(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "stderr does not say {text:?}:\n{}", finished.stderr);
    }
    assert!(finished.stdout.is_empty() && !finished.stderr.contains("verified"), "{}", finished.stderr);
}

#[tokio::test]
async fn join_moves_no_tag_when_the_registry_lost_a_blob() {
    for lost in [own("arm64"), Digest::of(SHARED), statement("amd64")] {
        let registry = registry().await;
        registry.lose(&lost);
        let refused = join(&registry).await.expect_code(7);
        names(&refused, &[lost.as_str(), "web:1 not moved", "build and push the image again"]);
        assert_eq!(shown(&registry, "web", "1").await, None, "{lost}");
    }
}

#[tokio::test]
async fn unchanged_join_reports_a_blob_that_the_registry_lost() {
    let registry = registry().await;
    join(&registry).await.expect_code(0);
    let before = shown(&registry, "web", "1").await;
    registry.lose(&own("arm64"));
    let refused = join(&registry).await.expect_code(7);
    names(&refused, &["linux/arm64", own("arm64").as_str(), "web:1 cannot be pulled"]);
    assert_eq!(shown(&registry, "web", "1").await, before);
}

#[tokio::test]
async fn copy_within_a_repository_with_a_lost_blob_moves_no_tag() {
    for lost in [own("arm64"), statement("arm64")] {
        let registry = registry().await;
        join(&registry).await.expect_code(0);
        registry.lose(&lost);
        let name = |tag: &str| format!("{}/web:{tag}", registry.address());
        let refused = run(&Home::new(), &["copy", &name("1"), &name("stable")]).await.expect_code(7);
        names(&refused, &[lost.as_str(), "web:stable not copied"]);
        assert_eq!(shown(&registry, "web", "stable").await, None);
    }
}

#[tokio::test]
async fn copy_resends_blobs_that_the_target_lost() {
    let (from, to) = (registry().await, Distribution::start(Setup::Plain));
    join(&from).await.expect_code(0);
    let (source, target) = (format!("{}/web:1", from.address()), format!("{}/web:1", to.address()));
    run(&Home::new(), &["copy", &source, &target]).await.expect_code(0);
    let before = shown(&to, "web", "1").await;
    for lost in [own("arm64"), Digest::of(SHARED), statement("amd64")] {
        to.lose(&lost);
        run(&Home::new(), &["copy", &source, &target]).await.expect_code(0);
        run(&Home::new(), &["verify", &target]).await.expect_code(0);
    }
    from.lose(&own("arm64"));
    // The target still has the layer that its source lost.
    run(&Home::new(), &["copy", &source, &target]).await.expect_code(0);
    to.lose(&own("arm64"));
    let refused = run(&Home::new(), &["copy", &source, &target]).await.expect_code(7);
    names(&refused, &[own("arm64").as_str()]);
    assert_eq!(shown(&to, "web", "1").await, before);
}

#[tokio::test]
async fn join_resends_blobs_that_a_second_registry_lost() {
    let (from, to) = (registry().await, Distribution::start(Setup::Plain));
    let name = |tag: &str| format!("{}/web:{tag}", from.address());
    let target = format!("{}/web:1", to.address());
    let args = ["join", "-t", &name("1"), "-t", &target, &name("1-amd64"), &name("1-arm64")].map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&Home::new(), &args).await.expect_code(0);
    to.lose(&own("amd64"));
    let again = run(&Home::new(), &args).await.expect_code(0);
    assert!(again.stderr.contains("unchanged"), "{}", again.stderr);
    run(&Home::new(), &["verify", &target]).await.expect_code(0);
    // Nothing can fill the first registry again: its tags stay, and so do those of the second.
    from.lose(&own("amd64"));
    let refused = run(&Home::new(), &args).await.expect_code(7);
    names(&refused, &[own("amd64").as_str()]);
    let new = ["join", "-t", &name("2"), "-t", &target.replace(":1", ":2"), &name("1-amd64"), &name("1-arm64")];
    run(&Home::new(), &new).await.expect_code(7);
    for registry in [&from, &to] {
        assert_eq!(shown(registry, "web", "2").await, None);
    }
}

/// docker-registry keeps what it has, whatever is pushed in its place.
#[tokio::test]
async fn copy_moves_no_tag_when_a_target_blob_has_another_size() {
    let (from, to) = (registry().await, Distribution::start(Setup::Plain));
    join(&from).await.expect_code(0);
    let name = |registry: &Distribution, tag: &str| format!("{}/web:{tag}", registry.address());
    run(&Home::new(), &["copy", &name(&from, "1"), &name(&to, "1")]).await.expect_code(0);
    for broken in [own("arm64"), statement("amd64")] {
        to.truncate(&broken, 3);
        let args = ["copy", &name(&from, "1"), &name(&to, "stable")];
        let refused = run(&Home::new(), &args).await.expect_code(7);
        names(&refused, &["has 3 bytes in the registry, but", broken.as_str()]);
        let sources = [name(&from, "1-amd64"), name(&from, "1-arm64")];
        let joined = ["join", "-t", &name(&from, "2"), "-t", &name(&to, "stable"), &sources[0], &sources[1]];
        let refused = run(&Home::new(), &joined).await.expect_code(7);
        names(&refused, &["has 3 bytes in the registry, but", broken.as_str()]);
        assert_eq!(shown(&to, "web", "stable").await, None);
        to.lose(&broken);
        run(&Home::new(), &["copy", &name(&from, "1"), &name(&to, "1")]).await.expect_code(0);
    }
}

#[tokio::test]
async fn import_resends_blobs_that_the_target_registry_lost() {
    let (from, to) = (registry().await, Distribution::start(Setup::Plain));
    join(&from).await.expect_code(0);
    let home = Home::new();
    let plan = format!(
        "version: 1\nregistry: {}\nimages: {{ web: {{ from: \"{}/web:1\", tags: [\"1\"], platforms: [linux/amd64, linux/arm64] }} }}\n",
        to.address(),
        from.address()
    );
    std::fs::write(home.path().join("build.yaml"), plan).unwrap();
    run(&home, &["build"]).await.expect_code(0);
    for lost in [own("arm64"), Digest::of(SHARED), statement("amd64")] {
        to.lose(&lost);
        run(&home, &["build"]).await.expect_code(0);
        run(&home, &["verify"]).await.expect_code(0);
    }
    from.lose(&own("arm64"));
    to.lose(&own("arm64"));
    let refused = run(&home, &["build"]).await.expect_code(7);
    names(&refused, &[own("arm64").as_str()]);
}
