//! `verify`, `inspect` and `digest` against registries that have, lack and lie.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use polyarch::oci::Digest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::distribution::{Distribution, Setup};
use crate::support::images::{Document, Image, OCI_INDEX, attestation};
use crate::support::parts;
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_engine::{Rest, Script, ScriptedEngine};
use crate::support::scripted_registry::{Body, Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer: the registry hands out its bytes and asks nobody what they are.
fn layer(text: &str) -> Document {
    Document::new(LAYER, &json!(text))
}

/// Two images that share a layer, an attestation of the first, and the index of them, as `web:1`.
struct Web {
    store: Store,
    own: Document,
    shared: Document,
    statement: String,
    index: Document,
    images: [Image; 2],
}

impl Web {
    fn new() -> Self {
        let (store, own, shared) = (Store::default(), layer("own"), layer("shared"));
        let amd64 = Image::oci("linux/amd64", "a").holding(&json!({}), &[&shared, &own]);
        let arm64 = Image::oci("linux/arm64", "b").holding(&json!({}), &[&shared]);
        for image in [&amd64, &arm64] {
            store.push("web", "", image);
        }
        let (attests, attesting) = attestation(&amd64.manifest, &json!({}));
        store.put("web", "", &attests);
        let index = Document::index(&[amd64.entry(), arm64.entry(), attesting]);
        store.put("web", "1", &index);
        let statement = attests.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
        store.fill(&attests);
        Self { store, own, shared, statement, index, images: [amd64, arm64] }
    }

    /// A registry that has it, but for what `faults` answers.
    async fn registry(&self, mut faults: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> ScriptedRegistry {
        let store = self.store.clone();
        ScriptedRegistry::stateful(move |request| faults(request).or_else(|| store.answer(request))).await
    }
}

async fn run(args: &[&str]) -> Finished {
    Run::new(&Home::new(), args).finish().await
}

/// Answers every request for `digest` in the way of `reply`, which is told the method.
fn for_blob(
    digest: String,
    reply: impl Fn(&str) -> Option<Reply> + Send + 'static,
) -> impl FnMut(&Request) -> Option<Reply> + Send + 'static {
    move |request| request.target.ends_with(&digest).then(|| reply(&request.method)).flatten()
}

#[tokio::test]
async fn verify_asks_once_for_each_manifest_config_and_layer() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let reference = format!("{}/web:1", registry.host());
    let verified = run(&["verify", "--no-elf", &reference, "--json"]).await.expect_code(0);
    let document: Value = serde_json::from_str(&verified.stdout).unwrap();
    let blobs = document["verified"][0]["blobs"].as_array().unwrap();
    let state = |digest: &str| blobs.iter().find(|blob| blob["digest"] == digest).unwrap()["checked"].clone();
    assert_eq!(blobs.len(), 2 + 2 + 2, "two configs, two layers, what the attestation has: {blobs:#?}");
    assert_eq!(state(&web.images[0].config.digest()), "hashed");
    for asked in [&web.own.digest(), &web.shared.digest(), &web.statement] {
        assert_eq!(state(asked), "size");
        assert_eq!(registry.count(&format!("HEAD /v2/web/blobs/{asked}")), 1);
    }
    let mut lines = registry.lines();
    lines.sort();
    let asked = lines.len();
    lines.dedup();
    assert_eq!((asked, lines.len()), (1 + 3 + 2 + 4, asked), "index, manifests, configs, other blobs: {lines:#?}");
}

#[tokio::test]
async fn verify_names_the_platform_of_a_missing_or_resized_layer() {
    let web = Web::new();
    let registry = web.registry(for_blob(web.own.digest(), |_| Some(status(404)))).await;
    let missing = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(7);
    let said = format!("linux/amd64: the registry does not have {}", web.own.digest());
    assert!(missing.stderr.contains(&said) && missing.stdout.is_empty(), "{}", missing.stderr);

    let registry = web.registry(for_blob(web.shared.digest(), |_| Some(status(200).body("x")))).await;
    let other = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(7);
    let said = format!("linux/amd64: {} has 1 bytes in the registry, but 8 bytes in the manifest", web.shared.digest());
    assert!(other.stderr.contains(&said), "{}", other.stderr);

    let registry = web.registry(for_blob(web.statement.clone(), |_| Some(status(404)))).await;
    let statement = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(7);
    let said = format!("the registry does not have {}", web.statement);
    assert!(statement.stderr.contains("the attestation sha256:") && statement.stderr.contains(&said));
}

