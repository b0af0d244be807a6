//! Registries that refuse to mount, break in the middle, lie about content, or send an upload elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use polyarch::auth::{Anonymous, Credential, Secret};
use polyarch::oci::{Descriptor, Digest, MediaType, RepositoryPath};
use polyarch::registry::{
    Backoff, BlobOutcome, BlobSource, Client, ClientConfig, ErrorKind, Proxies, RegistryError, Timeouts, Transport,
};

use crate::support::images::Image;
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

pub(super) const CONTENT: &[u8] = b"a layer that is longer than nothing";

pub(super) fn blob() -> Descriptor {
    let digest = Digest::of(CONTENT);
    let text = format!(r#"{{"mediaType":"x/layer","digest":"{digest}","size":{}}}"#, CONTENT.len());
    serde_json::from_str(&text).unwrap()
}

pub(super) fn path(text: &str) -> RepositoryPath {
    text.parse().unwrap()
}

#[derive(Debug)]
struct User;

impl polyarch::auth::CredentialSource for User {
    fn credential<'a>(
        &'a self,
        _: &'a polyarch::oci::RegistryHost,
        _: Option<&'a polyarch::oci::RepositoryPath>,
    ) -> futures::future::BoxFuture<'a, Result<Credential, polyarch::auth::AuthError>> {
        let login = Credential::Basic { username: "user".to_owned(), password: Secret::new("canary") };
        Box::pin(std::future::ready(Ok(login)))
    }
}

pub(super) fn client(registry: &ScriptedRegistry, credentials: Arc<dyn polyarch::auth::CredentialSource>) -> Client {
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: Backoff { base: Duration::from_millis(1), ..Backoff::STANDARD },
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    Client::new(config, registry.host().parse().unwrap(), Transport::Http, credentials).unwrap()
}

/// A registry that has the blob in `from` and takes it in `to`; `special` goes before.
pub(super) async fn willing(special: impl Fn(&Request, usize) -> Option<Reply> + Send + 'static) -> ScriptedRegistry {
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let (target, digest) = (format!("/v2/to/blobs/{}", blob().digest), blob().digest.to_string());
    let put = format!("PUT /upload/2?state=b&digest={}", digest.replace(':', "%3A"));
    ScriptedRegistry::stateful(move |request| {
        let line = request.line();
        let count = seen.entry(line.split('?').next().unwrap().to_owned()).or_default();
        *count += 1;
        special(request, *count).or_else(|| match line.as_str() {
            _ if line == format!("HEAD {target}") => Some(status(404)),
            _ if line == format!("GET /v2/from/blobs/{digest}") => Some(status(200).body(CONTENT)),
            "POST /v2/to/blobs/uploads/" => Some(status(202).header("Location", "/upload/1?state=a")),
            // It cannot say how far it is.
            "GET /upload/1?state=a" | "GET /upload/2?state=b" => Some(status(404)),
            "PATCH /upload/1?state=a" => Some(status(202).header("Location", "../upload/2?state=b")),
            _ if line == put => Some(status(201).header("Docker-Content-Digest", digest.clone())),
            _ => None,
        })
    })
    .await
}

pub(super) async fn copy(from: &Client, to: &Client, moved: &AtomicU64) -> Result<BlobOutcome, RegistryError> {
    let (repository, target) = (path("from"), path("to"));
    let source = BlobSource::Registry { client: from, repository: &repository };
    to.copy_blob(&target, &blob(), source, moved).await
}

/// One registry that is both.
pub(super) async fn copied(registry: &ScriptedRegistry) -> (Result<BlobOutcome, RegistryError>, u64) {
    let (client, moved) = (client(registry, Arc::new(Anonymous)), AtomicU64::new(0));
    let arrival = copy(&client, &client, &moved).await;
    (arrival, moved.load(Ordering::Relaxed))
}

pub(super) fn is_mount(request: &Request) -> bool {
    request.target.starts_with("/v2/to/blobs/uploads/?mount=")
}

