//! The commands that read registries, on Debian's docker-registry and on the embedded one.

use polyarch::oci::{Digest, MediaType};
use rustix::process::Signal;
use serde_json::json;

use super::transcript::Transcript;
use super::{PLAN, plan};
use crate::registry_conformance::peer::{Peer, descriptor, image};
use crate::support::distribution::{Distribution, Setup};
use crate::support::program::{Home, Run};

/// Pushes an image of a platform under a tag.
async fn push(peer: &Peer, tag: &str, arch: &str) -> Vec<u8> {
    let config = json!({ "os": "linux", "architecture": arch, "rootfs": { "type": "layers", "diff_ids": [] } });
    push_image(peer, tag, &config).await
}

/// Pushes the image of a config under a tag.
async fn push_image(peer: &Peer, tag: &str, config: &serde_json::Value) -> Vec<u8> {
    let config = config.to_string().into_bytes();
    peer.blob(&config).await.unwrap();
    peer.blob(b"layer").await.unwrap();
    let manifest = image(&MediaType::DockerManifest, &config, b"layer");
    peer.manifest(tag, MediaType::DockerManifest.as_str(), &manifest).await.unwrap().is(201).unwrap();
    manifest
}

#[tokio::test]
async fn third_party_images_are_joined_inspected_and_verified() {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    plan(&home, &PLAN.replace("local", &address));
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    push(&peer, "1.0-amd64", "amd64").await;
    transcript.say("one platform is missing");
    transcript.run(["join"]).await.expect_code(6);
    push(&peer, "1.0-arm64", "arm64").await;
    transcript.run(["join", "--dry-run"]).await.expect_code(0);
    transcript.say("a dry run publishes nothing");
    transcript.run(["verify", &format!("{address}/hello:1.0")]).await.expect_code(7);
    transcript.run(["join", "--progress", "quiet"]).await.expect_code(0);
    transcript.run(["join", "--progress", "quiet", "--format", "json"]).await.expect_code(0);
    transcript.run(["inspect", &format!("{address}/hello:1.0")]).await.expect_code(0);
    transcript.run(["inspect", "--json", &format!("{address}/hello:latest")]).await.expect_code(0);
    transcript.run(["inspect", &format!("{address}/hello:1.0-arm64")]).await.expect_code(0);
    transcript.run(["verify"]).await.expect_code(0);
    transcript.run(["verify", "--format", "json", &format!("{address}/hello:1.0-arm64")]).await.expect_code(0);
    transcript.run(["inspect", &format!("{address}/missing:1.0")]).await.expect_code(7);
    transcript.is("registries");
    let bytes = Run::new(&home, ["join", "--dry-run"]).finish().await.stdout;
    let raw = Run::new(&home, ["inspect", "--raw", &format!("{address}/hello:1.0")]).finish().await.stdout;
    assert_eq!(raw, bytes, "what a dry run prints is what was published, byte for byte");
}