#[tokio::test]
async fn verify_reads_one_byte_when_head_is_refused() {
    let web = Web::new();
    // One that gives parts says the size with the first byte.
    let parts = |method: &str| (method == "HEAD").then(|| status(405));
    let registry = web.registry(for_blob(web.own.digest(), parts)).await;
    let verified = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(0);
    assert!(!verified.stderr.contains("warning"), "{}", verified.stderr);
    assert_eq!(registry.count(&format!("GET /v2/web/blobs/{}", web.own.digest())), 1);

    // One that begins to send all of it, and never ends, is not read.
    let endless = |method: &str| Some(if method == "HEAD" { status(405) } else { status(200).send(Body::Endless) });
    let registry = web.registry(for_blob(web.own.digest(), endless)).await;
    let verified = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(0);
    let said = format!("{}: exists, but the registry does not report its size", web.own.digest());
    assert!(verified.stderr.contains(&said), "{}", verified.stderr);

    let registry = web.registry(for_blob(web.own.digest(), |_| Some(status(405)))).await;
    let verified = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(0);
    let said = format!("{}: not checked", web.own.digest());
    assert!(verified.stderr.contains(&said), "{}", verified.stderr);
}

#[tokio::test]
async fn verify_skips_and_counts_non_distributable_layers() {
    let store = Store::default();
    let foreign = Document::new("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", &json!("windows"));
    let image = Image::oci("windows/amd64", "w").holding(&json!({}), &[&foreign]);
    store.push("web", "1", &image);
    let own = store.clone();
    let registry = ScriptedRegistry::stateful(move |request| own.answer(request)).await;
    let verified = run(&["verify", &format!("{}/web:1", registry.host())]).await.expect_code(0);
    let said = format!("{}: not checked: registries do not distribute such layers", foreign.digest());
    assert!(verified.stderr.contains(&said), "{}", verified.stderr);
    assert_eq!(registry.count(&format!("HEAD /v2/web/blobs/{}", foreign.digest())), 0);
}

#[tokio::test]
async fn verify_continues_after_a_wrong_reference() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let (good, bad) = (format!("{}/web:1", registry.host()), format!("{}/web:nope", registry.host()));
    let both = run(&["verify", &bad, &good]).await.expect_code(7);
    assert_eq!(both.stdout, format!("{}/web@{}\n", registry.host(), web.index.digest()));
    assert!(both.stderr.contains("web:nope does not exist"), "{}", both.stderr);
    assert!(both.stderr.contains("hint: push the image first, or list the tags"), "{}", both.stderr);
    let json = run(&["verify", &bad, &good, "--json"]).await.expect_code(7);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&document["failed"][0]["reference"], &document["verified"][0]["reference"]),
        (&bad.into(), &good.into())
    );
}

/// Indexes, each of which lists the one before; the first lists an image.
fn chain(store: &Store, length: usize) -> Document {
    let image = Image::oci("linux/amd64", "deep");
    store.push("web", "", &image);
    let mut top = Document::index(&[image.entry()]);
    for _ in 1..length {
        store.put("web", "", &top);
        top = Document::index(&[top.descriptor()]);
    }
    store.put("web", "deep", &top);
    top
}

#[tokio::test]
async fn verify_reads_nested_indexes_only_to_a_fixed_depth() {
    let store = Store::default();
    let top = chain(&store, 4);
    let own = store.clone();
    let registry = ScriptedRegistry::stateful(move |request| own.answer(request)).await;
    let reference = format!("{}/web:deep", registry.host());
    let verified = run(&["verify", &reference, "--json"]).await.expect_code(0);
    let document: Value = serde_json::from_str(&verified.stdout).unwrap();
    let one = &document["verified"][0];
    assert_eq!((one["indexes"].as_array().unwrap().len(), &one["entries"][0]["platform"]), (3, &json!("linux/amd64")));
    let shown = run(&["inspect", &reference]).await.expect_code(0).stdout;
    assert!(shown.contains("\n      linux/amd64  OCI image"), "{shown}");
    let digest = run(&["digest", &reference, "--platform", "linux/amd64"]).await.expect_code(0).stdout;
    assert_eq!(digest.trim_end(), Image::oci("linux/amd64", "deep").manifest.digest());
    assert_eq!(run(&["digest", &reference]).await.expect_code(0).stdout.trim_end(), top.digest());

    chain(&store, 6);
    for command in ["verify", "inspect"] {
        let refused = run(&[command, &reference]).await.expect_code(7);
        assert!(refused.stderr.contains("nested too deep"), "{}", refused.stderr);
    }
    // No more is asked for of an index that lists more than can be looked at.
    let many: Vec<_> = (0..1001)
        .map(|n| json!({ "mediaType": OCI_INDEX, "digest": Digest::of(format!("{n}").as_bytes()), "size": 1 }))
        .collect();
    store.put("web", "many", &Document::index(&many));
    let before = registry.requests().len();
    let refused = run(&["verify", &format!("{}/web:many", registry.host())]).await.expect_code(7);
    assert!(refused.stderr.contains("more than polyarch reads of one index"), "{}", refused.stderr);
    assert_eq!(registry.requests().len() - before, 1);
}