#[tokio::test]
async fn existing_and_mounted_blobs_send_no_content() {
    let there = willing(|request, _| (request.method == "HEAD").then(|| status(200))).await;
    assert!(matches!(copied(&there).await, (Ok(BlobOutcome::Present), 0)));
    assert_eq!(there.requests().len(), 1);
    let mounting = willing(|request, _| is_mount(request).then(|| status(201))).await;
    assert!(matches!(copied(&mounting).await, (Ok(BlobOutcome::Mounted), 0)));
    let mount = format!("POST /v2/to/blobs/uploads/?mount={}&from=from", blob().digest);
    assert_eq!(mounting.lines()[1..], [mount]);
}

#[tokio::test]
async fn refused_mount_becomes_a_copy() {
    for refusal in [400, 401, 403, 404, 405] {
        let registry = willing(move |request, _| is_mount(request).then(|| status(refusal))).await;
        assert!(matches!(copied(&registry).await, (Ok(BlobOutcome::Copied), 35)), "{refusal}");
        let requests = registry.requests();
        let patch = requests.iter().find(|request| request.method == "PATCH").unwrap();
        assert_eq!((&patch.body[..], patch.header("content-length")), (CONTENT, Some("35")), "{refusal}");
    }
    // One that does not mount may begin an upload at once.
    let offering =
        |request: &Request, _| is_mount(request).then(|| status(202).header("Location", "/upload/1?state=a"));
    let registry = willing(offering).await;
    assert!(matches!(copied(&registry).await, (Ok(BlobOutcome::Copied), 35)));
    assert_eq!(registry.count("POST "), 1);
}

#[tokio::test]
async fn upload_that_ends_other_than_201_is_checked_by_head() {
    for code in [200, 202, 204] {
        for there in [true, false] {
            let registry = willing(move |request, count| match request.method.as_str() {
                "POST" if is_mount(request) => Some(status(404)),
                "PUT" => Some(status(code)),
                "HEAD" if count > 1 && there => Some(status(200).header("Content-Length", "35")),
                _ => None,
            })
            .await;
            let (arrival, _) = copied(&registry).await;
            assert_eq!(matches!(arrival, Ok(BlobOutcome::Copied)), there, "{code}: {arrival:?}");
        }
    }
}

#[tokio::test]
async fn blob_is_sent_when_the_registry_refuses_head() {
    for code in [400, 405, 406, 501] {
        let registry = willing(move |request, _| match request.method.as_str() {
            "POST" if is_mount(request) => Some(status(404)),
            "HEAD" => Some(status(code)),
            _ => None,
        })
        .await;
        assert!(matches!(copied(&registry).await, (Ok(BlobOutcome::Copied), 35)), "{code}");
    }
}

#[tokio::test]
async fn broken_blob_transfer_is_repeated_and_counted_once() {
    let cut = |request: &Request, count| {
        (request.line().starts_with("GET /v2/from/blobs/") && count == 1)
            .then(|| status(200).header("Content-Length", "35").body(&CONTENT[..10]))
    };
    let broken = willing(move |request, count| {
        if is_mount(request) {
            return Some(status(404));
        }
        cut(request, count).or_else(|| (request.method == "PATCH" && count == 1).then_some(Reply::Reset))
    })
    .await;
    assert!(matches!(copied(&broken).await, (Ok(BlobOutcome::Copied), 35)));
    // The download went on, the first upload was given up with its content.
    assert_eq!((broken.count("GET /v2/"), broken.count("GET /upload/"), broken.count("PUT ")), (3, 1, 1));

    let never = willing(|request, _| {
        if is_mount(request) {
            return Some(status(404));
        }
        (request.method == "PATCH").then_some(Reply::Reset)
    })
    .await;
    let (failed, moved) = copied(&never).await;
    assert!(matches!(failed.unwrap_err().kind(), ErrorKind::Interrupted(_)));
    assert_eq!((never.count("PATCH "), moved), (5, 0), "one layer of attempts");
}

