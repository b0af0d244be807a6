//! A hostile registry sends the client elsewhere, lies or exhausts the client. `docs/contributing/advisories.md` lists
//! the public advisories about such registries.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use polyarch::auth::Anonymous;
use polyarch::oci::{Digest, MediaType, RegistryHost, Selector};
use polyarch::registry::{BlobOutcome, BlobSource, ErrorKind, RegistryError, Visibility};
use serde_json::json;

use super::{CANARY, GET, HEAD, Login, PUT, Peer, TYPE, index, manifest, quick, repository, tag};
use crate::registry_conformance::peer::{self, Answer};
use crate::support::distribution::{Distribution, Setup};
use crate::support::images::{Document, Image, OCI_MANIFEST};
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Body, Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

/// What is uploaded.
const BLOB: &str = "a blob";

/// A registry that takes an upload wherever `location` leads, if that is to itself.
async fn uploading(location: Option<&'static str>) -> (ScriptedRegistry, Result<BlobOutcome, RegistryError>) {
    let registry = ScriptedRegistry::stateful(move |request: &Request| {
        if request.header("authorization").is_none() {
            return Some(status(401).header("WWW-Authenticate", "Basic"));
        }
        let host = request.header("host").unwrap();
        Some(match request.method.as_str() {
            "HEAD" => status(404),
            "GET" => status(200).body(BLOB),
            "POST" if request.target.contains("mount=") => status(405),
            "POST" => match location {
                Some(location) => status(202).header("Location", location.replace("HOST", host)),
                None => status(202),
            },
            "PATCH" => status(202),
            "PUT" => status(201),
            _ => return None,
        })
    })
    .await;
    let peer = Peer::new(&registry.host(), quick(), Login::basic());
    let (from, blob) = ("from".parse().unwrap(), super::descriptor(BLOB));
    let source = BlobSource::Registry { client: &peer.client, repository: &from };
    let arrival = peer.client.copy_blob(&"to".parse().unwrap(), &blob, source, &AtomicU64::new(0)).await;
    (registry, arrival)
}

#[tokio::test]
async fn upload_location_is_followed_only_to_allowed_hosts() {
    for (location, patch) in [
        ("/up/1", "PATCH /up/1"),
        ("/up/1?state=a%2Fb", "PATCH /up/1?state=a%2Fb"),
        ("http://HOST/up/1?state=a", "PATCH /up/1?state=a"),
        ("1", "PATCH /v2/to/blobs/uploads/1"),
    ] {
        let (registry, arrival) = uploading(Some(location)).await;
        assert_eq!(arrival.unwrap(), BlobOutcome::Copied, "{location}");
        assert_eq!(registry.count(patch), 1, "{location}: {:?}", registry.lines());
        let digest = Digest::of(BLOB.as_bytes()).to_string().replace(':', "%3A");
        assert!(registry.lines().iter().any(|line| line.starts_with("PUT ") && line.ends_with(&digest)), "{location}");
    }
    for location in [
        None,
        Some("http://[::bad/up"),
        Some("http://169.254.169.254/up"),
        Some("http://10.0.0.1/up"),
        Some("http://user:password@HOST/up"),
        Some("ftp://HOST/up"),
    ] {
        let (registry, arrival) = uploading(location).await;
        let error = arrival.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Target(_)) && error.is_refusal(), "{location:?}: {error}");
        assert_eq!(registry.count("PATCH ") + registry.count("PUT "), 0, "{location:?}");
    }
}