#[tokio::test]
async fn inspect_shows_missing_children_of_an_index() {
    let web = Web::new();
    let gone = web.images[1].manifest.digest();
    let registry = web.registry(for_blob(gone.clone(), |_| Some(status(404)))).await;
    let reference = format!("{}/web:1", registry.host());
    let shown = run(&["inspect", &reference]).await.expect_code(0).stdout;
    assert!(shown.contains("linux/arm64                 OCI image     not read"), "{shown}");
    assert!(shown.contains("attestation of linux/amd64  OCI image  1 statement"), "{shown}");
    let document = run(&["inspect", "--json", &reference]).await.expect_code(0).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["entries"][1]["unread"].as_str().unwrap().contains("no such content"));
    assert_eq!(document["entries"][2]["attests"], "linux/amd64");
    run(&["verify", &reference]).await.expect_code(7);

    let registry = web.registry(for_blob(gone, |_| Some(status(200).send(Body::Endless)))).await;
    let shown = run(&["inspect", &format!("{}/web:1", registry.host())]).await.expect_code(0).stdout;
    assert!(shown.contains("sent more than 4194304 bytes"), "{shown}");
}

#[tokio::test]
async fn inspect_compares_two_indexes_by_platform() {
    let web = Web::new();
    let newer = layer("newer and longer");
    let amd64 = Image::oci("linux/amd64", "a").holding(&json!({}), &[&web.shared, &newer]);
    let riscv64 = Image::oci("linux/riscv64", "c");
    for image in [&amd64, &riscv64] {
        web.store.push("web", "", image);
    }
    let mut other = Document::index(&[amd64.entry(), riscv64.entry()]).json();
    other["annotations"] = json!({ "release": "2" });
    web.store.put("web", "2", &Document::new(OCI_INDEX, &other));
    let registry = web.registry(|_| None).await;
    let [one, two] = ["1", "2"].map(|tag| format!("{}/web:{tag}", registry.host()));
    let shown = run(&["inspect", &one, &two]).await.expect_code(0).stdout;
    for line in [
        "attestations: 1 in A, 0 in B",
        "+ release = 2",
        "linux/amd64    changed, 1 of 2 layers shared",
        "linux/arm64    only in A",
        "linux/riscv64  only in B",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let document = run(&["inspect", &one, &two, "--json"]).await.expect_code(0).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    let states: Vec<_> = document["platforms"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["changed", "only_a", "only_b"]);
    let new = newer.bytes.len();
    assert_eq!((&document["same"], &document["platforms"][0]["new_bytes"]), (&json!(false), &json!(new)));

    let same = run(&["inspect", &one, &format!("{}/web@{}", registry.host(), web.index.digest())]).await;
    assert!(same.expect_code(0).stdout.ends_with("\nsame\n"));
    run(&["inspect", &one, &format!("{}/web:nope", registry.host())]).await.expect_code(7);
}

/// The entry of an image, with a change.
fn entry_saying(image: &Image, change: impl Fn(&mut Value)) -> Value {
    let mut said = image.entry();
    change(&mut said);
    said
}

#[tokio::test]
async fn inspect_names_every_field_that_differs_between_indexes() {
    let web = Web::new();
    let [amd64, arm64] = &web.images;
    let (attests, attesting) = attestation(&amd64.manifest, &json!({ "again": true }));
    web.store.put("web", "", &attests);
    let was = web.index.json()["manifests"].as_array().unwrap().clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut other = web.index.json();
        change(&mut other);
        Document::new(OCI_INDEX, &other)
    };
    let entry_of_arm64 =
        |change: &dyn Fn(&mut Value)| with(&|other| other["manifests"][1] = entry_saying(arm64, change));
    let cases: [(&str, Document, &[&str]); 9] = [
        (
            "variant",
            entry_of_arm64(&|entry| entry["platform"]["variant"] = "v8".into()),
            &["linux/arm64  same image, its entry changed", "  + platform.variant = v8"],
        ),
        (
            "features",
            entry_of_arm64(&|entry| entry["platform"]["features"] = json!(["sve"])),
            &["  + platform.features = [\"sve\"]"],
        ),
        ("a field", entry_of_arm64(&|entry| entry["artifactType"] = "a/b".into()), &["  + artifactType = a/b"]),
        (
            "an annotation",
            entry_of_arm64(&|entry| entry["annotations"] = json!({ "k": "v" })),
            &["linux/arm64  same image, its entry changed", "  + k = v"],
        ),
        (
            "order",
            with(&|other| other["manifests"].as_array_mut().unwrap().swap(0, 1)),
            &[
                "order changed\n  - linux/amd64, linux/arm64, attestation of linux/amd64\n  + linux/arm64, linux/amd64, ",
            ],
        ),
        (
            "attestation",
            with(&|other| other["manifests"][2] = attesting.clone()),
            &["attestation of linux/amd64  changed\n  - sha256:"],
        ),
        (
            "its entry",
            with(&|other| other["manifests"][2]["annotations"]["x"] = "y".into()),
            &["attestation of linux/amd64  same, its entry changed\n  + annotations.x = y"],
        ),
        ("subject", with(&|other| other["subject"] = was[0].clone()), &["+ subject = {"]),
        ("mediaType", with(&|other| drop(other.as_object_mut().unwrap().remove("mediaType"))), &["- mediaType = app"]),
    ];
    let registry = web.registry(|_| None).await;
    let [one, two] = ["1", "2"].map(|tag| format!("{}/web:{tag}", registry.host()));
    for (what, other, lines) in cases {
        web.store.put("web", "2", &other);
        let shown = run(&["inspect", &one, &two]).await.expect_code(0).stdout;
        for line in lines {
            assert!(shown.contains(line), "{what}: {line}: {shown}");
        }
        assert!(!shown.contains("other bytes"), "{what}: {shown}");
        let document = run(&["inspect", &one, &two, "--json"]).await.expect_code(0).stdout;
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!((&document["same"], &document["other_bytes"]), (&json!(false), &json!(false)), "{what}: {document}");
    }
}

