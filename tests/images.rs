//! `images` of registries that are none of Amazon's: what tags lead to, and nothing without end.

use serde_json::{Value, json};

use crate::support::images::{Document, Image};
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

fn tags(names: &[&str]) -> Reply {
    status(200).body(json!({ "name": "web", "tags": names }).to_string())
}

/// A registry that has `store`, and whose list of tags is `pages`.
async fn registry(store: Store, mut pages: impl FnMut(&Request) -> Reply + Send + 'static) -> ScriptedRegistry {
    ScriptedRegistry::stateful(move |request| {
        if request.target.starts_with("/v2/web/tags/list") { Some(pages(request)) } else { store.answer(request) }
    })
    .await
}

async fn images(registry: &ScriptedRegistry, more: &[&str]) -> Finished {
    let repository = format!("{}/web", registry.host());
    Run::new(&Home::new(), ["images", &repository].iter().chain(more)).finish().await
}

async fn details(registry: &ScriptedRegistry) -> Vec<Value> {
    let listed = images(registry, &["--json"]).await.expect_code(0);
    let document: Value = serde_json::from_str(&listed.stdout).unwrap();
    document["imageDetails"].as_array().unwrap().clone()
}

#[tokio::test]
async fn images_reads_each_manifest_once_and_omits_missing_ones() {
    let store = Store::default();
    let (amd64, arm64) = (Image::oci("linux/amd64", "a"), Image::oci("linux/arm64", "a"));
    let gone = Image::oci("linux/s390x", "gone");
    // As BuildKit wrote caches before it could write them as images.
    let layer = json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": gone.config.digest(), "size": 2 });
    for image in [&amd64, &arm64] {
        store.push("web", "", image);
    }
    store.put("web", "1.0", &Document::index(&[amd64.entry(), arm64.entry(), gone.entry()]));
    store.put("web", "1.1", &Document::index(&[amd64.entry()]));
    store.put("web", "cache", &Document::index(&[layer]));
    let registry = registry(store, |_| tags(&["1.0", "1.1", "cache", "no/tag", "went"])).await;
    let details = details(&registry).await;
    let mut shown: Vec<_> = details.iter().map(|detail| detail["imageDigest"].as_str().unwrap().to_owned()).collect();
    shown.sort();
    shown.dedup();
    assert_eq!((details.len(), shown.len()), (5, 5), "{details:#?}");
    let of = |image: &Image| details.iter().find(|detail| detail["imageDigest"] == image.manifest.digest()).unwrap();
    assert_eq!((&of(&amd64)["platform"], of(&amd64)["indexes"].as_array().unwrap().len()), (&json!("linux/amd64"), 2));
    assert_eq!(of(&arm64)["indexes"].as_array().unwrap().len(), 1);
    for image in [&amd64, &arm64, &gone] {
        assert_eq!(registry.count(&format!("GET /v2/web/manifests/{}", image.manifest.digest())), 1);
    }
    assert_eq!(registry.count(&format!("GET /v2/web/manifests/{}", gone.config.digest())), 0);
}

#[tokio::test]
async fn tag_pages_are_followed_only_at_the_registry_and_end() {
    let store = Store::default();
    store.push("web", "b", &Image::oci("linux/amd64", "b"));
    let elsewhere = ScriptedRegistry::stateful(|_| None).await;
    let other = elsewhere.host();
    let next = move |last: &str| format!("<http://{other}/v2/web/tags/list?n=1000&last={last}>; rel=\"next\"");
    // The last page leads to itself.
    let pages = move |request: &Request| match request.target.rsplit('=').next() {
        Some("1000") => tags(&["a"]).header("Link", next("a")),
        _ => tags(&["b"]).header("Link", next("b")),
    };
    let registry = registry(store, pages).await;
    assert_eq!(details(&registry).await[0]["imageTags"], json!(["b"]));
    assert_eq!((registry.count("GET /v2/web/tags/list?n=1000&last=a"), elsewhere.lines().len()), (1, 0));
    assert_eq!(registry.count("GET /v2/web/tags/list?n=1000&last=b"), 1);
}

#[tokio::test]
async fn endless_tag_list_is_refused() {
    // Eleven pages of a thousand, a thousand pages of one.
    for (size, requests) in [(1000, 11), (1, 1000)] {
        let mut first = 0;
        let endless = move |_: &Request| {
            let names: Vec<_> = (first..first + size).map(|number: usize| number.to_string()).collect();
            first += size;
            tags(&names.iter().map(String::as_str).collect::<Vec<_>>()).header("Link", "</?last=x>; rel=\"next\"")
        };
        let registry = registry(Store::default(), endless).await;
        let refused = images(&registry, &[]).await.expect_code(3);
        assert!(refused.stderr.contains("tags in this repository, the most that polyarch lists"), "{}", refused.stderr);
        assert_eq!(registry.lines().len(), requests);
    }
}

#[tokio::test]
async fn unreadable_manifest_hides_no_other_image() {
    let store = Store::default();
    store.push("web", "good", &Image::oci("linux/amd64", "a"));
    store.put(
        "web",
        "odd",
        &Document::new("application/vnd.example.odd", &json!({ "mediaType": "application/vnd.example.odd" })),
    );
    let registry = registry(store, |_| tags(&["good", "odd"])).await;
    let listed = images(&registry, &[]).await.expect_code(0);
    assert!(listed.stdout.contains("  good  ") && listed.stdout.contains("  not read  "), "{}", listed.stdout);
    assert!(
        listed.stderr.contains("cannot be read: ") && listed.stderr.contains("vnd.example.odd"),
        "{}",
        listed.stderr
    );
}
