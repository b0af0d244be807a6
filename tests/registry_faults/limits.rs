//! How often a registry may be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use polyarch::auth::Anonymous;
use polyarch::aws::Provider;
use polyarch::oci::Selector;
use polyarch::registry::{Client, ClientConfig, Proxies, Timeouts, Transport};

use super::{PUT, Peer, manifest, quick, repository, unavailable};
use crate::support::scripted_registry::{ScriptedRegistry, status};

/// What ECR answers to whoever asks too often.
const RATE: &str = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}"#;

#[tokio::test]
async fn ecr_gets_ten_manifests_at_once_and_ten_a_second_after() {
    let registry = ScriptedRegistry::stateful(|_| Some(status(201))).await;
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: quick(),
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    let host = registry.host().parse().unwrap();
    let client = Client::of(Provider::Ecr, config, host, Transport::Http, Arc::new(Anonymous)).unwrap();
    let (manifest, path, start) = (manifest(), repository(), Instant::now());
    let tags = (0..15).map(|n| Selector::Tag(n.to_string().parse().unwrap())).collect::<Vec<_>>();
    let put = join_all(tags.iter().map(|tag| client.put_manifest(&path, tag, &manifest))).await;
    assert!(put.iter().all(Result::is_ok), "{put:?}");
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(registry.requests().len(), 15);
}

#[tokio::test]
async fn throttling_error_reports_attempts_and_elapsed_time() {
    let rows = unavailable(PUT, 5, 429).into_iter().map(|(line, reply)| (line, reply.body(RATE)));
    let registry = ScriptedRegistry::ordered(rows).await;
    let error = Peer::anonymous(&registry).put().await.unwrap_err().to_string();
    assert!(error.contains("answered 429: Rate exceeded after 5 attempts in 0."), "{error}");
}
