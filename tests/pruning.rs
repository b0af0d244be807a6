//! `polyarch prune`: the embedded registry made smaller.

use polyarch::oci::MediaType;
use rustix::process::Signal;

use crate::registry_conformance::peer::Peer;
use crate::support::program::{Home, Run};

#[tokio::test]
async fn prune_deletes_unreferenced_content_unless_it_is_served() {
    let home = Home::new();
    let prune = |args: &'static [&'static str]| Run::new(&home, ["prune"].iter().chain(args)).finish();
    let none = prune(&[]).await.expect_code(0);
    assert!(none.stdout.contains("there is no embedded registry in"), "{}", none.stdout);
    assert!(!home.polyarch().join("registry").exists());

    let mut serving = Run::new(&home, ["serve"]).start();
    let address = serving.stdout_line("127.0.0.1:").await.trim().to_owned();
    let peer = Peer::new(&format!("http://{address}"), "hello");
    for layer in ["first", "second"] {
        peer.image(Some("1.0"), &MediaType::OciManifest, layer).await.unwrap();
    }
    for args in [&[][..], &["--apply"]] {
        let refused = prune(args).await.expect_code(3);
        for said in [&address, "another process serves the embedded registry", "nothing was deleted"] {
            assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        }
    }
    serving.signal(Signal::TERM);
    serving.finish().await.expect_code(0);

    let blobs = || std::fs::read_dir(home.polyarch().join("registry/blobs/sha256")).unwrap().count();
    assert_eq!(blobs(), 5);
    // The first manifest and its layer can go. Both images have the config.
    let shown = prune(&[]).await.expect_code(0).stdout;
    assert!(shown.contains("no tag leads to 2 of 5 blobs") && shown.contains("--apply"), "{shown}");
    assert_eq!(blobs(), 5);
    let deleted = prune(&["--apply"]).await.expect_code(0).stdout;
    assert!(deleted.contains("deleted 2 blobs"), "{deleted}");
    assert_eq!(blobs(), 3);
    let again = prune(&["--apply"]).await.expect_code(0).stdout;
    assert!(again.contains("tags use all of 3 blobs"), "{again}");

    let mut serving = Run::new(&home, ["serve"]).start();
    serving.stdout_line(&address).await;
    let second = peer.get("manifests/1.0").await.unwrap().is(200).unwrap().json().unwrap();
    for digest in [&second["config"]["digest"], &second["layers"][0]["digest"]] {
        peer.get(&format!("blobs/{}", digest.as_str().unwrap())).await.unwrap().is(200).unwrap();
    }
}
