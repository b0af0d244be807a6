//! `from`: images of others in a plan, taken over from registries that we did not write, without any engine.

use std::fs;

use polyarch::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::copying::{home, push, sent};
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::program::{Finished, Home, Run};

/// An index as those of Docker Hub are: three platforms, arm64 with its variant, and what is attested of each. Gives its
/// entries: the platforms, then the attestations.
async fn publish(registry: &Distribution, name: &str, tag: &str) -> Vec<Value> {
    let peer = Peer::new(&registry.base(), name);
    let (mut images, mut attestations) = (Vec::new(), Vec::new());
    for arch in ["amd64", "s390x", "arm64"] {
        let [mut image, attestation]: [Value; 2] = push(&peer, arch, arch).await.try_into().unwrap();
        if arch == "arm64" {
            image["platform"]["variant"] = "v8".into();
        }
        images.push(image);
        attestations.push(attestation);
    }
    let entries = [images, attestations].concat();
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": &entries }).to_string();
    peer.manifest(tag, MediaType::OciIndex.as_str(), index.as_bytes()).await.unwrap().is(201).unwrap();
    entries
}

fn plan(home: &Home, text: &str) {
    fs::write(home.path().join("build.yaml"), format!("version: 1\n{text}")).unwrap();
}

/// The program where no engine is.
async fn run(home: &Home, args: &[&str]) -> Finished {
    Run::new(home, args).env("DOCKER_HOST", "unix:///nowhere/docker.sock").finish().await
}

async fn manifest(peer: &Peer, reference: &str) -> (Digest, Value) {
    let answer = peer.get(&format!("manifests/{reference}")).await.unwrap().is(200).unwrap();
    (Digest::of(&answer.body), answer.json().unwrap())
}

async fn tags(peer: &Peer) -> Vec<String> {
    let listed = peer.get("tags/list").await.unwrap().json().unwrap();
    let mut tags: Vec<String> = serde_json::from_value(listed["tags"].clone()).unwrap();
    tags.sort();
    tags
}

/// The plan of most tests: `golang` from `source`.
fn golang(target: &Distribution, source: &Distribution, more: &str) -> String {
    format!(
        "registry: {}\nimages:\n  golang:\n    from: {}/library/golang:1.19\n    repository: base/golang\n    \
         tags: [\"1.19\", latest]\n    platforms: [linux/amd64, linux/arm64/v8]\n{more}",
        target.address(),
        source.address()
    )
}

