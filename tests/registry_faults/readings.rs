//! Documents that polyarch would read in one way and Go's readers (engines, crane, skopeo) in another one.

use std::fs;

use polyarch::oci::Digest;
use serde_json::json;

use crate::support::images::{Document, Image, attestation};
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::ScriptedRegistry;
use crate::support::store::Store;

/// A document as text, with `more` before its end.
fn with(document: &Document, more: &str) -> Document {
    let text = String::from_utf8(document.bytes.clone()).unwrap();
    let text = format!("{},{more}}}", text.strip_suffix('}').unwrap());
    Document { media_type: document.media_type.clone(), bytes: text.into_bytes() }
}

/// An image for amd64 whose config ends with `more`.
fn image_of_config(more: &str) -> (Document, Document) {
    let image = Image::oci("linux/amd64", "two readings");
    let config = with(&image.config, more);
    let mut manifest = image.manifest.json();
    manifest["config"] = config.descriptor();
    (Document::new(&image.manifest.media_type, &manifest), config)
}

/// The documents that a registry may have under `hello:1`, each with the blobs beside it.
fn documents() -> Vec<(&'static str, Document, Store)> {
    let mut all = Vec::new();
    let plain = Image::oci("linux/amd64", "plain");
    for more in [
        r#""Architecture":"arm64""#,
        r#""architecture":"amd64""#,
        "\"o\u{17f}\":\"windows\"",
        r#""config":{"Entrypoint":["/a"],"\u0065ntrypoint":["/b"]}"#,
        r#""config":{"cmd":["/b"]}"#,
    ] {
        let (manifest, config) = image_of_config(more);
        let store = Store::default();
        store.keep(&config);
        all.push((more, manifest, store));
    }
    for more in [r#""Layers":[]"#, r#""\u0063onfig":{}"#, r#""MediaType":"x""#, r#""fsLayers":[]"#, r#""Manifests":[]"#]
    {
        let store = Store::default();
        store.push("hello", "plain", &plain);
        all.push((more, with(&plain.manifest, more), store));
    }
    let listing = Document::index(&[plain.entry()]);
    for more in [r#""Manifests":[]"#, r#""manifests":[]"#, r#""manife\u0073ts":[]"#, "\"manife\u{17f}ts\":[]"] {
        let store = Store::default();
        store.push("hello", "plain", &plain);
        all.push((more, with(&listing, more), store));
    }
    for field in [r#""Digest":"x""#, r#""platform":{"os":"linux","architecture":"amd64","Architecture":"arm64"}"#] {
        let text = String::from_utf8(listing.bytes.clone()).unwrap().replacen("[{", &format!("[{{{field},"), 1);
        let store = Store::default();
        store.push("hello", "plain", &plain);
        all.push((field, Document { bytes: text.into_bytes(), ..listing.clone() }, store));
    }
    let (attesting, mut attests) = attestation(&plain.manifest, &json!({}));
    let more = r#""Subject":{"digest":"x"}"#;
    let attesting = with(&attesting, more);
    attests["digest"] = attesting.digest().into();
    attests["size"] = attesting.bytes.len().into();
    let store = Store::default();
    store.push("hello", "plain", &plain);
    store.put("hello", "attesting", &attesting);
    all.push((more, Document::index(&[plain.entry(), attests]), store));
    all
}

#[tokio::test]
async fn ambiguous_documents_are_neither_joined_nor_verified() {
    for (way, document, store) in documents() {
        store.put("hello", "1", &document);
        let registry = ScriptedRegistry::stateful(move |request| store.answer(request)).await;
        let [source, target] = ["hello:1", "joined:1"].map(|name| format!("{}/{name}", registry.host()));
        for args in [&["join", "-t", &target, &source][..], &["verify", &source]] {
            let refused = Run::new(&Home::new(), args).finish().await.expect_code(7);
            let told = refused.stderr.contains("can be read in two ways") || refused.stderr.contains("is ambiguous");
            assert!(told, "{way} {args:?}: {}", refused.stderr);
        }
        assert_eq!(registry.count("PUT "), 0, "{way}");
    }
}

#[tokio::test]
async fn ambiguous_layout_is_refused_and_left_unchanged() {
    let home = Home::new();
    let folder = home.path().join("layout");
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let image = Image::oci("linux/amd64", "layout");
    for blob in image.blobs().chain([&image.manifest]) {
        fs::write(folder.join("blobs/sha256").join(&blob.digest()["sha256:".len()..]), &blob.bytes).unwrap();
    }
    let mut listed = image.entry();
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
    let index = json!({ "schemaVersion": 2, "manifests": [listed] }).to_string();
    let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
    let store = Store::default();
    let registry = ScriptedRegistry::stateful(move |request| store.answer(request)).await;
    let target = format!("{}/joined:1", registry.host());
    let other = Digest::of(b"other");
    for (way, index, layout) in [
        ("a list", index.replace("\"schemaVersion\"", "\"Manifests\":[],\"schemaVersion\""), layout.to_owned()),
        ("an entry", index.replace("\"size\"", &format!("\"DIGEST\":\"{other}\",\"size\"")), layout.to_owned()),
        (
            "a name twice",
            index.replace("\"1\"", "\"1\",\"org.opencontainers.image.ref.name\":\"2\""),
            layout.to_owned(),
        ),
        ("a version", index.clone(), layout.replace('}', ",\"ImageLayoutVersion\":\"2.0.0\"}")),
    ] {
        fs::write(folder.join("index.json"), &index).unwrap();
        fs::write(folder.join("oci-layout"), layout).unwrap();
        let refused = Run::new(&home, ["join", "-t", &target, "oci:layout:1"]).finish().await.expect_code(7);
        assert!(refused.stderr.contains("can be read in two ways"), "{way}: {}", refused.stderr);
        assert_eq!(fs::read_to_string(folder.join("index.json")).unwrap(), index, "{way}");
    }
    assert_eq!(registry.count("PUT "), 0);
}
