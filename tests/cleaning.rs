//! `clean` while others push: what changed since it was looked at stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::images::{Document, Image, OCI_INDEX};
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::{Store, missing};

/// A repository `web` that can be deleted from, and changed by others meanwhile.
#[derive(Clone, Default)]
struct Repository {
    store: Store,
    tags: Arc<Mutex<BTreeMap<String, Document>>>,
}

/// An image that polyarch built in a year.
fn built(platform: &str, year: u16) -> Image {
    let labels = json!({ "Labels": { "dev.polyarch.image": "web" } });
    let created = format!("{year}-01-01T00:00:00Z");
    Image::oci(platform, "").configured(&json!({ "config": labels, "created": created }))
}

impl Repository {
    fn tag(&self, tag: &str, document: &Document) {
        self.store.put("web", "", document);
        self.tags.lock().unwrap().insert(tag.to_owned(), document.clone());
    }

    /// Puts an index under a tag.
    fn index(&self, tag: &str, images: &[&Image]) -> Document {
        let index = Document::index_of(images.iter().copied());
        self.tag(tag, &index);
        index
    }

    /// Two images of a year in an index.
    fn publish(&self, tag: &str, year: u16) -> ([Image; 2], Document) {
        let images = ["linux/amd64", "linux/arm64"].map(|platform| built(platform, year));
        for image in &images {
            self.store.push("web", "", image);
        }
        let index = self.index(tag, &[&images[0], &images[1]]);
        (images, index)
    }

    fn has(&self, document: &Document) -> bool {
        self.store.get("web", &document.digest()).is_some()
    }

    fn answer(&self, request: &Request) -> Option<Reply> {
        if request.target.starts_with("/v2/web/tags/list") {
            let tags: Vec<_> = self.tags.lock().unwrap().keys().cloned().collect();
            return Some(status(200).body(json!({ "tags": tags }).to_string()));
        }
        let Some(reference) = request.target.strip_prefix("/v2/web/manifests/") else {
            return self.store.answer(request);
        };
        if request.method == "DELETE" {
            self.tags.lock().unwrap().retain(|_, document| document.digest() != reference);
        }
        if reference.contains(':') {
            return self.store.answer(request);
        }
        let Some(document) = self.tags.lock().unwrap().get(reference).cloned() else { return Some(missing()) };
        let mut by_digest = request.clone();
        by_digest.target = format!("/v2/web/manifests/{}", document.digest());
        self.store.answer(&by_digest)
    }

    /// Serves it; what `meanwhile` does when the tags are listed for the how many-th time, others did.
    async fn serve(&self, mut meanwhile: impl FnMut(usize) + Send + 'static) -> ScriptedRegistry {
        let (own, mut lists) = (self.clone(), 0);
        ScriptedRegistry::stateful(move |request| {
            if request.target.starts_with("/v2/web/tags/list") {
                lists += 1;
                meanwhile(lists);
            }
            own.answer(request)
        })
        .await
    }
}

async fn clean(registry: &ScriptedRegistry) -> Finished {
    cleaning(registry, &["--keep", "1", "--order", "version", "--apply"]).await
}

async fn cleaning(registry: &ScriptedRegistry, how: &[&str]) -> Finished {
    let repository = format!("{}/web", registry.host());
    Run::new(&Home::new(), ["clean", &repository].iter().chain(how)).finish().await
}

fn deleted(registry: &ScriptedRegistry) -> usize {
    registry.lines().iter().filter(|line| line.starts_with("DELETE ")).count()
}

fn row<'a>(cleaned: &'a Finished, of: &Document) -> &'a str {
    let digest = &of.digest()["sha256:".len()..][..12];
    cleaned
        .stdout
        .lines()
        .find(|line| line.contains(digest))
        .unwrap_or_else(|| panic!("{digest}:\n{}", cleaned.stdout))
        .trim()
}

const CHANGED: &str = "it changed after polyarch judged it";