/// Pages of tags may lead to other hosts, and have no end: there is one place that turns them, and it is bounded.
#[test]
fn tag_pages_are_followed_in_one_source_file_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // It serves such lists.
                folders.extend((!path.ends_with("src/embedded")).then_some(path));
                continue;
            }
            if path.ends_with("src/registry/operations/tags.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for page in ["tags/list", "_catalog", "header::LINK"] {
                assert!(
                    !text.contains(page),
                    "{} has {page}: only src/registry/operations/tags.rs turns pages",
                    path.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn claims_inside_a_manifest_do_not_change_its_identity() {
    let lie = Digest::of(b"lie");
    let document = json!({
        "schemaVersion": 2, "mediaType": TYPE, "manifests": [],
        "digest": lie, "name": "other/repository", "tag": "2.0", "size": 1, "signatures": [{ "protected": "e30" }],
    })
    .to_string();
    let bytes = document.clone();
    let registry =
        ScriptedRegistry::stateful(move |_| Some(status(200).header("Content-Type", TYPE).body(bytes.clone()))).await;
    let peer = Peer::anonymous(&registry);
    let got = peer.get().await.unwrap();
    assert_eq!((got.digest(), got.bytes()), (&Digest::of(document.as_bytes()), document.as_bytes()));
    let claimed = peer.client.get_manifest(&repository(), &Selector::Digest(lie), Visibility::Settled).await;
    assert!(claimed.unwrap_err().is_refusal());
}

/// Texts that are no digest, and would be another place if they came into a path.
fn no_digests() -> Vec<String> {
    let hex = "a".repeat(64);
    vec![
        String::new(),
        "sha256:".to_owned(),
        "sha256:../../../other/manifests/1".to_owned(),
        format!("sha256:{hex}/../../../other/manifests/1"),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", "a".repeat(63)),
        format!("sha256:{}", "a".repeat(65)),
        format!("sha512:{hex}"),
        format!("md5:{hex}"),
        format!("sha256:{}%2f", &hex[3..]),
        format!("sha256:{hex}\n"),
        "a".repeat(1 << 20),
    ]
}

#[tokio::test]
async fn malformed_digests_never_become_part_of_a_request() {
    for text in no_digests() {
        let shown: String = text.chars().take(80).collect();
        assert!(text.parse::<Digest>().is_err(), "{shown:?}");
        assert!(format!("registry.example/a@{text}").parse::<polyarch::oci::Reference>().is_err(), "{shown:?}");
        // In the entry of an index, and in a manifest.
        let bad = json!({ "mediaType": OCI_MANIFEST, "digest": text, "size": 2, "platform": { "os": "linux", "architecture": "arm64" } });
        let index = Document::index(std::slice::from_ref(&bad));
        let image = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": bad, "layers": [bad] });
        for document in [index, Document::new(OCI_MANIFEST, &image)] {
            let store = Store::default();
            store.put("hello", "1", &document);
            let registry = ScriptedRegistry::stateful(move |request| store.answer(request)).await;
            let client = Peer::anonymous(&registry).client;
            let got = client
                .get_manifest(&"hello".parse().unwrap(), &Selector::Tag("1".parse().unwrap()), Visibility::Settled)
                .await;
            let content = got.map(|manifest| manifest.content().map(drop));
            assert!(!matches!(content, Ok(Ok(()))), "{shown:?}");
        }
    }
    // A header that says one is passed over.
    let registry = ScriptedRegistry::ordered([(
        HEAD,
        index().header("Docker-Content-Digest", "sha256:../../other/manifests/1").header("Content-Length", "2"),
    )])
    .await;
    let head = Peer::anonymous(&registry).client.head_manifest(&repository(), &tag()).await.unwrap().unwrap();
    assert_eq!(head.digest, None);
}

#[tokio::test]
async fn pinned_digest_is_enforced_for_join_copy_and_verify() {
    let (store, other) = (Store::default(), Image::oci("linux/arm64", "other"));
    let image = Image::oci("linux/arm64", "pinned");
    store.push("hello", "1", &other);
    let pinned = format!("/v2/hello/manifests/{}", image.manifest.digest());
    let registry = ScriptedRegistry::stateful(move |request| {
        let mut request = request.clone();
        if request.target == pinned {
            request.target = "/v2/hello/manifests/1".to_owned();
        }
        store.answer(&request)
    })
    .await;
    let source = format!("{}/hello@{}", registry.host(), image.manifest.digest());
    let target = format!("{}/hello:2", registry.host());
    for args in [&["join", "-t", &target, &source][..], &["copy", &source, &target], &["verify", &source]] {
        let refused = Run::new(&Home::new(), args).finish().await.expect_code(7);
        assert!(refused.stderr.contains("has the wrong content"), "{args:?}: {}", refused.stderr);
    }
    assert_eq!(registry.count("PUT "), 0);
}

#[tokio::test]
async fn impossible_sizes_are_refused_without_overflow() {
    let of = |size: serde_json::Value| {
        let config = "application/vnd.oci.image.config.v1+json";
        let config = json!({ "mediaType": config, "digest": Digest::of(b"{}"), "size": 2 });
        let layer = |content: &[u8]| {
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            json!({ "mediaType": media_type, "digest": Digest::of(content), "size": size })
        };
        let layers = [layer(b"one"), layer(b"other")];
        let document = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
        Document::new(OCI_MANIFEST, &document)
    };
    // They have it all, they say: nothing is sent, but what it would be is counted.
    let store = Store::default();
    store.put("from", "huge", &of(json!(i64::MAX)));
    // Readers whose sizes have a sign do not take this size.
    store.put("from", "unsigned", &of(json!(u64::MAX)));
    store.put("from", "negative", &of(json!(-1)));
    store.put("from", "fraction", &of(json!(1.5)));
    store.put("from", "more", &of(json!(1e300)));
    let registry = ScriptedRegistry::stateful(move |request| match request.method.as_str() {
        "HEAD" if request.target.contains("/blobs/") => Some(status(200)),
        _ => store.answer(request),
    })
    .await;
    for (tag, code) in [("huge", 0), ("unsigned", 7), ("negative", 7), ("fraction", 7), ("more", 7)] {
        let [from, to] = ["from", "to"].map(|name| format!("{}/{name}:{tag}", registry.host()));
        Run::new(&Home::new(), ["copy", &from, &to]).finish().await.expect_code(code);
    }
    // A config is fetched as far as configs go.
    let peer = Peer::anonymous(&registry);
    let mut config = super::descriptor(BLOB);
    config.size = (1 << 63) - 1;
    let before = registry.requests().len();
    let error = peer.client.get_config(&repository(), &config).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
    assert_eq!(registry.requests().len(), before);
}

#[tokio::test]
async fn endless_refusal_is_shortened_and_its_start_is_shown() {
    let page = format!("the disk is full\n{CANARY}{}", "x".repeat(1 << 20));
    let long = format!(r#"{{"errors":[{{"code":"DENIED","message":"{}"}}]}}"#, "no ".repeat(10_000));
    let registry = ScriptedRegistry::ordered([
        (GET, status(400).body(page)),
        (GET, status(403).body(long)),
        (GET, status(403).send(Body::Endless)),
    ])
    .await;
    let peer = Peer::anonymous(&registry);
    let told = peer.get().await.unwrap_err().to_string();
    assert!(told.contains("answered 400: the disk is full") && !told.contains(CANARY), "{told}");
    for _ in 0..2 {
        let error = peer.get().await.unwrap_err();
        assert!(error.is_denied() && error.to_string().len() < 1000, "{error}");
    }
}

/// What is sent can be sent again: none of it is left out the second time.
#[tokio::test]
async fn repeated_push_sends_the_whole_body_again() {
    let busy = || status(429).header("Retry-After", "0");
    let registry =
        ScriptedRegistry::ordered([(PUT, busy()), (PUT, Reply::Reset), (PUT, busy()), (PUT, status(201))]).await;
    Peer::anonymous(&registry).put().await.unwrap();
    for request in registry.requests() {
        assert_eq!(request.body, manifest().bytes());
        assert_eq!(request.header("content-length"), Some(manifest().size().to_string().as_str()));
    }
}

#[test]
fn only_true_loopback_names_count_as_loopback() {
    for (name, is_loopback) in [
        ("localhost", true),
        ("LOCALHOST:5000", true),
        ("127.0.0.1:5000", true),
        ("127.8.8.8", true),
        ("[::1]:5000", true),
        ("localhost.evil.com", false),
        ("127.0.0.1.nip.io", false),
        ("localhost-evil", false),
        ("evil.localhost.com:5000", false),
        ("0.0.0.0:5000", false),
        ("10.0.0.1", false),
        ("[::]", false),
    ] {
        assert_eq!(name.parse::<RegistryHost>().unwrap().is_loopback(), is_loopback, "{name}");
    }
    for name in ["localhost:5000.evil", "localhost:", "localhost:0", "localhost:99999", "[::1", "localhost/evil", ""] {
        assert!(name.parse::<RegistryHost>().is_err(), "{name}");
    }
    // A path may be called so.
    let reference: polyarch::oci::Reference = "evil.example/localhost:1".parse().unwrap();
    assert_eq!(reference.repository.host().as_str(), "evil.example");
}

/// A proxy hears of every request in clear, whatever its name resolves to.
#[tokio::test]
async fn remote_registry_gets_no_plain_http_without_insecure() {
    let proxy = ScriptedRegistry::stateful(|request| (request.method == "GET").then(index)).await;
    let home = Home::new();
    for (name, insecure, asked) in [
        ("localhost.invalid:5000", None, 0),
        ("127.0.0.1.invalid", None, 0),
        ("localhost.invalid:5000", Some("--insecure"), 1),
    ] {
        let name = format!("{name}/hello:1");
        let args = ["inspect", "--raw", &name].into_iter().chain(insecure);
        let run = Run::new(&home, args).env("HTTP_PROXY", proxy.host()).finish().await;
        let code = if insecure.is_some() { 0 } else { 3 };
        let run = run.expect_code(code);
        assert_eq!(proxy.requests().len().min(1), asked, "{name}: {}", run.stderr);
    }
}

#[tokio::test]
async fn unknown_host_name_is_looked_up_three_times() {
    let peer = Peer::new("registry.invalid", quick(), Anonymous);
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Dns(_)) && error.is_unreachable(), "{error}");
    assert!(error.hint().unwrap().contains("registry.invalid"));
    assert_eq!(peer.notices.lock().unwrap().len(), 2);
}

/// One layer of attempts, the registry's own words, and nothing under the tag.
#[tokio::test]
async fn full_registry_disk_is_retried_five_times_at_most() {
    let (from, full) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Full));
    let (peer, layer) = (peer::Peer::new(&from.base(), "web"), "x".repeat(4 << 20));
    peer.image(Some("1"), &MediaType::OciManifest, &layer).await.unwrap();
    let [source, target] = [&from, &full].map(|registry| format!("{}/web:1", registry.address()));
    let copied = Run::new(&Home::new(), ["copy", &source, &target]).finish().await.expect_code(6);
    for said in ["copy ", "registry", "read the registry's log"] {
        assert!(copied.stderr.contains(said), "{said:?}: {}", copied.stderr);
    }
    let puts = full.requests().into_iter().filter(|line| line.starts_with("PATCH ")).count();
    assert!((1..=5).contains(&puts), "{:?}", full.requests());
    let tag = Answer::of(peer::Peer::new(&full.base(), "web").ask(http::Method::GET, "manifests/1")).await.unwrap();
    tag.is(404).unwrap();
}