#[tokio::test]
async fn inspect_reports_indexes_that_differ_only_in_bytes() {
    let web = Web::new();
    let mut spaced = web.index.clone();
    spaced.bytes = format!(" {}", String::from_utf8_lossy(&web.index.bytes)).into_bytes();
    web.store.put("web", "2", &spaced);
    let registry = web.registry(|_| None).await;
    let [one, two] = ["1", "2"].map(|tag| format!("{}/web:{tag}", registry.host()));
    let shown = run(&["inspect", &one, &two]).await.expect_code(0).stdout;
    assert!(shown.contains("both have the same content in other bytes"), "{shown}");
    let document = run(&["inspect", &one, &two, "--json"]).await.expect_code(0).stdout;
    assert!(document.contains("\"other_bytes\": true"), "{document}");
}

#[tokio::test]
async fn inspect_names_manifest_differences_beside_layers() {
    let web = Web::new();
    let mut other = web.images[1].manifest.json();
    other["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd".into();
    web.store.put("web", "b", &Document::new(&web.images[1].manifest.media_type, &other));
    let registry = web.registry(|_| None).await;
    let [one, two] =
        [format!("@{}", web.images[1].manifest.digest()), ":b".into()].map(|at| format!("{}/web{at}", registry.host()));
    let shown = run(&["inspect", &one, &two]).await.expect_code(0).stdout;
    assert!(shown.contains("  + layers[0].mediaType = application/vnd.oci.image.layer.v1.tar+zstd"), "{shown}");
}

#[tokio::test]
async fn digest_needs_one_head_or_hashes_the_content() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let reference = format!("{}/web:1", registry.host());
    let digest = run(&["digest", &reference]).await.expect_code(0);
    assert_eq!((digest.stdout, digest.stderr), (format!("{}\n", web.index.digest()), String::new()));
    assert_eq!(registry.lines(), ["HEAD /v2/web/manifests/1"]);
    let arm64 = run(&["digest", &reference, "--platform", "linux/arm64"]).await.expect_code(0).stdout;
    assert_eq!(arm64.trim_end(), web.images[1].manifest.digest());
    let none = run(&["digest", &reference, "--platform", "linux/s390x"]).await.expect_code(7);
    assert!(none.stderr.contains("linux/s390x instead of one; it has linux/amd64, linux/arm64"), "{}", none.stderr);
    run(&["digest", &reference, "--platform", "nonsense"]).await.expect_code(2);
    let missing = run(&["digest", &format!("{}/web:nope", registry.host())]).await.expect_code(7);
    assert!(missing.stderr.contains("web:nope does not exist"), "{}", missing.stderr);

    // Without the header, or without HEAD at all, the bytes say it.
    let bytes = web.index.bytes.clone();
    for head in [status(200), status(405)] {
        let bytes = bytes.clone();
        let registry = ScriptedRegistry::stateful(move |request| {
            let whole = || status(200).header("Content-Type", OCI_INDEX).body(bytes.clone());
            Some(if request.method == "HEAD" { head.clone() } else { whole() })
        })
        .await;
        let digest = run(&["digest", &format!("{}/web:1", registry.host())]).await.expect_code(0).stdout;
        assert_eq!(digest.trim_end(), web.index.digest());
    }
}