#[tokio::test]
async fn upload_with_a_lost_last_answer_is_found_by_head() {
    let stored = Mutex::new(false);
    let registry = willing(move |request, _| {
        if is_mount(request) {
            return Some(status(404));
        }
        let mut stored = stored.lock().unwrap();
        match request.method.as_str() {
            "PUT" => {
                *stored = true;
                Some(Reply::Reset)
            }
            "HEAD" if *stored => Some(status(200)),
            _ => None,
        }
    })
    .await;
    assert!(matches!(copied(&registry).await.0, Ok(BlobOutcome::Present)));
    assert_eq!(registry.count("PATCH "), 1);
}

#[tokio::test]
async fn blob_with_wrong_bytes_is_never_completed() {
    let wrong = CONTENT.to_ascii_uppercase();
    for content in [wrong, CONTENT[1..].to_vec(), [CONTENT, b"!"].concat()] {
        let registry = willing(move |request, _| {
            if is_mount(request) {
                return Some(status(404));
            }
            match request.method.as_str() {
                "GET" => Some(status(200).body(content.clone())),
                "DELETE" => Some(status(204)),
                _ => None,
            }
        })
        .await;
        let (failed, moved) = copied(&registry).await;
        let failed = failed.unwrap_err();
        assert!(failed.is_refusal(), "{failed}");
        assert_eq!((registry.count("PUT "), registry.count("GET "), moved), (0, 1, 0));
    }
}

#[tokio::test]
async fn upload_on_another_host_gets_no_credentials() {
    let storage = ScriptedRegistry::stateful(|request| match request.method.as_str() {
        "PATCH" => Some(status(202)),
        "PUT" => Some(status(201)),
        _ => None,
    })
    .await;
    let elsewhere = format!("http://{}/put?sig=1", storage.host());
    let registry = willing(move |request, _| {
        if request.header("authorization").is_none() {
            return Some(status(401).header("WWW-Authenticate", "Basic realm=\"r\""));
        }
        (is_mount(request) || request.method == "POST").then(|| status(202).header("Location", elsewhere.clone()))
    })
    .await;
    let (client, moved) = (client(&registry, Arc::new(User)), AtomicU64::new(0));
    assert_eq!(copy(&client, &client, &moved).await.unwrap(), BlobOutcome::Copied);
    assert_eq!(storage.requests().len(), 2);
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));
    // Nor is it asked for there.
    let asking =
        ScriptedRegistry::stateful(|_| Some(status(401).header("WWW-Authenticate", "Basic realm=\"r\""))).await;
    let elsewhere = format!("http://{}/put?sig=1", asking.host());
    let registry = willing(move |request, _| {
        let location = elsewhere.clone();
        // Everybody may come in here, also those who have a login.
        let home = (request.target == "/v2/").then(|| status(200));
        let begins = is_mount(request) || request.method == "POST";
        home.or_else(|| begins.then(|| status(202).header("Location", location)))
    })
    .await;
    let client = self::client(&registry, Arc::new(User));
    assert!(copy(&client, &client, &moved).await.is_err());
    assert!(asking.requests().iter().all(|request| request.header("authorization").is_none()));
    // And not everywhere.
    let evil =
        willing(|request, _| is_mount(request).then(|| status(202).header("Location", "http://169.254.169.254/put")))
            .await;
    assert!(matches!(copied(&evil).await.0.unwrap_err().kind(), ErrorKind::Target(_)));
}