/// Public registries had advisories for each of these requests (`docs/contributing/advisories.md`).
#[tokio::test]
async fn embedded_registry_limits_mounts_deletes_and_lists() {
    let home = Home::new();
    let mut serving = Run::new(&home, ["serve"]).start();
    let base = format!("http://{}", serving.stdout_line(":").await);
    let peer = peer::Peer::new(&base, "hello");
    let digest = Digest::of(&peer.image(Some("1"), &MediaType::OciManifest, "layer").await.unwrap());
    let ask = |method, path: String| Answer::of(peer.ask(method, &path));
    for path in [format!("manifests/{digest}"), format!("blobs/{}", Digest::of(b"layer"))] {
        ask(http::Method::DELETE, path.clone())
            .await
            .unwrap()
            .is(405)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        peer.head(&path).await.unwrap().is(200).unwrap();
    }
    // A tag goes alone.
    ask(http::Method::DELETE, "manifests/1".to_owned()).await.unwrap().is(202).unwrap();
    peer.head("manifests/1").await.unwrap().is(404).unwrap();
    peer.head(&format!("manifests/{digest}")).await.unwrap().is(200).unwrap();
    // Of a repository that does not have it, a blob is not had, though another one has it.
    let other = peer::Peer::new(&base, "other");
    let mount = format!("blobs/uploads/?mount={}&from=nowhere", Digest::of(b"layer"));
    Answer::of(other.ask(http::Method::POST, &mount)).await.unwrap().is(202).unwrap();
    other.head(&format!("blobs/{}", Digest::of(b"layer"))).await.unwrap().is(404).unwrap();
    for (number, code) in [("4611686018427387904", 200), ("-1", 400), ("abc", 400)] {
        peer.get(&format!("tags/list?n={number}")).await.unwrap().is(code).unwrap();
    }
    Answer::of(peer.request(http::Method::GET, "/v2/_catalog")).await.unwrap().is(404).unwrap();
}
