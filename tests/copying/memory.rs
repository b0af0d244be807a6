//! A large layer passes without being kept.

use std::io::Write as _;
use std::time::{Duration, Instant};

use polyarch::oci::{Digest, Hasher, MediaType};
use serde_json::json;

use crate::registry_conformance::peer::{Peer, descriptor};
use crate::support::distribution::{Distribution, Setup};
use crate::support::memory::peak;
use crate::support::program::{Home, Run};

/// The layer, in pieces of [`PIECE`].
const PIECES: u64 = 1024;
const PIECE: usize = 1 << 20;
/// What the program may have of memory at most, in KiB.
const MEMORY: u64 = 48 << 10;

/// Pushes an image with one layer of a gibibyte.
async fn push(peer: &Peer) -> Digest {
    let piece: Vec<u8> = (0..PIECE).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut hasher = Hasher::new();
    (0..PIECES).for_each(|_| hasher.update(&piece));
    let layer = hasher.finish();
    let pieces = tokio_stream::iter((0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let location = peer.begin().await.unwrap();
    let body = reqwest::Body::wrap_stream(pieces);
    peer.finish(&location, &layer, body).await.unwrap().is(201).unwrap();
    let config = br#"{"os":"linux","architecture":"arm64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    peer.blob(config).await.unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": PIECES * PIECE as u64,
        }],
    });
    peer.manifest("1", MediaType::OciManifest.as_str(), manifest.to_string().as_bytes())
        .await
        .unwrap()
        .is(201)
        .unwrap();
    layer
}

#[tokio::test]
async fn layer_of_1_gib_is_copied_in_constant_memory() {
    let (from, to) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let layer = push(&Peer::new(&from.base(), "large")).await;
    let home = Home::new();
    let [source, target] = [&from, &to].map(|registry| format!("{}/large:1", registry.address()));
    let began = Instant::now();
    let running = Run::new(&home, ["copy", &source, &target]).start();
    let watch = peak(&running);
    running.finish().await.expect_code(0);
    let (took, peak): (Duration, u64) = (began.elapsed(), watch.join().unwrap());
    std::io::stderr().write_all(format!("1 GiB in {took:?}, {peak} KiB\n").as_bytes()).unwrap();
    assert!(peak > 0 && peak < MEMORY, "{peak} KiB");
    let blob = Peer::new(&to.base(), "large").head(&format!("blobs/{layer}")).await.unwrap().is(200).unwrap();
    blob.has("content-length", &(PIECES * PIECE as u64).to_string()).unwrap();
}