#[tokio::test]
async fn mount_asks_for_a_token_of_both_repositories() {
    let registry = willing(|request, _| {
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host").unwrap());
        if request.target.starts_with("/token") {
            return Some(status(200).body(r#"{"token":"t"}"#));
        }
        if request.header("authorization").is_none() {
            return Some(status(401).header("WWW-Authenticate", realm));
        }
        is_mount(request).then(|| status(201))
    })
    .await;
    assert!(matches!(copied(&registry).await.0, Ok(BlobOutcome::Mounted)));
    let both = "scope=repository%3Ato%3Apull%2Cpush&scope=repository%3Afrom%3Apull";
    assert!(registry.lines().iter().any(|line| line.contains(both)), "{:?}", registry.lines());
}

#[tokio::test]
async fn copy_of_wrong_bytes_moves_no_tag_and_exits_7() {
    let store = Store::default();
    let image = Image::oci("linux/arm64", "lied about");
    store.push("from", "1", &image);
    let config = image.config.digest();
    let reads = Mutex::new(0);
    let registry = ScriptedRegistry::stateful(move |request| {
        let target = request.target.as_str();
        match request.method.as_str() {
            "GET" if target.ends_with(&config) => {
                // It is read once to see what it is, and then to be copied.
                *reads.lock().unwrap() += 1;
                let lie = status(200).body(image.config.bytes.to_ascii_uppercase());
                if *reads.lock().unwrap() > 1 { Some(lie) } else { store.answer(request) }
            }
            "POST" => Some(status(202).header("Location", "/upload/1")),
            "PATCH" => Some(status(202)),
            "DELETE" => Some(status(204)),
            "HEAD" if target.contains("/blobs/") => Some(status(404)),
            _ => store.answer(request),
        }
    })
    .await;
    let [from, to] = ["from:1", "to:1"].map(|name| format!("{}/{name}", registry.host()));
    let refused = Run::new(&Home::new(), ["join", "-t", &to, &from]).finish().await.expect_code(7);
    assert!(refused.stderr.contains("has the wrong content"), "{}", refused.stderr);
    assert_eq!((registry.count("PUT "), refused.stdout.as_str()), (0, ""));
}

#[tokio::test]
async fn child_that_the_target_only_claims_to_have_fails() {
    let store = Store::default();
    let image = Image::oci("linux/arm64", "promised");
    store.push("from", "1", &image);
    let promised = format!("/v2/to/manifests/{}", image.manifest.digest());
    let registry = ScriptedRegistry::stateful(move |request| match request.method.as_str() {
        "HEAD" if request.target == promised => {
            Some(status(200).header("Docker-Content-Digest", image.manifest.digest()))
        }
        _ => store.answer(request),
    })
    .await;
    let [from, to] = ["from:1", "to:1"].map(|name| format!("{}/{name}", registry.host()));
    for run in ["the first puts the index", "the second finds it there"] {
        let joined = Run::new(&Home::new(), ["join", "-t", &to, &from]).finish().await.expect_code(7);
        assert!(joined.stderr.contains("the published index"), "{run}: {}", joined.stderr);
        assert_eq!((registry.count("PUT /v2/to/manifests/1"), joined.stdout.as_str()), (1, ""), "{run}");
    }
}

#[tokio::test]
async fn non_distributable_layers_are_not_copied() {
    let store = Store::default();
    let mut image = Image::oci("windows/amd64", "base");
    let mut manifest = image.manifest.json();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    manifest["layers"] = serde_json::json!([{
        "mediaType": foreign, "digest": Digest::of(b"far away"), "size": 8, "urls": ["https://example.com/layer"],
    }]);
    image.manifest.bytes = manifest.to_string().into_bytes();
    store.push("from", "1", &image);
    let registry = ScriptedRegistry::stateful(move |request| match request.method.as_str() {
        "POST" => Some(status(201)),
        "HEAD" if request.target.contains("/blobs/") => Some(status(404)),
        _ => store.answer(request),
    })
    .await;
    let [from, to] = ["from:1", "to:1"].map(|name| format!("{}/{name}", registry.host()));
    let joined = Run::new(&Home::new(), ["join", "-t", &to, &from]).finish().await.expect_code(0);
    assert!(joined.stderr.contains("non-distributable layers were not copied: 1"), "{}", joined.stderr);
    let layer = Digest::of(b"far away").to_string();
    assert!(!registry.lines().iter().any(|line| line.contains(&layer)), "{:?}", registry.lines());
    assert_eq!(MediaType::parse(foreign).as_str(), foreign);
}