#[tokio::test]
async fn registry_with_a_private_authority_is_read_with_ca() {
    let registry = Distribution::start(Setup::Tls);
    let home = Home::new();
    fs::write(home.path().join("ca.pem"), registry.certificate().unwrap()).unwrap();
    let (reference, ca) = (format!("{}/web:1", registry.address()), format!("{}=ca.pem", registry.address()));
    for command in ["verify", "inspect", "digest"] {
        let found = Run::new(&home, [command, &reference, "--ca", &ca]).finish().await.expect_code(7);
        assert!(found.stderr.contains("does not exist"), "{}", found.stderr);
        Run::new(&home, [command, &reference]).finish().await.expect_code(3);
    }
}

/// An engine that pulls whatever it is told to, and then shows an image of linux/amd64 with this id.
fn puller(id: &str) -> Script {
    let (id, pulled) = (id.to_owned(), AtomicBool::new(false));
    Script::default().rest(move |line| {
        if line == "POST /images/create" {
            pulled.store(true, Ordering::SeqCst);
            return Some(Rest::Answer(200, "{\"status\":\"Status: Downloaded newer image\"}\r\n".into()));
        }
        if line.starts_with("DELETE /images/") {
            return Some(Rest::Answer(200, "[]".into()));
        }
        let shows = pulled.load(Ordering::SeqCst) && line.starts_with("GET /images/") && line.contains('@');
        shows.then(|| Rest::Answer(200, json!({ "Id": id, "Os": "linux", "Architecture": "amd64" }).to_string()))
    })
}

fn pull(home: &Home, engine: &ScriptedEngine, reference: &str) -> Run {
    Run::new(home, ["verify", "--pull", reference]).env("DOCKER_HOST", engine.host())
}

/// Names that were taken off the engine.
fn removed(engine: &ScriptedEngine) -> Vec<String> {
    let removed = engine.requests().into_iter().filter_map(|line| line.strip_prefix("DELETE ").map(str::to_owned));
    removed.collect()
}

#[tokio::test]
async fn verify_pull_reports_and_removes_a_different_image() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let (home, reference) = (Home::new(), format!("{}/web:1", registry.host()));
    let by_digest = format!("/images/{}/web@{}", registry.host(), web.index.digest());

    let config = web.images[0].config.digest();
    let engine = ScriptedEngine::start(puller(&config), &web.store);
    let same = pull(&home, &engine, &reference).finish().await.expect_code(0);
    assert!(same.stderr.contains("engine default pulled linux/amd64, as the registry has it; removed again"));
    assert_eq!(removed(&engine), std::slice::from_ref(&by_digest));

    let other = web.images[1].config.digest();
    let engine = ScriptedEngine::start(puller(&other), &web.store);
    let differs = pull(&home, &engine, &reference).finish().await.expect_code(7);
    let said = format!("but has {other}, and the registry has {config}");
    assert!(differs.stderr.contains(&said), "{}", differs.stderr);
    assert!(differs.stdout.contains(&web.index.digest()), "it was verified: {}", differs.stdout);
    assert_eq!(removed(&engine), [by_digest]);
}