#[tokio::test]
async fn image_of_another_platform_is_neither_joined_nor_verified() {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    plan(&home, &PLAN.replace("local", &address));
    let amd64 = push(&peer, "1.0-amd64", "amd64").await;
    push(&peer, "1.0-arm64", "amd64").await;
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    transcript.run(["join", "--progress", "plain"]).await.expect_code(7);
    transcript.say("an index that says arm64 of an image for amd64");
    let mut entry = descriptor(MediaType::DockerManifest.as_str(), &amd64);
    entry["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let family = MediaType::DockerList;
    let index = json!({ "schemaVersion": 2, "mediaType": family, "manifests": [entry] }).to_string();
    peer.manifest("lie", family.as_str(), index.as_bytes()).await.unwrap().is(201).unwrap();
    transcript.run(["verify", &format!("{address}/hello:lie")]).await.expect_code(7);
    transcript.is("another-platform");
}

#[tokio::test]
async fn join_of_references_needs_no_plan() {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    let amd64 = push(&peer, "1-amd64", "amd64").await;
    push(&peer, "1-arm64", "arm64").await;
    push(&peer, "1-riscv64", "riscv64").await;
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    let name = |selector: &str| format!("{address}/hello{selector}");
    let digest = format!("@{}", Digest::of(&amd64));
    transcript.run(["join", "-t", &name(":1"), &name(":1-arm64"), &name(&digest)]).await.expect_code(0);
    transcript.say("an index stands for its images; the order is that of the command line");
    let all = ["join", "-t", &name(":2"), "-t", &name(":latest"), &name(":1-riscv64"), &name(":1")];
    transcript.run(all.iter().chain(&["--progress", "quiet"])).await.expect_code(0);
    transcript.run(["inspect", &name(":latest")]).await.expect_code(0);
    transcript.say("the same image twice is listed once; the index is changed under its tag");
    transcript.run(["join", "-t", &name(":2"), &name(":1-arm64"), &name(":2")]).await.expect_code(0);
    let arm = format!("{}=linux/arm/v7", name(":board"));
    push_image(&peer, "board", &json!({ "os": "linux", "architecture": "arm64", "author": "board" })).await;
    let (target, board) = (name(":2"), name(":board"));
    let edit = ["join", "-t", &target, "--append", "--remove=linux/amd64", "--annotation=org.example.vendor=Acme"];
    let edit = [&edit[..], &["--annotate", &arm, "--expect=linux/arm/v7,linux/riscv64,linux/arm64", &board]].concat();
    transcript.run(edit).await.expect_code(0);
    transcript.say("sources that polyarch cannot join");
    transcript.run(["join", "-t", &name(":3"), &name(":1-arm64"), &name(":board")]).await.expect_code(7);
    transcript
        .run(["join", "-t", &name(":3"), &name(":1"), "--expect", "linux/amd64,linux/s390x"])
        .await
        .expect_code(7);
    push_image(&peer, "3-arm64", &json!({ "os": "linux", "architecture": "amd64" })).await;
    transcript.run(["join", "-t", &name(":3"), "--progress", "quiet", &name(":3-arm64")]).await.expect_code(7);
    let unknown = ["join", "-t", &name(":3"), &name(":1"), "--annotate"];
    transcript.run(unknown.iter().chain(&["hello:1=linux/arm64"])).await.expect_code(2);
    transcript.run(unknown.iter().chain(&["linux/arm64"])).await.expect_code(2);
    transcript.run(["join", "-t", &name(":2"), "--remove", "linux/s390x", "--progress", "quiet"]).await.expect_code(7);
    transcript.run(["join", "-t", &name(":3"), "--append", "--progress", "quiet"]).await.expect_code(7);
    transcript.run(["join", "-t", &name(":3"), "--expect", "linux/amd64"]).await.expect_code(2);
    transcript.run(["join", "-t", &name(":3"), &name(":1"), "--annotation", "manifest:a=b"]).await.expect_code(2);
    transcript.run(["join", "-t", &name(":3"), &name(":1"), "--platform", "native"]).await.expect_code(2);
    transcript.run(["join", "--append", "hello"]).await.expect_code(2);
    transcript.run(["join", "-t", &name(":3"), &name(":nope"), "--progress", "quiet"]).await.expect_code(7);
    transcript.run(["join", "-t", &name(":3"), "--dry-run", &name(":nope")]).await.expect_code(7);
    transcript.run(["join", &name(":1-arm64")]).await.expect_code(2);
    transcript.run(["join", "-t", "3", &name(":1-arm64")]).await.expect_code(2);
    transcript.run(["join", "-t", &name(&digest), &name(":1-arm64")]).await.expect_code(2);
    transcript.run(["join", "-t", &name(":3"), "hello", &name(":1-arm64")]).await.expect_code(2);
    transcript.run(["join", "-t", &name(":3"), &name(":1-arm64"), "--registry", "local"]).await.expect_code(2);
    transcript.run(["inspect", &name(":3")]).await.expect_code(7);
    transcript.is("references");
}

#[tokio::test]
async fn images_lists_repositories_by_plan_and_by_name() {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    plan(&home, &PLAN.replace("local", &address));
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    transcript.run(["images"]).await.expect_code(7);
    for arch in ["amd64", "arm64"] {
        push(&peer, &format!("1.0-{arch}"), arch).await;
    }
    transcript.run(["join", "--progress", "quiet"]).await.expect_code(0);
    push(&peer, "1.1-riscv64", "riscv64").await;
    transcript.run(["images"]).await.expect_code(0);
    transcript.run(["images", "hello", "--json"]).await.expect_code(0);
    transcript.run(["images", &format!("{address}/hello:1.0")]).await.expect_code(2);
    transcript.run(["images", "helo"]).await.expect_code(2);
    transcript.is("images");
}

/// Pushes what polyarch built of the plan on a day, for two platforms, and joins it.
async fn publish(transcript: &mut Transcript<'_>, peer: &Peer, version: &str, day: &str) {
    for arch in ["amd64", "arm64"] {
        push_image(peer, &format!("{version}-{arch}"), &built(arch, day)).await;
    }
    transcript.run(["join", "--tag", version, "--tag", "latest", "--progress", "quiet"]).await.expect_code(0);
}

/// The config of an image that polyarch built. A day to come is no time ago in every year.
fn built(arch: &str, day: &str) -> serde_json::Value {
    let config = json!({ "Labels": { "dev.polyarch.image": "hello" } });
    let rootfs = json!({ "type": "layers", "diff_ids": [] });
    json!({ "os": "linux", "architecture": arch, "created": format!("{day}T00:00:00Z"), "config": config, "rootfs": rootfs })
}

#[tokio::test]
async fn clean_deletes_old_publications_and_only_their_images() {
    let registry = Distribution::start(Setup::Deleting);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    plan(&home, &PLAN.replace("local", &address));
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    // Cached builds: the newer a version, the older the date in its config.
    for (version, day) in [("1.0.0", "2999-01-03"), ("1.1.0", "2999-01-02"), ("1.2.0", "2999-01-01")] {
        publish(&mut transcript, &peer, version, day).await;
    }
    push_image(&peer, "0.9.0-riscv64", &built("riscv64", "2998-01-01")).await;
    push_image(&peer, "1.3.0-riscv64", &built("riscv64", "2998-01-04")).await;
    push(&peer, "other", "amd64").await;
    let signature = format!(
        "sha256-{}.sig",
        &peer.head("manifests/1.0.0").await.unwrap().header("docker-content-digest").unwrap()[7..]
    );
    push(&peer, &signature, "s390x").await;
    let name = format!("{address}/hello");
    transcript.say("the registry does not say when anything was pushed, and a config not when it was published");
    transcript.run(["clean", "hello", "--keep", "1"]).await.expect_code(0);
    transcript.run(["clean", "hello", "--keep", "1", "--apply"]).await.expect_code(7);
    transcript.run(["clean", "hello", "--keep", "9", "--apply"]).await.expect_code(0);
    let by_version = |keep: &'static str| ["clean", name.as_str(), "--order", "version", "--keep", keep];
    transcript.say("of an image of the plan the tags of now stay");
    transcript.run(["clean", "hello", "--order", "version", "--keep", "1"]).await.expect_code(0);
    transcript.run(by_version("1").iter().chain(&["--keep-tag", "*.1.0"])).await.expect_code(0);
    transcript
        .run(by_version("1").iter().chain(&["--all", "--drop-tag", "0.9*", "--drop-tag", "other"]))
        .await
        .expect_code(0);
    transcript.run(["clean", &name, "--keep", "0", "--json"]).await.expect_code(0);
    assert!(registry.requests().iter().all(|request| !request.starts_with("DELETE ")), "it was only shown");
    transcript.run(by_version("2").iter().chain(&["--apply"])).await.expect_code(0);
    transcript.run(["images"]).await.expect_code(0);
    transcript.run(["verify", &format!("{name}:1.1.0"), &format!("{name}:latest")]).await.expect_code(0);
    transcript.run(by_version("2").iter().chain(&["--apply"])).await.expect_code(0);
    transcript.say("a pattern names the tags to delete");
    let dropped = ["--drop-tag", "latest", "--drop-tag", "1.3.0-*", "--apply"];
    transcript.run(["clean", &name, "--keep", "0"].iter().chain(&dropped)).await.expect_code(0);
    transcript.run(["clean", &name]).await.expect_code(2);
    transcript.run(["clean", "--keep", "1"]).await.expect_code(2);
    transcript.run(["clean", &format!("{name}:1.1.0"), "--keep", "1"]).await.expect_code(2);
    transcript.is("clean");
}

#[tokio::test]
async fn clean_reports_a_registry_without_deletion_with_a_hint() {
    let registry = Distribution::start(Setup::Plain);
    let peer = Peer::new(&registry.base(), "hello");
    let home = Home::new();
    let address = registry.address().to_string();
    plan(&home, &PLAN.replace("local", &address));
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    publish(&mut transcript, &peer, "1.0", "2999-01-01").await;
    let name = format!("{address}/hello");
    transcript.run(["clean", &name, "--keep", "0", "--drop-tag", "latest", "--apply"]).await.expect_code(3);
    assert_eq!(registry.requests().iter().filter(|request| request.starts_with("DELETE ")).count(), 1);
    plan(&home, PLAN);
    let mut serving = Run::new(&home, ["serve"]).start();
    let embedded = serving.stdout_line(":").await;
    transcript.call(&embedded, "[EMBEDDED]");
    publish(&mut transcript, &Peer::new(&format!("http://{embedded}"), "hello"), "1.0", "2999-01-01").await;
    transcript.run(["clean", &format!("{embedded}/hello"), "--keep", "0"]).await.expect_code(0);
    transcript.run(["clean", &format!("{embedded}/hello"), "--keep", "0", "--drop-tag", "*"]).await.expect_code(0);
    transcript.run(["clean", &format!("{embedded}/hello"), "--keep", "0", "--apply"]).await.expect_code(3);
    transcript.is("clean-refused");
}

#[tokio::test]
async fn embedded_registry_is_served_once_and_shared() {
    let home = Home::new();
    plan(&home, PLAN);
    let mut serving = Run::new(&home, ["serve"]).start();
    let address = serving.stdout_line(":").await;
    let peer = Peer::new(&format!("http://{address}"), "hello");
    let mut transcript = Transcript::new(&home);
    transcript.call(&address, "[REGISTRY]");
    transcript.say("while another process serves it");
    transcript.run(["serve"]).await.expect_code(3);
    transcript.run(["join"]).await.expect_code(6);
    for arch in ["amd64", "arm64"] {
        push(&peer, &format!("1.0-{arch}"), arch).await;
    }
    transcript.run(["join", "--progress", "quiet"]).await.expect_code(0);
    serving.signal(Signal::INT);
    let served = serving.finish().await;
    transcript.say("after that process was ended");
    transcript.run(["verify"]).await.expect_code(0);
    transcript.run(["inspect", &format!("{address}/hello:latest")]).await.expect_code(0);
    transcript.run(["images"]).await.expect_code(0);
    transcript.is("serve");
    assert_eq!(served.stdout, format!("{address}\n"));
    assert_eq!(served.code(), 0, "to end it is what it is for: {}", served.stderr);
}
