//! A plan with several registries: built to the first, copied to the others.

use std::fs;

use base64::Engine as _;
use polyarch::oci::Digest;
use serde_json::{Value, json};

use super::world::{HELLO, World, says};
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::images::{Document, Image, attestation, fields};
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;

/// A plan of these registries, the world's own first.
fn plan(world: &World, others: &str) {
    let plan = format!("version: 1\nregistry: [{}, {others}]\n{HELLO}", world.registry.host());
    fs::write(world.home.path().join("build.yaml"), plan).unwrap();
}

/// A world whose second registry is a namespace of its own one.
async fn mirrored() -> World {
    let world = World::start(Script::default()).await;
    plan(&world, &format!("{}/mirror", world.registry.host()));
    world
}

/// What was put, in order, without digests: `REPOSITORY:TAG`.
fn tags_put(world: &World) -> Vec<String> {
    let puts = world.registry.requests().into_iter().filter(|request| request.method == "PUT");
    let named = puts.filter_map(|put| {
        let (repository, tag) = put.target.strip_prefix("/v2/")?.split_once("/manifests/")?;
        (!tag.starts_with("sha256:")).then(|| format!("{repository}:{tag}"))
    });
    named.collect()
}

fn states(world: &World) -> Vec<(String, String)> {
    let report = world.report();
    let host = format!("{}/", world.registry.host());
    let tags = report["images"][0]["tags"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().replace(&host, "");
    tags.map(|tag| (text(&tag["tag"]), text(&tag["state"]))).collect()
}

fn sent(requests: &[String]) -> Vec<&String> {
    requests.iter().filter(|line| !line.starts_with("GET ") && !line.starts_with("HEAD ")).collect()
}

#[tokio::test]
async fn build_publishes_one_digest_to_every_registry() {
    let world = World::start(Script::default()).await;
    let (open, closed) = (Distribution::start(Setup::Plain), Distribution::start(Setup::TlsLogin));
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { closed.address().to_string(): { "auth": auth } } });
    fs::write(world.home.docker_config().join("config.json"), config.to_string()).unwrap();
    fs::write(world.home.path().join("ca.pem"), closed.certificate().unwrap()).unwrap();
    plan(&world, &format!("{}/team, {{ host: \"{}\", ca: ca.pem }}", open.address(), closed.address()));

    let outputs = world.home.path().join("outputs");
    let built = world.run(&["build"]).env("GITHUB_OUTPUT", outputs.to_str().unwrap()).finish().await.expect_code(0);
    let index = world.store.get("hello", "1.0").unwrap();
    let digest = index.digest();
    let repositories = [
        format!("{}/hello", world.registry.host()),
        format!("{}/team/hello", open.address()),
        format!("{}/hello", closed.address()),
    ];
    let lines: Vec<_> = repositories.iter().map(|repository| format!("{repository}@{digest}\n")).collect();
    let lines = lines.concat();
    assert_eq!(built.stdout, lines);
    let peer = Peer::new(&open.base(), "team/hello");
    for tag in ["1.0", "latest"] {
        let there = peer.get(&format!("manifests/{tag}")).await.unwrap().is(200).unwrap();
        assert_eq!(there.body, index.bytes);
    }
    for arch in ["amd64", "arm64"] {
        let there = peer.get(&format!("manifests/1.0-{arch}")).await.unwrap().is(200).unwrap();
        assert_eq!(there.body, world.store.get("hello", &format!("1.0-{arch}")).unwrap().bytes);
    }
    let outputs = fs::read_to_string(outputs).unwrap();
    assert!(outputs.contains(&format!("\n{}\n", repositories[0])), "{outputs}");
    assert!(outputs.contains("\n1.0\nlatest\npolyarch_") && !outputs.contains("latest\n1.0"), "{outputs}");
    assert!(outputs.contains(&json!(repositories).to_string()), "{outputs}");

    assert_eq!(Run::new(&world.home, ["verify", "hello"]).finish().await.expect_code(0).stdout, lines);
    // Again, nothing is sent, whoever asks.
    let before = [open.requests().len(), closed.requests().len()];
    let again = world.build().await.expect_code(0);
    says(&again, &["nothing changed", "already there"]);
    assert_eq!(world.run(&["join"]).finish().await.expect_code(0).stdout, lines);
    assert_eq!(sent(&open.requests()[before[0]..]), Vec::<&String>::new());
    assert_eq!(sent(&closed.requests()[before[1]..]), Vec::<&String>::new());
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn attestations_and_arch_tags_reach_every_registry() {
    let world = World::start(Script::default()).await;
    let open = Distribution::start(Setup::Plain);
    plan(&world, &open.address().to_string());
    for platform in ["linux/amd64", "linux/arm64"] {
        let image = Image::oci(platform, "attested");
        let (manifest, attests) = attestation(&image.manifest, &json!({}));
        world.store.push("hello", "ignored", &image);
        let statement = json!({ "subject": [{ "digest": image.manifest.digest() }] });
        world.store.keep(&Document::new("application/vnd.in-toto+json", &statement));
        world.store.keep(&Document::new("application/vnd.oci.image.config.v1+json", &fields("unknown/unknown")));
        world.store.put("hello", "ignored", &manifest);
        let tag = format!("1.0-{}", platform.rsplit('/').next().unwrap());
        world.store.put("hello", &tag, &Document::index(&[image.entry(), attests]));
    }
    let joined = world.run(&["join"]).finish().await.expect_code(0);
    says(&joined, &["and 2 attestations"]);
    let peer = Peer::new(&open.base(), "hello");
    for tag in ["1.0", "latest", "1.0-amd64", "1.0-arm64"] {
        let there = peer.get(&format!("manifests/{tag}")).await.unwrap().is(200).unwrap();
        assert_eq!(there.body, world.store.get("hello", tag).unwrap().bytes, "{tag}");
    }
}