#[tokio::test]
async fn third_party_image_is_imported_unchanged_without_an_engine() {
    let (source, target) = (Distribution::start(Setup::Plain), Distribution::start(Setup::TlsLogin));
    let entries = publish(&source, "library/golang", "1.19").await;
    let home = home(&target);
    let text = golang(&target, &source, "");
    let registry = format!("registry: {{ host: \"{}\", ca: ca.pem }}", target.address());
    plan(&home, &text.replace(&format!("registry: {}", target.address()), &registry));
    let built = run(&home, &["build", "--report", "report.json"]).await.expect_code(0);

    // What is there is asked by a client with a login, which is the program.
    let shown = |name: &str| format!("{}/base/golang:{name}", target.address());
    let ca = format!("--ca={}=ca.pem", target.address());
    let back = Distribution::start(Setup::Plain);
    for (name, tag) in [("i", "1.19"), ("i", "latest"), ("amd", "1.19-amd64"), ("arm", "1.19-arm64")] {
        let to = format!("{}/{name}:{tag}", back.address());
        run(&home, &["copy", &ca, &shown(tag), &to]).await.expect_code(0);
    }
    let (digest, index) = manifest(&Peer::new(&back.base(), "i"), "1.19").await;
    let [amd64, _, arm64, of_amd64, _, of_arm64] = entries.try_into().unwrap();
    assert_eq!(index["manifests"], json!([amd64, arm64, of_amd64, of_arm64]), "variants and attestations are kept");
    assert_eq!(manifest(&Peer::new(&back.base(), "i"), "latest").await.0, digest);
    assert_eq!(built.stdout, format!("{}/base/golang@{digest}\n", target.address()));
    // An arch tag has what is attested, too, so that it can be joined again.
    let (_, arm) = manifest(&Peer::new(&back.base(), "arm"), "1.19-arm64").await;
    assert_eq!(arm["manifests"], json!([arm64, of_arm64]));
    let (_, amd) = manifest(&Peer::new(&back.base(), "amd"), "1.19-amd64").await;
    assert_eq!(amd["manifests"], json!([amd64, of_amd64]));
    let report: Value = serde_json::from_slice(&fs::read(home.path().join("report.json")).unwrap()).unwrap();
    let platform = &report["images"][0]["platforms"][1];
    assert_eq!(platform["from"], format!("{}/library/golang:1.19", source.address()));
    assert_eq!(platform["status"], "confirmed", "{platform:#}");
    assert_eq!(platform["copied"]["manifests"], 2, "{platform:#}");
    assert!(platform.get("engine").is_none(), "{platform:#}");

    let before = target.requests().len();
    let again = run(&home, &["build"]).await.expect_code(0);
    assert_eq!(again.stdout, built.stdout);
    assert_eq!(sent(&target.requests()[before..]), Vec::<&String>::new());
    assert!(again.stderr.contains("golang linux/arm64 │ already there"), "{}", again.stderr);
    assert!(again.stderr.contains("  linux/arm64  imported               exists"), "{}", again.stderr);
    // The joiner alone finds the same children under the arch tags.
    assert_eq!(run(&home, &["join"]).await.expect_code(0).stdout, built.stdout);
    assert_eq!(sent(&target.requests()[before..]), Vec::<&String>::new());
    run(&home, &["verify", "golang"]).await.expect_code(0);
}

#[tokio::test]
async fn import_without_attestations_tags_the_image_itself() {
    let (source, target) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let entries = publish(&source, "library/golang", "1.19").await;
    let home = Home::new();
    plan(&home, &golang(&target, &source, "    attestations: strip\n"));
    let built = run(&home, &["build"]).await.expect_code(0);
    assert!(built.stderr.contains("attestations left out of the index: 2"), "{}", built.stderr);
    let peer = Peer::new(&target.base(), "base/golang");
    let (_, index) = manifest(&peer, "1.19").await;
    assert_eq!(index["manifests"], json!([entries[0], entries[2]]));
    assert_eq!(manifest(&peer, "1.19-amd64").await.0.to_string(), entries[0]["digest"].as_str().unwrap());
    // Its config says nothing of the variant that its index said: it would be lost, and the join be another.
    assert_eq!(manifest(&peer, "1.19-arm64").await.1["manifests"], json!([entries[2]]));
    assert_eq!(run(&home, &["join"]).await.expect_code(0).stdout, built.stdout);
}

#[tokio::test]
async fn import_without_arch_tags_pushes_only_final_tags() {
    let (source, target) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    publish(&source, "library/golang", "1.19").await;
    let home = Home::new();
    plan(&home, &golang(&target, &source, "    arch_tags: none\n"));
    run(&home, &["build"]).await.expect_code(0);
    let peer = Peer::new(&target.base(), "base/golang");
    assert_eq!(tags(&peer).await, ["1.19", "latest"]);
    let (_, index) = manifest(&peer, "1.19").await;
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4);
    run(&home, &["verify", "golang"]).await.expect_code(0);
}

#[tokio::test]
async fn import_mounts_existing_blobs_and_reports_them_apart() {
    let registry = Distribution::start(Setup::Plain);
    let entries = publish(&registry, "library/golang", "1.19").await;
    let home = Home::new();
    plan(&home, &golang(&registry, &registry, ""));
    let mounted = run(&home, &["build"]).await.expect_code(0);
    assert!(mounted.stderr.contains("0 blobs sent (0 B), 5 mounted"), "{}", mounted.stderr);
    // A digest is that image alone, whatever its tags show.
    let pinned = format!("from: {}/library/golang@{}", registry.address(), entries[1]["digest"].as_str().unwrap());
    let text = golang(&registry, &registry, "").replace("[linux/amd64, linux/arm64/v8]", "[linux/s390x]");
    plan(
        &home,
        &text.replace(&format!("from: {}/library/golang:1.19", registry.address()), &pinned).replace("base/", ""),
    );
    run(&home, &["build"]).await.expect_code(0);
    let (_, index) = manifest(&Peer::new(&registry.base(), "golang"), "latest").await;
    assert_eq!(index["manifests"], json!([entries[1]]));
}

