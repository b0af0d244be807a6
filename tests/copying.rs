//! Images that go from one repository to another, with `join` and `copy`: between registries that we did not write, and
//! past those that refuse, break or lie.

mod faults;
mod killing;
mod layouts;
mod lost;
mod memory;
mod parts;
mod resuming;

use std::fs;

use base64::Engine as _;
use polyarch::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::registry_conformance::peer::{Peer, descriptor};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::program::{Finished, Home, Run};

/// An image of `arch` with one layer of its own, beside one that all have, and what is attested of it; under `tag` is an
/// index of both. Gives the entries.
pub(crate) async fn push(peer: &Peer, tag: &str, arch: &str) -> Vec<Value> {
    push_of(peer, tag, arch, "anybody").await
}

/// The same, of an author: the images of two are different.
async fn push_of(peer: &Peer, tag: &str, arch: &str, author: &str) -> Vec<Value> {
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers = [b"shared".to_vec(), format!("of {arch}").repeat(1000).into_bytes()];
    let diffs = json!({ "type": "layers", "diff_ids": [] });
    let config = json!({ "os": "linux", "architecture": arch, "author": author, "rootfs": diffs });
    let layers: Vec<_> = layers.iter().map(|layer| (layer_type, &layer[..])).collect();
    let image = manifest(peer, &config, &layers).await;
    let mut entry = descriptor(MediaType::OciManifest.as_str(), &image);
    entry["platform"] = json!({ "os": "linux", "architecture": arch });
    let unknown = json!({ "os": "unknown", "architecture": "unknown" });
    let attests = manifest(peer, &unknown, &[("application/vnd.in-toto+json", arch.as_bytes())]).await;
    let mut attestation = descriptor(MediaType::OciManifest.as_str(), &attests);
    attestation["platform"] = unknown;
    attestation["annotations"] = json!({
        "vnd.docker.reference.digest": Digest::of(&image),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    let entries = vec![entry, attestation];
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": &entries });
    let index = index.to_string().into_bytes();
    peer.manifest(tag, MediaType::OciIndex.as_str(), &index).await.unwrap().is(201).unwrap();
    entries
}

async fn manifest(peer: &Peer, config: &Value, layers: &[(&str, &[u8])]) -> Vec<u8> {
    let config = config.to_string().into_bytes();
    peer.blob(&config).await.unwrap();
    for (_, layer) in layers {
        peer.blob(layer).await.unwrap();
    }
    let layers: Vec<_> = layers.iter().map(|(media_type, layer)| descriptor(media_type, layer)).collect();
    let config = descriptor("application/vnd.oci.image.config.v1+json", &config);
    let document =
        json!({ "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config, "layers": layers });
    let bytes = document.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    peer.manifest(digest.as_str(), MediaType::OciManifest.as_str(), &bytes).await.unwrap().is(201).unwrap();
    bytes
}

/// A home with a login at `registry`, and its certificate in `ca.pem`.
pub(crate) fn home(registry: &Distribution) -> Home {
    let home = Home::new();
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    fs::write(home.docker_config().join("config.json"), config.to_string()).unwrap();
    fs::write(home.path().join("ca.pem"), registry.certificate().unwrap()).unwrap();
    home
}

async fn run(home: &Home, args: &[&str]) -> Finished {
    Run::new(home, args).finish().await
}

/// Requests that sent or put something.
pub(crate) fn sent(requests: &[String]) -> Vec<&String> {
    requests.iter().filter(|line| !line.starts_with("GET ") && !line.starts_with("HEAD ")).collect()
}

#[tokio::test]
async fn join_across_registries_copies_images_and_attestations() {
    let (here, there) = (Distribution::start(Setup::Plain), Distribution::start(Setup::TlsLogin));
    let other = Distribution::start(Setup::Plain);
    let home = home(&there);
    let amd64 = push(&Peer::new(&here.base(), "amd"), "1", "amd64").await;
    let arm64 = push(&Peer::new(&other.base(), "arm"), "1", "arm64").await;
    let targets = [format!("{}/web:1", here.address()), format!("{}/team/web:1", there.address())];
    let ca = format!("--ca={}=ca.pem", there.address());
    let sources = [format!("{}/amd:1", here.address()), format!("{}/arm:1", other.address())];
    let args = ["join", &ca, "-t", &targets[0], "-t", &targets[1], &sources[0], &sources[1]];
    let joined = run(&home, &args).await.expect_code(0);

    let index = Peer::new(&here.base(), "web").get("manifests/1").await.unwrap().is(200).unwrap();
    let expected = [&amd64[0], &arm64[0], &amd64[1], &arm64[1]].map(Clone::clone);
    assert_eq!(index.json().unwrap()["manifests"], json!(expected));
    let digest = Digest::of(&index.body);
    let [first, second] = targets.each_ref().map(|target| target.trim_end_matches(":1"));
    let lines = format!("{first}@{digest}\n{second}@{digest}\n");
    assert_eq!(joined.stdout, lines);
    assert_eq!(joined.stderr.matches("joined 2 platforms and 2 attestations").count(), 1, "{}", joined.stderr);
    // Both are of one registry: nothing is sent, it takes what it has.
    let asked = here.requests();
    assert!(asked.iter().any(|line| line.starts_with("POST /v2/web/blobs/uploads/?mount=")), "{asked:?}");
    assert!(joined.stderr.contains("mounted"), "{}", joined.stderr);
    // The layer that all have is brought once: it stands in the log once with its content.
    let shared = Digest::of(b"shared").to_string().replace(':', "%3A");
    let puts = asked.iter().filter(|line| line.starts_with("PUT ") && line.contains(&shared));
    assert!(puts.count() <= 3, "{asked:?}");

    let before = [here.requests().len(), there.requests().len()];
    let again = run(&home, &args).await.expect_code(0);
    assert_eq!(again.stdout, lines);
    assert_eq!(sent(&here.requests()[before[0]..]), Vec::<&String>::new());
    assert_eq!(sent(&there.requests()[before[1]..]), Vec::<&String>::new());
    assert!(again.stderr.contains("already there"), "{}", again.stderr);

    // What came to the registry with a login can be fetched from there, whole.
    let back = format!("{}/back:1", other.address());
    let copied = run(&home, &["copy", &ca, &targets[1], &back]).await.expect_code(0);
    assert_eq!(copied.stdout, format!("{}@{digest}\n", back.trim_end_matches(":1")));
    assert_eq!(run(&home, &["verify", &back]).await.expect_code(0).stdout, copied.stdout);
}

#[tokio::test]
async fn copy_keeps_all_bytes_and_reports_existing_blobs() {
    let (from, to) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let (peer, home) = (Peer::new(&from.base(), "web"), Home::new());
    let entries = push(&peer, "1", "arm64").await;
    let source = format!("{}/web:1", from.address());
    let target = format!("{}/mirror/web:1", to.address());
    let copied = run(&home, &["copy", &source, &target]).await.expect_code(0);
    let mirror = Peer::new(&to.base(), "mirror/web");
    let index = mirror.get("manifests/1").await.unwrap().is(200).unwrap();
    assert_eq!(index.body, peer.get("manifests/1").await.unwrap().body);
    let digest = Digest::of(&index.body);
    assert_eq!(copied.stdout, format!("{}/mirror/web@{digest}\n", to.address()));
    assert!(
        copied.stderr.contains("copied 2 manifests") && copied.stderr.contains("5 blobs sent"),
        "{}",
        copied.stderr
    );

    let before = to.requests().len();
    let again = run(&home, &["copy", &source, &target]).await.expect_code(0);
    assert!(again.stderr.contains("already there") && again.stderr.contains("unchanged"), "{}", again.stderr);
    assert_eq!(sent(&to.requests()[before..]), Vec::<&String>::new());

    // One platform is its image, without the index.
    let alone = format!("{}/mirror/alone:1", to.address());
    let json = ["copy", "--platform", "linux/arm64", "--format", "json", &source, &alone];
    let result: Value = serde_json::from_str(&run(&home, &json).await.expect_code(0).stdout).unwrap();
    let image = entries[0]["digest"].as_str().unwrap();
    assert_eq!(result["images"][0]["references"], json!([format!("{}/mirror/alone@{image}", to.address())]));
    assert_eq!(result["images"][0]["tags"], json!([alone]));
    let foreign = run(&home, &["copy", "--platform", "linux/s390x", &source, &alone]).await.expect_code(7);
    assert!(foreign.stderr.contains("linux/s390x"), "{}", foreign.stderr);

    // By digest there is nothing to move, and no other content comes under it.
    let (by_digest, other) = (format!("{}/third@{digest}", to.address()), format!("{}/third@{image}", to.address()));
    run(&home, &["copy", &source, &by_digest]).await.expect_code(0);
    run(&home, &["copy", &source, &other]).await.expect_code(7);
    let gone = run(&home, &["copy", &format!("{}/web:2", from.address()), &target]).await.expect_code(7);
    assert!(gone.stderr.contains("web:2 does not exist"), "{}", gone.stderr);
}

#[tokio::test]
async fn images_are_copied_to_and_from_the_embedded_registry() {
    let (outside, home) = (Distribution::start(Setup::Plain), Home::new());
    push(&Peer::new(&outside.base(), "web"), "1", "arm64").await;
    let source = format!("{}/web:1", outside.address());
    let mut serving = Run::new(&home, ["serve"]).start();
    let inside = serving.stdout_line(":").await;
    let (first, second) = (format!("{inside}/a/web:1"), format!("{inside}/b/web:1"));
    run(&home, &["copy", &source, &first]).await.expect_code(0);
    let mounted = run(&home, &["join", "-t", &second, &first]).await.expect_code(0);
    assert!(mounted.stderr.contains("5 mounted"), "{}", mounted.stderr);
    let back = format!("{}/back:1", outside.address());
    let copied = run(&home, &["copy", &second, &back]).await.expect_code(0);
    assert_eq!(run(&home, &["verify", &back]).await.expect_code(0).stdout, copied.stdout);
    drop(serving);
    // Whoever copies serves it, too.
    run(&home, &["copy", &first, &format!("{}/back:2", outside.address())]).await.expect_code(0);
}
