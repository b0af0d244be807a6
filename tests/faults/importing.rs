//! What is adopted beside what is built: order, logins, and what becomes of it where something fails or moves.

use std::fs;

use base64::Engine as _;
use serde_json::json;

use super::world::{World, says};
use crate::support::images::{Document, Image, fields};
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64/v8"];

/// An index of both platforms under `upstream:1`, and its images.
fn upstream(store: &Store, seed: &str) -> Vec<Image> {
    let images = PLATFORMS.map(|platform| Image::oci(platform, seed));
    for image in &images {
        store.push("upstream", &image.manifest.digest(), image);
    }
    store.put("upstream", "1", &Document::index_of(&images));
    images.to_vec()
}

/// Blobs that any repository has.
fn has_blobs(request: &Request) -> Option<Reply> {
    (request.method == "HEAD" && request.target.contains("/blobs/")).then(|| status(200))
}

/// `base` is adopted, `app` is built on it.
fn plan(world: &World) {
    let host = world.registry.host();
    world.plan(&format!(
        "defaults: {{ tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }}\nimages:\n  app: {{ context: context, \
         contexts: {{ base: \"image:base\" }} }}\n  base: {{ from: \"{host}/upstream:1\" }}\n  twin: {{ from: \"{host}/upstream:1\" }}\n"
    ));
}

/// The digest of the base that a build gets, by processor.
fn builds_on(images: &[Image], repository: &str) -> Script {
    let digests = images.iter().map(|image| image.manifest.digest()).collect::<Vec<_>>();
    let repository = format!("/{repository}@");
    Script::default().containerd().solve(move |call| {
        let (digests, repository) = (digests.clone(), repository.clone());
        async move {
            let on = &call.request.frontend_attrs["context:base"];
            let digest = &digests[usize::from(call.name().ends_with("arm64"))];
            assert!(
                on.starts_with("docker-image://127.0.0.1:") && on.ends_with(&format!("{repository}{digest}")),
                "{on}"
            );
            call.built()
        }
    })
}

#[tokio::test]
async fn build_starts_once_its_imported_base_is_copied() {
    let store = Store::default();
    let images = upstream(&store, "first");
    let world = World::start(builds_on(&images, "base")).await;
    let images = upstream(&world.store, "first");
    world.registry_answers(has_blobs);
    plan(&world);
    let finished = world.build().await.expect_code(0);
    assert_eq!(finished.stdout.lines().count(), 3, "{}", finished.stdout);
    for (arch, image) in ["amd64", "arm64"].into_iter().zip(&images) {
        let at = |line: &str| finished.stderr.find(line).unwrap_or_else(|| panic!("{line}:\n{}", finished.stderr));
        assert!(
            at(&format!("base linux/{arch} │ confirmed")) < at(&format!("app linux/{arch}  │ building on default"))
        );
        assert_eq!(world.store.get("base", &format!("1.0-{arch}")).unwrap().bytes, image.manifest.bytes);
    }
    // The variant that the source says stays in the index.
    let index = world.store.get("base", "1.0").unwrap().json();
    assert_eq!(index["manifests"][1]["platform"], fields("linux/arm64/v8"));
    assert_eq!(world.report()["images"][1]["platforms"][0]["copied"]["blobs_present"], 1);
}

#[tokio::test]
async fn build_uses_the_import_source_when_nothing_is_pushed() {
    let store = Store::default();
    let images = upstream(&store, "first");
    let world = World::start(builds_on(&images, "upstream")).await;
    upstream(&world.store, "first");
    plan(&world);
    world.run(&["build", "--no-push", "app"]).finish().await.expect_code(0);
    world.run(&["build", "--no-push", "--pull", "app"]).finish().await.expect_code(0);
    world.assert_untouched();
}

#[tokio::test]
async fn import_source_is_read_once_even_if_its_tag_moves() {
    let world = World::start(Script::default().containerd()).await;
    let images = upstream(&world.store, "first");
    let store = world.store.clone();
    let mut asked = 0;
    world.registry_answers(move |request| {
        if request.line() == "GET /v2/upstream/manifests/1" {
            let answer = store.answer(request);
            asked += 1;
            upstream(&store, &format!("moved {asked}"));
            return answer;
        }
        has_blobs(request)
    });
    plan(&world);
    world.build().await.expect_code(0);
    assert_eq!(world.registry.count("GET /v2/upstream/manifests/1"), 1);
    for image in ["base", "twin"] {
        let index = world.store.get(image, "1.0").unwrap().json();
        let digests =
            index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned());
        assert!(digests.eq(images.iter().map(|image| image.manifest.digest())), "{index:#}");
    }
}

#[tokio::test]
async fn failed_import_copy_moves_no_tag_and_exits_5() {
    let world = World::start(Script::default().containerd()).await;
    let images = upstream(&world.store, "first");
    let lost = images[1].config.digest();
    world.registry_answers(move |request| match request.method.as_str() {
        "HEAD" if request.target.contains("/blobs/") => {
            Some(status(if request.target.contains(&lost) { 404 } else { 200 }))
        }
        // It mounts nothing, and takes nothing.
        "POST" => Some(status(403)),
        _ => None,
    });
    plan(&world);
    let finished = world.run(&["build", "base", "app"]).finish().await.expect_code(5);
    says(&finished, &["base linux/arm64", "app linux/arm64  │ not built: base linux/arm64"]);
    assert!(world.put().iter().all(|put| put != "1.0"), "{:?}", world.put());
    assert_eq!(world.report()["images"][1]["platforms"][1]["status"], "failed");
}

#[tokio::test]
async fn import_source_gets_only_its_own_login() {
    let world = World::start(Script::default().containerd()).await;
    let store = Store::default();
    upstream(&store, "first");
    // Its blobs are here, too.
    upstream(&world.store, "first");
    let answers = store.clone();
    let source = ScriptedRegistry::stateful(move |request| match request.header("authorization") {
        None => Some(status(401).header("WWW-Authenticate", "Basic realm=\"source\"")),
        Some(_) => answers.answer(request),
    })
    .await;
    let login = |name: &str| base64::engine::general_purpose::STANDARD.encode(format!("{name}:secret of {name}"));
    let auths = json!({ "auths": { source.host(): { "auth": login("source") }, world.registry.host(): { "auth": login("target") } } });
    fs::write(world.home.docker_config().join("config.json"), auths.to_string()).unwrap();
    world.registry_answers(has_blobs);
    world.plan(&format!(
        "images:\n  base: {{ from: \"{}/upstream:1\", tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }}\n",
        source.host()
    ));
    world.build().await.expect_code(0);
    let said = |requests: Vec<Request>| {
        let mut said: Vec<_> =
            requests.iter().filter_map(|request| request.header("authorization")).map(str::to_owned).collect();
        said.dedup();
        said
    };
    assert_eq!(said(source.requests()), [format!("Basic {}", login("source"))]);
    assert!(said(world.registry.requests()).iter().all(|said| *said == format!("Basic {}", login("target"))));
}