#[tokio::test]
async fn import_checks_its_source_before_copying() {
    let (source, target) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    publish(&source, "library/golang", "1.19").await;
    let home = Home::new();
    let from = format!("{}/library/golang:1.19", source.address());
    let text = golang(&target, &source, "");
    plan(&home, &text.replace("linux/arm64/v8", "linux/riscv64, linux/386"));
    let lacks = run(&home, &["build"]).await.expect_code(7);
    for platform in ["linux/riscv64", "linux/386"] {
        let said = format!("golang: its source {from} has no {platform}; it has linux/amd64, linux/s390x, linux/arm64");
        assert!(lacks.stderr.contains(&said), "{}", lacks.stderr);
    }
    plan(&home, &text.replace("golang:1.19", "golang:2"));
    let missing = run(&home, &["build"]).await.expect_code(7);
    assert!(missing.stderr.contains("golang:2 does not exist"), "{}", missing.stderr);
    plan(&home, &text.replace("library/golang:1.19", "library/golang:arm64"));
    let other = run(&home, &["build"]).await.expect_code(7);
    assert!(other.stderr.contains("has no linux/amd64; it has linux/arm64"), "{}", other.stderr);
    // Nobody listens there.
    plan(&home, &text.replace(&source.address().to_string(), "127.0.0.1:1"));
    let away = run(&home, &["build", "--timeout", "2m"]).await.expect_code(3);
    assert!(away.stderr.contains("127.0.0.1:1"), "{}", away.stderr);
    let secret = Distribution::start(Setup::Login);
    plan(&home, &text.replace(&source.address().to_string(), &secret.address().to_string()));
    run(&home, &["build"]).await.expect_code(3);
    assert_eq!(sent(&target.requests()), Vec::<&String>::new());
}

#[tokio::test]
async fn partial_import_moves_no_tag() {
    let (source, target) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let entries = publish(&source, "library/golang", "1.19").await;
    let home = Home::new();
    plan(&home, &golang(&target, &source, ""));
    let from = format!("{}/library/golang", source.address());
    let to = format!("{}/base/golang", target.address());
    let shown = run(&home, &["build", "--dry-run", "--platform", "linux/arm64"]).await.expect_code(0);
    let expected = format!(
        "registry  {}\ngolang\n  import linux/arm64 from {from}:1.19\n  copy   {to}:1.19-arm64\n  tag    {to}:1.19\n  tag    {to}:latest\n",
        target.address()
    );
    assert_eq!(shown.stdout, expected);
    let not_pushed = run(&home, &["build", "--no-push"]).await.expect_code(0);
    let adopting = format!("golang linux/arm64 │ importing {from}@{}", entries[2]["digest"].as_str().unwrap());
    assert!(not_pushed.stderr.contains(&adopting), "{}", not_pushed.stderr);
    assert!(not_pushed.stderr.contains("not joined: --no-push"), "{}", not_pushed.stderr);
    let not_loaded = run(&home, &["build", "--load"]).await.expect_code(0);
    assert!(not_loaded.stderr.contains("--load does not load imported images"), "{}", not_loaded.stderr);
    assert_eq!(sent(&target.requests()), Vec::<&String>::new());
    let part = run(&home, &["build", "--platform", "linux/arm64"]).await.expect_code(0);
    assert!(part.stderr.contains("not joined: linux/amd64 was left out"), "{}", part.stderr);
    run(&home, &["build", "--no-join"]).await.expect_code(0);
    let peer = Peer::new(&target.base(), "base/golang");
    assert_eq!(tags(&peer).await, ["1.19-amd64", "1.19-arm64"]);
    run(&home, &["join"]).await.expect_code(0);
}