#[tokio::test]
async fn verify_pull_fails_on_a_failed_pull_or_a_missing_engine() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let (home, reference) = (Home::new(), format!("{}/web:1", registry.host()));
    let refusal =
        "{\"errorDetail\":{\"message\":\"no basic auth credentials\"},\"error\":\"no basic auth credentials\"}\r\n";
    for answer in [(200, refusal), (500, "{\"message\":\"no basic auth credentials\"}")] {
        let engine = ScriptedEngine::start(
            Script::default().rest(move |line| {
                (line == "POST /images/create").then(|| Rest::Answer(answer.0, answer.1.to_owned())).or_else(|| {
                    line.starts_with("DELETE /images/").then(|| Rest::Answer(404, "{\"message\":\"none\"}".into()))
                })
            }),
            &web.store,
        );
        let refused = pull(&home, &engine, &reference).finish().await.expect_code(7);
        assert!(refused.stderr.contains("pull linux/amd64 of") && refused.stderr.contains("hint: log in with"));
    }
    // What is not verified is not pulled.
    let engine = ScriptedEngine::start(Script::default(), &web.store);
    pull(&home, &engine, &format!("{}/web:nope", registry.host())).finish().await.expect_code(7);
    assert!(engine.requests().iter().all(|line| line != "POST /images/create"));

    let away = Run::new(&home, ["verify", "--pull", &reference]).env("DOCKER_HOST", "unix:///nowhere/engine.sock");
    let away = away.finish().await.expect_code(3);
    assert!(away.stderr.contains("engine default: cannot connect to"), "{}", away.stderr);
    let engine = ScriptedEngine::start(Script::default().on("s390x"), &web.store);
    let foreign = pull(&home, &engine, &reference).finish().await.expect_code(7);
    assert!(foreign.stderr.contains("the engines are default (linux/s390x)"), "{}", foreign.stderr);
}

#[tokio::test]
async fn interrupted_verify_pull_leaves_nothing_on_the_engine() {
    let web = Web::new();
    let registry = web.registry(|_| None).await;
    let home = Home::new();
    let engine = ScriptedEngine::start(
        Script::default().rest(|line| match line {
            "POST /images/create" => Some(Rest::Silence),
            _ => line.starts_with("DELETE /images/").then(|| Rest::Answer(200, "[]".into())),
        }),
        &web.store,
    );
    let running = pull(&home, &engine, &format!("{}/web:1", registry.host())).start();
    parts::eventually("the engine is asked to pull", parts::LIMIT, || {
        engine.requests().iter().any(|line| line == "POST /images/create")
    })
    .await;
    running.signal(Signal::INT);
    let stopped = running.finish().await.expect_code(130);
    assert!(stopped.stderr.contains("interrupted: engine default did not pull linux/amd64"), "{}", stopped.stderr);
    assert_eq!(removed(&engine).len(), 1);
}

/// A plan of `web` for both platforms under these tags, in these registries.
fn plan(home: &Home, registries: &[String], tags: &str) {
    let image = format!("web: {{ context: ., tags: [{tags}], platforms: [linux/amd64, linux/arm64] }}");
    let plan = format!("version: 1\nregistry: [{}]\nimages: {{ {image} }}\n", registries.join(", "));
    fs::write(home.path().join("build.yaml"), plan).unwrap();
}

/// `verify` of the plan: the exit code that is expected, and its JSON and stderr.
async fn verify_plan(home: &Home, code: i32) -> (Value, String) {
    let verified = Run::new(home, ["verify", "--no-elf", "--json"]).finish().await.expect_code(code);
    (serde_json::from_str(&verified.stdout).unwrap(), verified.stderr)
}

