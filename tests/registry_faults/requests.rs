//! How much is asked of a registry: never more than eight requests at once, and of each child no more than is needed.

use std::sync::Arc;

use futures::future::join_all;
use polyarch::auth::Anonymous;
use polyarch::oci::Selector;
use polyarch::registry::Visibility;
use tokio::sync::Notify;

use super::{Peer, index, quick, repository};
use crate::support::images::{Document, Image};
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Reply, ScriptedRegistry};
use crate::support::store::Store;

/// More children than requests at once.
const CHILDREN: usize = 20;

#[tokio::test]
async fn registry_gets_at_most_eight_requests_at_once() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let registry = ScriptedRegistry::stateful(move |_| Some(Reply::After(held.clone(), Box::new(index())))).await;
    let peer = Peer::new(&registry.host(), quick(), Anonymous);
    let getting = (0..CHILDREN).map(|n| {
        // Clones are of one registry: what each of them asks counts for all.
        let client = peer.client.clone();
        let selector = Selector::Tag(format!("t{n}").parse().unwrap());
        async move { client.get_manifest(&repository(), &selector, Visibility::Settled).await }
    });
    let watching = async {
        for most in (8..=CHILDREN).step_by(8).chain([CHILDREN]) {
            registry.arrived(most).await;
            // Whoever else may ask has the time to.
            for _ in 0..2000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(registry.requests().len(), most);
            gate.notify_waiters();
        }
    };
    let (got, ()) = tokio::join!(join_all(getting), watching);
    assert!(got.iter().all(Result::is_ok), "{got:?}");
}

fn children() -> Vec<Image> {
    (0..CHILDREN).map(|n| Image::oci(&format!("linux/arch{n}"), "x")).collect()
}

/// What was asked, with `CHILD` and `CONFIG` for what is of each child, sorted and counted.
fn asked(registry: &ScriptedRegistry, images: &[Image]) -> Vec<(String, usize)> {
    let mut counted = std::collections::BTreeMap::new();
    for mut line in registry.lines() {
        for image in images {
            line = line.replace(&image.manifest.digest(), "CHILD").replace(&image.config.digest(), "CONFIG");
        }
        *counted.entry(line).or_insert(0) += 1;
    }
    counted.into_iter().collect()
}

/// Each child is asked for as it was named, for what its config says, and by its digest after the tag has moved.
#[tokio::test]
async fn join_sends_three_requests_per_child_and_four_per_index() {
    let store = Store::default();
    let images = children();
    let content = store.clone();
    let registry = ScriptedRegistry::stateful(move |request| content.answer(request)).await;
    for (n, image) in images.iter().enumerate() {
        store.push("hello", &format!("1-{n}"), image);
    }
    let home = Home::new();
    let name = |tag: &str| format!("{}/hello:{tag}", registry.host());
    let mut args = vec!["join".to_owned(), "-t".to_owned(), name("1")];
    args.extend((0..CHILDREN).map(|n| name(&format!("1-{n}"))));
    Run::new(&home, &args).finish().await.expect_code(0);
    let tags = (0..CHILDREN).map(|n| (format!("GET /v2/hello/manifests/1-{n}"), 1));
    let mut expected: Vec<_> = tags.collect();
    expected.extend([
        ("GET /v2/".to_owned(), 1),
        // What it names before, and after.
        ("GET /v2/hello/manifests/1".to_owned(), 2),
        ("PUT /v2/hello/manifests/1".to_owned(), 1),
        ("GET /v2/hello/blobs/CONFIG".to_owned(), CHILDREN),
        ("GET /v2/hello/manifests/CHILD".to_owned(), CHILDREN),
    ]);
    expected.sort();
    assert_eq!(asked(&registry, &images), expected);
}

#[tokio::test]
async fn index_children_are_fetched_in_parallel_and_keep_their_order() {
    let store = Store::default();
    let images = children();
    for image in &images {
        store.push("hello", "any", image);
    }
    store.put("hello", "all", &Document::index_of(&images));
    let (gate, content) = (Arc::new(Notify::new()), store.clone());
    let mut waiting = 0;
    let registry = ScriptedRegistry::stateful(move |request| {
        let reply = content.answer(request)?;
        // The first is answered when seven more have come: one after the other, nobody would come.
        if waiting < 8 && request.target.contains("/manifests/sha256:") {
            waiting += 1;
            if waiting == 8 {
                gate.notify_one();
            } else if waiting == 1 {
                return Some(Reply::After(gate.clone(), Box::new(reply)));
            }
        }
        Some(reply)
    })
    .await;
    let name = |tag: &str| format!("{}/hello:{tag}", registry.host());
    Run::new(&Home::new(), ["join", "-t", &name("1"), &name("all")]).finish().await.expect_code(0);
    assert_eq!(store.get("hello", "1").unwrap().json()["manifests"], Document::index_of(&images).json()["manifests"]);
    // Once to be joined and once to be read back: it was answered before anybody lost patience.
    assert_eq!(registry.count(&format!("GET /v2/hello/manifests/{}", images[0].manifest.digest())), 2);
}