#[tokio::test]
async fn image_that_a_new_index_lists_before_deletion_is_kept() {
    // Before anything is deleted, and when the old index is gone already.
    for when in [2, 3] {
        let repository = Repository::default();
        let ([amd64, arm64], old) = repository.publish("1.0", 2020);
        repository.publish("1.1", 2021);
        let (others, child) = (repository.clone(), amd64.clone());
        let meanwhile = move |lists| {
            if lists == when {
                others.index("theirs", &[&child]);
            }
        };
        let cleaned = clean(&repository.serve(meanwhile).await).await.expect_code(0);
        assert!(row(&cleaned, &old).starts_with("deleted"), "{}", cleaned.stdout);
        assert!(row(&cleaned, &arm64.manifest).starts_with("deleted"), "{}", cleaned.stdout);
        let stays = row(&cleaned, &amd64.manifest);
        assert!(stays.starts_with("kept") && stays.ends_with(CHANGED), "{stays}");
        assert_eq!([&old, &arm64.manifest, &amd64.manifest].map(|one| repository.has(one)), [false, false, true]);
    }
}

#[tokio::test]
async fn index_that_gets_a_tag_before_deletion_is_kept() {
    let repository = Repository::default();
    let (images, old) = repository.publish("1.0", 2020);
    repository.publish("1.1", 2021);
    let (others, back) = (repository.clone(), old.clone());
    let meanwhile = move |lists| {
        if lists == 2 {
            others.tag("production", &back);
        }
    };
    let cleaned = clean(&repository.serve(meanwhile).await).await.expect_code(0);
    for document in [&old, &images[0].manifest, &images[1].manifest] {
        assert!(row(&cleaned, document).ends_with(CHANGED) && repository.has(document), "{}", cleaned.stdout);
    }
}

#[tokio::test]
async fn index_that_cannot_be_deleted_keeps_its_images() {
    let repository = Repository::default();
    let (images, old) = repository.publish("1.0", 2020);
    let (_, older) = repository.publish("0.9", 2019);
    repository.publish("1.1", 2021);
    let (own, digest) = (repository.clone(), old.digest());
    let registry = ScriptedRegistry::stateful(move |request| {
        let is_refused = request.method == "DELETE" && request.target.ends_with(&digest);
        if is_refused { Some(status(409)) } else { own.answer(request) }
    })
    .await;
    let cleaned = clean(&registry).await.expect_code(6);
    assert!(cleaned.stderr.contains(&format!("web@{} could not be deleted: ", old.digest())), "{}", cleaned.stderr);
    assert!(row(&cleaned, &old).starts_with("failed") && row(&cleaned, &older).starts_with("deleted"));
    assert!(images.iter().all(|image| repository.has(&image.manifest)) && !repository.has(&older));
}

#[tokio::test]
async fn clean_leaves_a_repository_with_an_unreadable_index_alone() {
    let repository = Repository::default();
    repository.publish("1.0", 2020);
    repository.publish("1.1", 2021);
    repository.tag("broken", &Document::new(OCI_INDEX, &json!({ "mediaType": OCI_INDEX, "manifests": "none" })));
    let registry = repository.serve(|_| {}).await;
    let refused = clean(&registry).await.expect_code(7);
    assert!(
        refused.stderr.contains("cannot be read, and it may list images that would be deleted"),
        "{}",
        refused.stderr
    );
    assert_eq!(deleted(&registry), 0);
    // What is no index at all lists nothing.
    repository.tag("broken", &Document::new("application/vnd.odd", &json!({ "mediaType": "application/vnd.odd" })));
    assert!(clean(&registry).await.expect_code(0).stderr.contains("3 of 7 images deleted"));
}

/// The documents under the tag `broken` that cannot be read, each with a name and a type.
fn broken() -> Vec<(&'static str, &'static str, serde_json::Value)> {
    let image = "application/vnd.oci.image.manifest.v1+json";
    let entry = json!({ "mediaType": image, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1 });
    vec![
        ("no list", OCI_INDEX, json!({ "mediaType": OCI_INDEX, "manifests": "none" })),
        ("no JSON", OCI_INDEX, json!("cut")),
        ("two kinds", OCI_INDEX, json!({ "mediaType": OCI_INDEX, "manifests": [entry], "layers": [] })),
        ("two types", OCI_INDEX, json!({ "mediaType": image, "manifests": [entry] })),
        ("an image with a list", image, json!({ "mediaType": image, "manifests": [entry] })),
        ("a type of its own with a list", "text/odd", json!({ "mediaType": "text/odd", "manifests": [entry] })),
        ("too large", OCI_INDEX, json!({ "mediaType": OCI_INDEX, "manifests": [], "x": "x".repeat(4 << 20) })),
    ]
}

