//! Image layouts of this machine (`oci:DIR`), as sources and as targets.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polyarch::oci::Digest;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{push, run, sent};
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::images::Image;
use crate::support::parts::LIMIT;
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Reply, ScriptedRegistry};
use crate::support::store::Store;

fn index(layout: &Path) -> Value {
    serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

/// What an index or a manifest of a layout says.
fn document(layout: &Path, digest: &Value) -> Value {
    serde_json::from_slice(&fs::read(blob(layout, digest.as_str().unwrap())).unwrap()).unwrap()
}

#[tokio::test]
async fn image_is_copied_through_a_layout_unchanged() {
    let (from, to) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let (peer, home) = (Peer::new(&from.base(), "web"), Home::new());
    push(&peer, "1", "arm64").await;
    let source = format!("{}/web:1", from.address());
    let copied = run(&home, &["copy", &source, "oci:images/web:1"]).await.expect_code(0);
    let digest = Digest::of(&peer.get("manifests/1").await.unwrap().is(200).unwrap().body);
    assert_eq!(copied.stdout, format!("oci:images/web@{digest}\n"));
    assert!(copied.stderr.contains("copied 2 manifests to oci:images/web, 5 blobs sent"), "{}", copied.stderr);

    let layout = home.path().join("images/web");
    assert_eq!(fs::read(layout.join("oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let entries = index(&layout)["manifests"].as_array().unwrap().clone();
    assert_eq!((entries.len(), &entries[0]["digest"]), (1, &json!(digest)));
    assert_eq!(entries[0]["annotations"]["org.opencontainers.image.ref.name"], "1");
    // Nothing is left of the writing of it.
    let mut names: Vec<_> = fs::read_dir(&layout).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "ingest", "oci-layout"]);
    assert_eq!(fs::read_dir(layout.join("ingest")).unwrap().count(), 0);

    let before = fs::metadata(layout.join("index.json")).unwrap().ino();
    let again = run(&home, &["copy", &source, "oci:images/web:1"]).await.expect_code(0);
    assert!(again.stderr.contains("unchanged"), "{}", again.stderr);
    assert_eq!(fs::metadata(layout.join("index.json")).unwrap().ino(), before);

    // The one image needs no tag; by digest it is the same.
    let by_digest = format!("oci:images/web@{digest}");
    for name in ["oci:images/web", "oci:images/web:1", &by_digest] {
        assert_eq!(run(&home, &["verify", name]).await.expect_code(0).stdout, copied.stdout, "{name}");
        let shown = run(&home, &["inspect", "--raw", name]).await.expect_code(0);
        assert_eq!(Digest::of(shown.stdout.as_bytes()), digest, "{name}");
    }
    let target = format!("{}/web:1", to.address());
    let pushed = run(&home, &["copy", "oci:images/web", &target]).await.expect_code(0);
    assert_eq!(pushed.stdout, format!("{}/web@{digest}\n", to.address()));
    assert_eq!(run(&home, &["verify", &target]).await.expect_code(0).stdout, pushed.stdout);
    let requests = to.requests().len();
    run(&home, &["copy", "oci:images/web", &target]).await.expect_code(0);
    assert_eq!(sent(&to.requests()[requests..]), Vec::<&String>::new());
    // And from one into another.
    run(&home, &["copy", "oci:images/web:1", "oci:other:2"]).await.expect_code(0);
    assert_eq!(run(&home, &["verify", "oci:other"]).await.expect_code(0).stdout, format!("oci:other@{digest}\n"));

    run(&home, &["copy", "--platform", "linux/arm64", &source, "oci:images/web:arm64"]).await.expect_code(0);
    let several = run(&home, &["verify", "oci:images/web"]).await.expect_code(2);
    assert!(several.stderr.contains("the layout has several images (1, arm64)"), "{}", several.stderr);
    let missing = run(&home, &["verify", "oci:images/web:3"]).await.expect_code(7);
    assert!(missing.stderr.contains("oci:images/web:3 does not exist: the layout has 1, arm64"), "{}", missing.stderr);
    for (args, said) in [
        (["copy", &source, "oci:images/web"], "oci:images/web has no tag"),
        (["copy", &source, &by_digest], "oci:images/web has no tag"),
        (["copy", &source, "oci://images/web:1"], "`oci:` names a directory"),
        (["copy", &source, "oci::1"], "an image layout has the form oci:DIR[:TAG]"),
        (["join", "-toci:images/web", &source], "oci:images/web has no tag"),
    ] {
        let refused = run(&home, &args).await.expect_code(2);
        assert!(refused.stderr.contains(said), "{args:?}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn join_mixes_layouts_and_registries() {
    let (registry, home) = (Distribution::start(Setup::Plain), Home::new());
    let amd64 = push(&Peer::new(&registry.base(), "amd"), "1", "amd64").await;
    let arm64 = push(&Peer::new(&registry.base(), "arm"), "1", "arm64").await;
    let (amd, arm) = (format!("{}/amd:1", registry.address()), format!("{}/arm:1", registry.address()));
    let target = format!("{}/web:1", registry.address());
    run(&home, &["copy", &arm, "oci:arm:1"]).await.expect_code(0);
    let args = ["join", "-t", &target, "-t", "oci:web:1", "-t", "oci:web:latest", &amd, "oci:arm"];
    let preview = run(&home, &[&args[..], &["--dry-run"]].concat()).await.expect_code(0);
    assert!(!home.path().join("web").exists());
    let joined = run(&home, &args).await.expect_code(0);
    let digest = Digest::of(preview.stdout.as_bytes());
    assert_eq!(joined.stdout, format!("{}/web@{digest}\noci:web@{digest}\n", registry.address()));
    let layout = home.path().join("web");
    let tags = index(&layout)["manifests"].as_array().unwrap().clone();
    assert_eq!(tags.iter().map(|entry| &entry["digest"]).collect::<Vec<_>>(), [&json!(digest), &json!(digest)]);
    let entries = [&amd64[0], &arm64[0], &amd64[1], &arm64[1]];
    assert_eq!(document(&layout, &json!(digest))["manifests"], json!(entries));
    for name in [&target, "oci:web:1", "oci:web:latest", "oci:web"] {
        run(&home, &["verify", name]).await.expect_code(0);
    }
    let before = fs::read(layout.join("index.json")).unwrap();
    let again = run(&home, &args).await.expect_code(0);
    assert_eq!((&again.stdout, fs::read(layout.join("index.json")).unwrap()), (&joined.stdout, before.clone()));

    // What holds for tags of registries holds for these.
    let poorer = run(&home, &["join", "-t", "oci:web:1", &amd]).await.expect_code(7);
    assert!(poorer.stderr.contains("oci:web:1 has linux/arm64, which the new index lacks"), "{}", poorer.stderr);
    assert_eq!(fs::read(layout.join("index.json")).unwrap(), before);
    run(&home, &["join", "--allow-shrink", "-t", "oci:web:1", &amd]).await.expect_code(0);
    assert_ne!(fs::read(layout.join("index.json")).unwrap(), before);
}

#[tokio::test]
async fn layout_is_edited_and_inspected_like_a_repository() {
    let (registry, home) = (Distribution::start(Setup::Plain), Home::new());
    let peer = Peer::new(&registry.base(), "web");
    push(&peer, "amd", "amd64").await;
    let arm64 = push(&peer, "arm", "arm64").await;
    let (amd, arm) = (format!("{}/web:amd", registry.address()), format!("{}/web:arm", registry.address()));
    run(&home, &["join", "-t", "oci:web:1", &amd]).await.expect_code(0);
    run(&home, &["copy", "oci:web:1", "oci:web:old"]).await.expect_code(0);
    let appended = run(&home, &["join", "-t", "oci:web:1", "--append", &arm]).await.expect_code(0);
    let digest = appended.stdout.trim_end().strip_prefix("oci:web@").unwrap().to_owned();
    assert_eq!(run(&home, &["digest", "oci:web:1"]).await.expect_code(0).stdout, format!("{digest}\n"));
    let of_arm = run(&home, &["digest", "oci:web:1", "--platform=linux/arm64"]).await.expect_code(0);
    assert_eq!(of_arm.stdout.trim_end(), arm64[0]["digest"]);
    let verified = run(&home, &["verify", "oci:web:1", "--json"]).await.expect_code(0);
    let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
    let blobs = verified["verified"][0]["blobs"].as_array().unwrap();
    assert!(blobs.len() > 4 && blobs.iter().all(|blob| blob["checked"] == "hashed"), "{blobs:?}");
    let compared = run(&home, &["inspect", "oci:web:old", "oci:web:1"]).await.expect_code(0);
    assert!(compared.stdout.contains("linux/arm64  only in B"), "{}", compared.stdout);
    run(&home, &["join", "-t", "oci:web:1", "--remove=linux/amd64"]).await.expect_code(0);
    let compared = run(&home, &["inspect", "oci:web:1", &arm, "--json"]).await.expect_code(0);
    let compared: Value = serde_json::from_str(&compared.stdout).unwrap();
    assert_eq!(compared["platforms"][0]["state"], "same", "{compared}");
    let pulled = run(&home, &["verify", "--pull", "oci:web:1"]).await.expect_code(2);
    assert!(pulled.stderr.contains("an engine cannot pull from a directory, and oci:web is one"), "{}", pulled.stderr);
}

/// A layout with an image in it. Gives it, the image's manifest, and the digest of its first layer.
async fn written(home: &Home) -> (PathBuf, String, String) {
    let registry = Distribution::start(Setup::Plain);
    let entries = push(&Peer::new(&registry.base(), "web"), "1", "arm64").await;
    let source = format!("{}/web:1", registry.address());
    run(home, &["copy", "--platform=linux/arm64", &source, "oci:web:1"]).await.expect_code(0);
    let layout = home.path().join("web");
    let layer = document(&layout, &entries[0]["digest"])["layers"][1]["digest"].as_str().unwrap().to_owned();
    (layout, entries[0]["digest"].as_str().unwrap().to_owned(), layer)
}

#[tokio::test]
async fn false_or_escaping_layout_is_refused_and_moves_no_tag() {
    let (home, to) = (Home::new(), Distribution::start(Setup::Plain));
    let (layout, manifest, layer) = written(&home).await;
    let target = format!("{}/web:1", to.address());
    let secret = home.path().join("secret");
    fs::copy(blob(&layout, &layer), &secret).unwrap();
    let text = fs::read_to_string(layout.join("index.json")).unwrap();
    let (index_path, layer_path) = (layout.join("index.json"), blob(&layout, &layer));
    let entry = |digest: &str| json!({ "manifests": [{ "mediaType": "x", "digest": digest, "size": 1 }] }).to_string();
    let bytes = fs::read(&layer_path).unwrap();
    let upper = bytes.to_ascii_uppercase();
    let link = |to: &Path, from: &Path| {
        fs::remove_file(from).unwrap();
        symlink(to, from).unwrap();
    };
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    let huge = || fs::File::create(&index_path).unwrap().set_len(5 << 20).unwrap();
    let changes: [(&str, &dyn Fn()); 10] = [
        ("do not match its digest", &|| fs::write(&layer_path, &upper).unwrap()),
        ("bytes, and has", &|| fs::write(&layer_path, &bytes[1..]).unwrap()),
        ("is not in the directory", &|| fs::remove_file(&layer_path).unwrap()),
        ("does not follow links", &|| link(&secret, &layer_path)),
        ("does not follow links", &|| pipe(&layer_path)),
        ("does not follow links", &|| pipe(&index_path)),
        ("index.json: it is too long", &huge),
        ("index.json: ", &|| fs::write(&index_path, entry("sha256:../../../secret")).unwrap()),
        ("index.json: ", &|| fs::write(&index_path, "[").unwrap()),
        ("bytes, with the digest", &|| fs::write(blob(&layout, &manifest), "{}").unwrap()),
    ];
    let kept = fs::read(blob(&layout, &manifest)).unwrap();
    for (said, change) in changes {
        change();
        let refused = run(&home, &["copy", "oci:web:1", &target]).await;
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
        assert!(matches!(refused.code(), 6 | 7) && refused.stdout.is_empty(), "{said}: {}", refused.code());
        // Who verifies reads the layers of a layout, too.
        let verified = run(&home, &["verify", "oci:web:1"]).await.expect_code(7);
        assert!(verified.stdout.is_empty(), "{said}: {}", verified.stdout);
        for (path, bytes) in [(&layer_path, &bytes), (&index_path, &text.clone().into_bytes())] {
            drop(fs::remove_file(path));
            fs::write(path, bytes).unwrap();
        }
        fs::write(blob(&layout, &manifest), &kept).unwrap();
    }
    assert!(to.requests().iter().all(|asked| !asked.starts_with("PUT /v2/web/manifests/")), "{:?}", to.requests());
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let newer = run(&home, &["copy", "oci:web:1", &target]).await.expect_code(7);
    assert!(newer.stderr.contains("its version is not supported"), "{}", newer.stderr);
    let none = run(&home, &["copy", "oci:nowhere:1", &target]).await.expect_code(7);
    assert!(none.stderr.contains("oci:nowhere:1 does not exist: nowhere is not an image layout"), "{}", none.stderr);
}

#[tokio::test]
async fn damaged_blobs_of_a_layout_are_written_again() {
    let (home, registry) = (Home::new(), Distribution::start(Setup::Plain));
    push(&Peer::new(&registry.base(), "web"), "1", "arm64").await;
    let source = format!("{}/web:1", registry.address());
    run(&home, &["copy", &source, "oci:web:1"]).await.expect_code(0);
    let layout = home.path().join("web");
    let blobs: Vec<_> = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|one| one.unwrap().path()).collect();
    for path in &blobs {
        let bytes = fs::read(path).unwrap();
        fs::write(path, bytes.to_ascii_uppercase()).unwrap();
    }
    fs::remove_file(layout.join("index.json")).unwrap();
    run(&home, &["copy", &source, "oci:web:1"]).await.expect_code(0);
    for path in &blobs {
        assert_eq!(Digest::of(&fs::read(path).unwrap()).hex(), path.file_name().unwrap().to_str().unwrap());
    }
}

#[tokio::test]
async fn killed_layout_write_keeps_the_old_index() {
    let home = Home::new();
    let (layout, _, _) = written(&home).await;
    let before = fs::read(layout.join("index.json")).unwrap();
    let (store, image) = (Store::default(), Image::oci("linux/amd64", "killed"));
    store.push("from", "1", &image);
    let (asked, config, mut held) = (Arc::new(Notify::new()), image.config.digest(), true);
    let told = asked.clone();
    let registry = ScriptedRegistry::stateful(move |request| {
        if request.method == "GET" && request.target.ends_with(&config) && held {
            held = false;
            told.notify_one();
            return Some(Reply::Silence);
        }
        store.answer(request)
    })
    .await;
    let source = format!("{}/from:1", registry.host());
    let running = Run::new(&home, ["copy", &source, "oci:web:1"]).start();
    tokio::time::timeout(LIMIT, asked.notified()).await.unwrap();
    running.signal(Signal::KILL);
    drop(running.finish().await);
    assert_eq!(fs::read(layout.join("index.json")).unwrap(), before);
    run(&home, &["verify", "oci:web:1"]).await.expect_code(0);
    // A lock of a process that is gone holds nobody.
    fs::write(layout.join("index.json.lock"), "").unwrap();
    let copied = run(&home, &["copy", &source, "oci:web:1"]).await.expect_code(0);
    assert_eq!(run(&home, &["verify", "oci:web:1"]).await.expect_code(0).stdout, copied.stdout);
}

#[tokio::test]
async fn concurrent_writers_of_one_layout_lose_no_tag() {
    let home = Home::new();
    written(&home).await;
    let tags: Vec<_> = (0..12).map(|n| format!("oci:web:t{n}")).collect();
    let copying = tags.iter().map(async |tag| run(&home, &["copy", "oci:web:1", tag]).await.expect_code(0));
    futures::future::join_all(copying).await;
    let entries = index(&home.path().join("web"))["manifests"].as_array().unwrap().len();
    assert_eq!(entries, 13);
    assert!(!home.path().join("web/index.json.lock").exists());
}