/// The failures of a document: image, registry, tag, phase.
fn failures(document: &Value) -> Vec<[String; 4]> {
    let failures = document["run"]["failures"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    failures.map(|one| ["image", "registry", "tag", "phase"].map(|key| text(&one[key]))).collect()
}

#[tokio::test]
async fn verify_reports_tags_and_registries_that_disagree() {
    let (web, other, home) = (Web::new(), Web::new(), Home::new());
    web.store.put("web", "latest", &web.index);
    let [a, b] = [web.registry(|_| None).await, other.registry(|_| None).await];
    let hosts = [a.host().clone(), b.host().clone()];
    plan(&home, &hosts[..1], "\"1\", latest");
    let (document, stderr) = verify_plan(&home, 0).await;
    assert_eq!((failures(&document), stderr), (Vec::new(), String::new()));

    // A tag of the same registry.
    let old = Document::index(&[web.images[0].entry(), web.images[1].entry()]);
    web.store.put("web", "latest", &old);
    let (document, stderr) = verify_plan(&home, 7).await;
    assert_eq!(failures(&document), [["web", &hosts[0], "latest", "verify"].map(str::to_owned)]);
    let said =
        format!("web:latest: it points to {}, but {}/web:1 points to {}", old.digest(), hosts[0], web.index.digest());
    assert!(stderr.contains(&said) && stderr.contains("hint: publish the image again"), "{stderr}");
    assert!(stderr.contains("verified 2 of 2 references, 1 finding\n"), "{stderr}");

    // The same tag of another registry.
    web.store.put("web", "latest", &web.index);
    other.store.put("web", "1", &old);
    other.store.put("web", "latest", &old);
    plan(&home, &hosts, "\"1\"");
    let (document, _) = verify_plan(&home, 7).await;
    assert_eq!(failures(&document), [["web", &hosts[1], "1", "verify"].map(str::to_owned)]);

    // One of several tags of it, which is untrue as well: both are told.
    other.store.put("web", "1", &web.index);
    other.store.put("web", "latest", &Document::index(&[web.images[0].entry()]));
    plan(&home, &hosts, "\"1\", latest");
    let (document, stderr) = verify_plan(&home, 7).await;
    let found = ["web", &hosts[1], "latest", "verify"].map(str::to_owned);
    assert_eq!(failures(&document), [found.clone(), found], "{stderr}");
    assert!(stderr.contains("it contains linux/amd64, but the plan has linux/amd64, linux/arm64"), "{stderr}");

    // References are what somebody named: nobody says that they are one image.
    let [one, two] = [format!("{}/web:1", hosts[1]), format!("{}/web:latest", hosts[1])];
    run(&["verify", "--no-elf", &one, &two]).await.expect_code(0);
}

#[tokio::test]
async fn verify_reports_each_difference_of_a_plan_once() {
    let (web, other, home) = (Web::new(), Web::new(), Home::new());
    let [a, b] = [web.registry(|_| None).await, other.registry(|_| None).await];
    let old = Document::index(&[web.images[0].entry(), web.images[1].entry()]);
    let image = |name: &str| {
        format!("{name}: {{ context: ., repository: web, tags: [{name}], platforms: [linux/amd64, linux/arm64] }}")
    };
    for tag in ["one", "two"] {
        web.store.put("web", tag, &web.index);
    }
    other.store.put("web", "one", &old);
    other.store.put("web", "two", &web.index);
    let (hosts, images) = (format!("{}, {}", a.host(), b.host()), ["one", "two"].map(image).join(", "));
    let plan = format!("version: 1\nregistry: [{hosts}]\nimages: {{ {images} }}\n");
    fs::write(home.path().join("build.yaml"), plan).unwrap();
    let (document, stderr) = verify_plan(&home, 7).await;
    let found = ["one", &b.host(), "one", "verify"].map(str::to_owned);
    assert_eq!(failures(&document), [found], "{stderr}");
    assert!(stderr.contains("verified 4 of 4 references, 1 finding\n"), "{stderr}");
}

#[tokio::test]
async fn verify_checks_all_registries_when_one_is_dead() {
    let (web, home) = (Web::new(), Home::new());
    let registry = web.registry(|_| None).await;
    let (alive, dead) = (registry.host().clone(), "localhost:1".to_owned());
    for registries in [[dead.clone(), alive.clone()], [alive.clone(), dead.clone()]] {
        plan(&home, &registries, "\"1\"");
        let (document, stderr) = verify_plan(&home, 3).await;
        assert_eq!(document["verified"][0]["image"], "web");
        assert_eq!(failures(&document), [["", &dead, "", "preflight"].map(str::to_owned)]);
        assert_eq!((&document["run"]["exit_code"], &document["run"]["outcome"]), (&json!(3), &json!("failed")));
        assert!(stderr.contains("verified 1 of 1 reference, 1 could not be checked\n"), "{stderr}");
    }
    // The news is what is wrong: both are told, and one code is of the process.
    web.store.put("web", "1", &Document::index(&[web.images[0].entry()]));
    let (document, stderr) = verify_plan(&home, 7).await;
    let phases: Vec<_> = failures(&document).into_iter().map(|[.., phase]| phase).collect();
    assert_eq!(phases, ["preflight", "verify"]);
    assert!(stderr.contains("verified 0 of 1 reference, 1 finding, 1 could not be checked\n"), "{stderr}");
}

#[tokio::test]
async fn verify_exits_3_when_a_part_cannot_be_read() {
    let web = Web::new();
    let [config, arm64] = [web.images[0].config.digest(), web.images[1].manifest.digest()];
    for (digest, platform) in [(web.own.digest(), "linux/amd64"), (config, "linux/amd64"), (arm64, "linux/arm64")] {
        let registry = web.registry(for_blob(digest.clone(), |_| Some(status(403)))).await;
        let reference = format!("{}/web:1", registry.host());
        let verified = run(&["verify", "--no-elf", "--json", &reference]).await.expect_code(3);
        let document: Value = serde_json::from_str(&verified.stdout).unwrap();
        let failure = &document["run"]["failures"][0];
        assert_eq!((&failure["platform"], &failure["phase"]), (&json!(platform), &json!("preflight")), "{digest}");
    }
}

#[tokio::test]
async fn verify_refuses_an_index_with_two_images_of_a_platform() {
    let store = Store::default();
    let image = |platform: &str, text: &str| {
        let image = Image::oci(platform, text);
        store.push("web", "", &image);
        image
    };
    let [a, b, arm64] = [image("linux/amd64", "a"), image("linux/amd64", "b"), image("linux/arm64", "c")];
    let mut v8 = image("linux/arm64", "d");
    "linux/arm64/v8".clone_into(&mut v8.platform);
    let [arm, v7] = [image("linux/arm", "e"), image("linux/arm/v7", "f")];
    let versions = ["10.0.17763.1", "10.0.20348.1"].map(|version| {
        let mut entry = image("windows/amd64", version).entry();
        entry["platform"]["os.version"] = version.into();
        entry
    });
    let nested = Document::index(&[b.entry()]);
    store.put("web", "", &nested);
    for (tag, entries, said) in [
        ("two", vec![a.entry(), b.entry()], Some("linux/amd64: the index has several images of this platform: ")),
        (
            "nested",
            vec![a.entry(), nested.descriptor()],
            Some("linux/amd64: the index has several images of this platform: "),
        ),
        ("v8", vec![arm64.entry(), v8.entry()], Some("linux/arm64: the index has several images of this platform: ")),
        ("v7", vec![arm.entry(), v7.entry()], Some(": the index has several images of this platform: ")),
        ("empty", Vec::new(), Some("it lists no image")),
        ("same", vec![a.entry(), a.entry()], None),
        ("windows", versions.to_vec(), None),
    ] {
        store.put("web", tag, &Document::index(&entries));
        let own = store.clone();
        let registry = ScriptedRegistry::stateful(move |request| own.answer(request)).await;
        let reference = format!("{}/web:{tag}", registry.host());
        let verified = run(&["verify", "--no-elf", &reference]).await.expect_code(if said.is_some() { 7 } else { 0 });
        match said {
            Some(said) => assert!(verified.stderr.contains(said), "{tag}: {}", verified.stderr),
            None => assert!(verified.stderr.contains(": verified: "), "{tag}: {}", verified.stderr),
        }
    }
}

#[tokio::test]
async fn verify_refuses_images_of_several_commits_of_a_plan() {
    let (store, home) = (Store::default(), Home::new());
    let label = |revision: &str| json!({ "Labels": { "org.opencontainers.image.revision": revision } });
    let image = |platform: &str, revision: &str| {
        let image = Image::oci(platform, "x").holding(&label(revision), &[]);
        store.push("web", "", &image);
        image.entry()
    };
    let [amd64, old, new] = [image("linux/amd64", "new"), image("linux/arm64", "old"), image("linux/arm64", "new")];
    store.put("web", "1", &Document::index(&[amd64.clone(), old]));
    let own = store.clone();
    let registry = ScriptedRegistry::stateful(move |request| own.answer(request)).await;
    plan(&home, &[registry.host().clone()], "\"1\"");
    let (_, stderr) = verify_plan(&home, 7).await;
    assert!(stderr.contains("have several revisions: "), "{stderr}");
    assert!(stderr.contains("linux/arm64 has old"), "{stderr}");
    // Of which commits references are is the affair of who named them.
    run(&["verify", "--no-elf", &format!("{}/web:1", registry.host())]).await.expect_code(0);
    store.put("web", "1", &Document::index(&[amd64, new]));
    verify_plan(&home, 0).await;
}

#[tokio::test]
async fn verify_refuses_an_image_under_another_architectures_tag() {
    let store = Store::default();
    let own = store.clone();
    let registry = ScriptedRegistry::stateful(move |request| own.answer(request)).await;
    for (platform, tag, code) in [
        ("linux/amd64", "1.0-arm64", 7),
        ("linux/amd64", "1.0_aarch64", 7),
        ("linux/arm64", "x86-64", 7),
        ("linux/arm/v7", "1.0-armv6", 7),
        ("linux/arm64", "1.0-arm64", 0),
        ("linux/amd64", "1.0", 0),
    ] {
        store.push("web", tag, &Image::oci(platform, tag));
        let reference = format!("{}/web:{tag}", registry.host());
        let verified = run(&["verify", "--no-elf", &reference]).await.expect_code(code);
        let said = format!("{platform}: the tag ends in the name of another architecture");
        assert_eq!(verified.stderr.contains(&said), code == 7, "{tag}: {}", verified.stderr);
    }
}