#[tokio::test]
async fn clean_deletes_nothing_while_an_index_is_unreadable() {
    for (what, media_type, document) in broken() {
        for (has_digest, answers_head) in [(true, true), (false, true), (false, false)] {
            let repository = Repository::default();
            repository.publish("1.0", 2020);
            repository.publish("1.1", 2021);
            let unread = Document::new(media_type, &document);
            repository.tag("broken", &unread);
            let own = repository.clone();
            let registry = ScriptedRegistry::stateful(move |request| {
                let reply = own.answer(request)?;
                if !request.target.ends_with("/manifests/broken") || has_digest {
                    return Some(reply);
                }
                let Reply::Answer { status: code, mut headers, body } = reply else { return Some(reply) };
                headers.retain(|(name, _)| name != "Docker-Content-Digest");
                let refused = request.method == "HEAD" && !answers_head;
                Some(if refused { status(405) } else { Reply::Answer { status: code, headers, body } })
            })
            .await;
            let refused = clean(&registry).await.expect_code(7);
            // polyarch reads this document far enough to compute the digest of its bytes.
            let has_digest = has_digest || what == "no list";
            let name = if has_digest { unread.digest() } else { "broken".to_owned() };
            let expected = format!("{name} cannot be read, and it may list images that would be deleted");
            assert!(refused.stderr.contains(&expected), "{what}: {}", refused.stderr);
            assert_eq!(deleted(&registry), 0, "{what}");
            if !has_digest {
                let listed = Run::new(&Home::new(), ["images", &format!("{}/web", registry.host())]).finish().await;
                let warning = "web:broken cannot be read, and is not listed";
                assert!(listed.expect_code(0).stderr.contains(warning), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn unreadable_push_during_clean_keeps_the_images() {
    let repository = Repository::default();
    let (images, old) = repository.publish("1.0", 2020);
    repository.publish("1.1", 2021);
    let others = repository.clone();
    let meanwhile = move |lists| {
        if lists == 3 {
            others.tag("broken", &Document::new(OCI_INDEX, &json!({ "mediaType": OCI_INDEX, "manifests": "none" })));
        }
    };
    let cleaned = clean(&repository.serve(meanwhile).await).await.expect_code(6);
    assert!(row(&cleaned, &old).starts_with("deleted"), "{}", cleaned.stdout);
    assert!(cleaned.stderr.contains("may list images that would be deleted"), "{}", cleaned.stderr);
    assert!(images.iter().all(|image| repository.has(&image.manifest)));
}

#[tokio::test]
async fn clean_needs_an_order_if_push_times_are_unknown() {
    let repository = Repository::default();
    repository.publish("1.9.0", 2021);
    // A cached build: the date in its config is older.
    let (images, newest) = repository.publish("1.10.0", 2020);
    repository.tag("latest", &newest);
    let registry = repository.serve(|_| {}).await;
    let refused = cleaning(&registry, &["--keep", "1", "--apply"]).await.expect_code(7);
    let why = "polyarch cannot find the newest publications: the registry does not report when they were pushed";
    assert!(refused.stderr.contains(why) && refused.stderr.contains("--order version"), "{}", refused.stderr);
    let shown = cleaning(&registry, &["--keep", "1"]).await.expect_code(0);
    assert!(shown.stderr.contains("--apply would be refused: polyarch cannot find the newest"), "{}", shown.stderr);
    cleaning(&registry, &["--keep", "2", "--apply"]).await.expect_code(0);
    assert_eq!(deleted(&registry), 0);
    let cleaned = clean(&registry).await.expect_code(0);
    assert!(row(&cleaned, &newest).starts_with("kept"), "{}", cleaned.stdout);
    assert_eq!(deleted(&registry), 3);
    assert!(images.iter().all(|image| repository.has(&image.manifest)) && repository.has(&newest));
}

#[tokio::test]
async fn clean_selects_unversioned_tags_by_pattern() {
    let repository = Repository::default();
    for commit in ["abc1111", "abc2222", "abc3333"] {
        repository.publish(commit, commit[3..].parse().unwrap());
    }
    let registry = repository.serve(|_| {}).await;
    let refused = clean(&registry).await.expect_code(7);
    assert!(refused.stderr.contains("no tag is a version"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--keep 0 --keep-tag PATTERN"), "{}", refused.stderr);
    let named = ["--keep", "0", "--keep-tag", "abc3*", "--apply"];
    let cleaned = cleaning(&registry, &named).await.expect_code(0);
    assert!(cleaned.stderr.contains("6 of 9 images deleted"), "{}", cleaned.stderr);
    assert_eq!(repository.tags.lock().unwrap().keys().collect::<Vec<_>>(), ["abc3333"]);
}