#[tokio::test]
async fn children_reach_every_registry_before_the_first_tag_moves() {
    let world = mirrored().await;
    world.build().await.expect_code(0);
    let put = tags_put(&world);
    let expected = [
        "mirror/hello:1.0-amd64",
        "mirror/hello:1.0-arm64",
        "hello:1.0",
        "hello:latest",
        "mirror/hello:1.0",
        "mirror/hello:latest",
    ];
    assert_eq!(put, expected);
    let all = world.registry.requests();
    let first_tag = all.iter().position(|r| r.line() == "PUT /v2/hello/manifests/1.0").unwrap();
    let last_child = all.iter().rposition(|r| r.method == "PUT" && r.target.contains("/manifests/sha256:")).unwrap();
    assert!(last_child < first_tag);
    let shows = ["hello", "mirror/hello"].map(|repository| world.store.get(repository, "latest").unwrap().digest());
    assert_eq!(shows[0], shows[1]);
}

#[tokio::test]
async fn failed_gate_of_one_registry_keeps_the_tags_of_all() {
    let world = mirrored().await;
    let image = Image::oci("linux/s390x", "before");
    world.store.push("mirror/hello", "latest", &image);
    let finished = world.build().await.expect_code(7);
    says(&finished, &["mirror/hello:latest has linux/s390x, which the new index lacks", "not moved: "]);
    assert_eq!(tags_put(&world), ["mirror/hello:1.0-amd64", "mirror/hello:1.0-arm64"]);
    assert_eq!(finished.stdout, "");
    world.run(&["build", "--allow-shrink"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn failed_registry_lists_moved_tags_and_next_run_converges() {
    let world = mirrored().await;
    world.registry_answers(|request| {
        (request.line() == "PUT /v2/mirror/hello/manifests/latest").then(|| status(507).body("no space left"))
    });
    let finished = world.build().await.expect_code(6);
    let all = [
        ("hello:1.0", "put"),
        ("hello:latest", "put"),
        ("mirror/hello:1.0", "put"),
        ("mirror/hello:latest", "unknown"),
    ];
    assert_eq!(states(&world), all.map(|(tag, state)| (tag.to_owned(), state.to_owned())));
    let host = world.registry.host();
    says(
        &finished,
        &[
            &format!("publish {host}/mirror/hello:latest"),
            &format!("moved before the failure: {host}/mirror/hello:1.0"),
            &format!("perhaps moved before the failure: {host}/mirror/hello:latest"),
            &format!("left in the registry: {host}/mirror/hello:1.0-arm64"),
        ],
    );
    // What was read back is a result; the exit code says that it is not all.
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.stdout);
    world.registry_answers(|_| None);
    let before = tags_put(&world).len();
    let again = world.build().await.expect_code(0);
    assert_eq!(again.stdout.lines().count(), 2);
    assert_eq!(tags_put(&world)[before..], ["mirror/hello:latest"]);
}

#[tokio::test]
async fn every_registry_login_is_checked_before_the_build() {
    let world = World::start(Script::default()).await;
    let closed = [Distribution::start(Setup::Login), Distribution::start(Setup::Login)];
    let closed = closed.each_ref().map(|registry| registry.address().to_string());
    plan(&world, &closed.join(", "));
    let finished = world.build().await.expect_code(3);
    let login = closed.each_ref().map(|address| format!("log in with `docker login {address}`"));
    says(&finished, &login.each_ref().map(String::as_str));
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
    // What is copied later is asked for at the join.
    world.run(&["join"]).finish().await.expect_code(3);
}

#[tokio::test]
async fn registry_flags_replace_the_list_of_the_plan() {
    let world = mirrored().await;
    let host = world.registry.host();
    let shown = world.run(&["build", "--dry-run"]).finish().await.expect_code(0).stdout;
    for line in [format!("  copy   to {host}/mirror/hello\n"), format!("  tag    {host}/mirror/hello:latest")] {
        assert!(shown.contains(&line), "{shown}");
    }
    let flags = ["build", "--registry", &format!("{host}/a"), "--registry", &format!("{host}/b")];
    let built = world.run(&flags).finish().await.expect_code(0);
    let digest = Digest::of(&world.store.get("a/hello", "1.0").unwrap().bytes);
    assert_eq!(built.stdout, format!("{host}/a/hello@{digest}\n{host}/b/hello@{digest}\n"));
    assert!(world.store.get("hello", "1.0").is_none() && world.store.get("mirror/hello", "1.0").is_none());
}

#[tokio::test]
async fn imported_images_reach_every_registry() {
    let world = World::start(Script::default()).await;
    let host = world.registry.host();
    let entries = ["linux/amd64", "linux/arm64"].map(|platform| {
        let image = Image::oci(platform, "upstream");
        world.store.push("upstream", "ignored", &image);
        image.entry()
    });
    world.store.put("upstream", "1", &Document::index(&entries));
    let plan = format!(
        "version: 1\nregistry: [{host}/own, {host}/mirror]\nimages:\n  base:\n    from: \"{host}/upstream:1\"\n    \
         tags: [\"1.0\"]\n    platforms: [linux/amd64, linux/arm64]\n"
    );
    fs::write(world.home.path().join("build.yaml"), plan).unwrap();
    let built = world.run(&["build", "--atomic"]).finish().await.expect_code(0);
    assert_eq!(built.stdout.lines().count(), 2, "{}", built.stdout);
    for tag in ["1.0", "1.0-amd64", "1.0-arm64"] {
        let own = world.store.get("own/base", tag).unwrap();
        assert_eq!(world.store.get("mirror/base", tag), Some(own), "{tag}");
    }
    assert_eq!(world.engine.counts().solves.started, 0);
}
