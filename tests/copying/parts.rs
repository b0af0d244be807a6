//! Blobs that go in parts: to ECR, and to registries that say how short a part may be.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use polyarch::auth::{Anonymous, AuthError, Credential, CredentialSource, Secret};
use polyarch::aws::Provider;
use polyarch::oci::{Descriptor, Digest, RegistryHost, RepositoryPath};
use polyarch::registry::{
    Backoff, BlobOutcome, BlobSource, Client, ClientConfig, Proxies, RegistryError, Timeouts, Transport,
};

use super::faults::path;
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

const MIB: usize = 1 << 20;
/// The parts that ECR is sent, the last one shorter.
const PART: usize = 10 * MIB;
/// Three parts.
const SIZE: usize = 2 * PART + 3;
/// What ECR answers to a token that has expired.
const EXPIRED: &str =
    r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n % 249).unwrap()).collect()
}

fn client(host: &str, provider: Provider, credentials: impl CredentialSource + 'static) -> Client {
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: Backoff { base: Duration::from_millis(1), ..Backoff::STANDARD },
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    Client::of(provider, config, host.parse().unwrap(), Transport::Http, Arc::new(credentials)).unwrap()
}

/// Sends a blob of `size` bytes; bytes that count as moved.
async fn send(client: &Client, size: usize) -> (Result<BlobOutcome, RegistryError>, usize) {
    let content = content(size);
    let text = format!(r#"{{"mediaType":"x/layer","digest":"{}","size":{size}}}"#, Digest::of(&content));
    let blob: Descriptor = serde_json::from_str(&text).unwrap();
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let moved = AtomicU64::new(0);
    let arrival = client.copy_blob(&path("to"), &blob, BlobSource::File(&file), &moved).await;
    (arrival, usize::try_from(moved.into_inner()).unwrap())
}

type Stored = Arc<Mutex<Vec<u8>>>;

/// A registry that takes uploads as ECR does: parts in their order, of 5 to 10 MiB but for the last; it answers 201, and
/// says of each that it has the first (containers-roadmap#2831). `special` goes before; after it, nothing is stored.
async fn ecr(
    stored: Stored,
    mut special: impl FnMut(&Request, &mut Vec<u8>) -> Option<Reply> + Send + 'static,
) -> ScriptedRegistry {
    let whole = Digest::of(&content(SIZE)).to_string().replace(':', "%3A");
    ScriptedRegistry::stateful(move |request| {
        let stored = &mut *stored.lock().unwrap();
        if let Some(reply) = special(request, stored) {
            return Some(reply);
        }
        let upload = |code| status(code).header("Location", "/v2/to/blobs/uploads/1");
        match request.line().as_str() {
            line if line.starts_with("HEAD ") => Some(status(404)),
            "POST /v2/to/blobs/uploads/" => {
                stored.clear();
                Some(upload(202))
            }
            "PATCH /v2/to/blobs/uploads/1" => {
                let (first, last) = range(request).unwrap_or((0, request.body.len().saturating_sub(1)));
                if first != stored.len() {
                    return Some(status(416));
                }
                assert!(request.body.is_empty() || last - first + 1 == request.body.len(), "{first}-{last}");
                assert!(last + 1 == SIZE || first == 0 || request.body.len() >= 5 * MIB);
                assert!(request.body.len() <= PART, "{}", request.body.len());
                stored.extend_from_slice(&request.body);
                Some(upload(201).header("Range", format!("0-{}", stored.len().min(PART) - 1)))
            }
            line if line.ends_with(&whole) => Some(status(201)),
            _ => None,
        }
    })
    .await
}

/// `Content-Range`.
fn range(request: &Request) -> Option<(usize, usize)> {
    let (first, last) = request.header("content-range")?.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().unwrap()))
}

fn ranges(registry: &ScriptedRegistry) -> Vec<(usize, usize)> {
    registry.requests().iter().filter(|request| request.method == "PATCH").filter_map(range).collect()
}

const WHOLE: [(usize, usize); 3] = [(0, PART - 1), (PART, 2 * PART - 1), (2 * PART, SIZE - 1)];

#[tokio::test]
async fn layer_is_uploaded_to_ecr_in_parts_of_10_mib() {
    let stored = Stored::default();
    let registry = ecr(stored.clone(), |_, _| None).await;
    let (arrival, moved) = send(&client(&registry.host(), Provider::Ecr, Anonymous), SIZE).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE));
    assert_eq!(ranges(&registry), WHOLE);
    assert!(*stored.lock().unwrap() == content(SIZE));
    assert_eq!((registry.count("POST "), registry.count("PUT "), registry.count("GET ")), (1, 1, 0));
}

#[tokio::test]
async fn blob_of_one_part_is_uploaded_to_ecr_in_one_request() {
    for size in [0, 3, PART] {
        let registry = ScriptedRegistry::stateful(|request| {
            let upload = |code| status(code).header("Location", "/v2/to/blobs/uploads/1");
            Some(match request.method.as_str() {
                "HEAD" => status(404),
                "POST" => upload(202),
                "PATCH" => upload(201),
                _ => status(201),
            })
        })
        .await;
        let (arrival, moved) = send(&client(&registry.host(), Provider::Ecr, Anonymous), size).await;
        assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, size));
        assert_eq!((registry.count("PATCH "), ranges(&registry)), (1, Vec::new()), "{size}");
    }
}

#[tokio::test]
async fn broken_ecr_part_is_sent_again_alone() {
    let (stored, mut breaks) = (Stored::default(), 3);
    let registry = ecr(stored.clone(), move |request, stored| {
        let breaking = request.method == "PATCH" && stored.len() == PART && breaks > 0;
        breaking.then(|| {
            breaks -= 1;
            if breaks == 0 { status(503) } else { Reply::Reset }
        })
    })
    .await;
    let (arrival, moved) = send(&client(&registry.host(), Provider::Ecr, Anonymous), SIZE).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE));
    assert_eq!(ranges(&registry), [WHOLE[0], WHOLE[1], WHOLE[1], WHOLE[1], WHOLE[1], WHOLE[2]]);
    assert!(*stored.lock().unwrap() == content(SIZE));
    // It is not asked how far it is.
    assert_eq!((registry.count("POST "), registry.count("PUT "), registry.count("GET ")), (1, 1, 0));
}

#[tokio::test]
async fn ecr_part_with_a_lost_answer_is_not_stored_twice() {
    let (stored, mut lost) = (Stored::default(), false);
    let registry = ecr(stored.clone(), move |request, stored| {
        let losing = request.method == "PATCH" && stored.len() == PART && !lost;
        losing.then(|| {
            lost = true;
            stored.extend_from_slice(&request.body);
            Reply::CutHead
        })
    })
    .await;
    let (arrival, moved) = send(&client(&registry.host(), Provider::Ecr, Anonymous), SIZE).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE));
    assert!(*stored.lock().unwrap() == content(SIZE));
    // The part is refused the second time (416), and the upload begun again.
    let all: Vec<_> = [&WHOLE[..2], &WHOLE[1..2], &WHOLE[..]].concat();
    assert_eq!((ranges(&registry), registry.count("POST ")), (all, 2));
}

#[tokio::test]
async fn refused_ecr_upload_is_started_five_times_at_most() {
    let stored = Stored::default();
    let registry =
        ecr(stored.clone(), |request, stored| (request.method == "PATCH" && stored.len() == PART).then(|| status(416)))
            .await;
    let (arrival, _) = send(&client(&registry.host(), Provider::Ecr, Anonymous), SIZE).await;
    assert!(arrival.unwrap_err().to_string().contains("part of the upload"));
    assert_eq!((registry.count("POST "), registry.count("PUT ")), (5, 0));
}

/// Answers with `token-1`, `token-2` and so on.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<u32>>);

impl CredentialSource for Tokens {
    fn credential<'a>(
        &'a self,
        _: &'a RegistryHost,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        *self.0.lock().unwrap() += 1;
        let password = Secret::new(format!("token-{}", self.0.lock().unwrap()));
        Box::pin(std::future::ready(Ok(Credential::Basic { username: "AWS".to_owned(), password })))
    }
}

#[tokio::test]
async fn ecr_login_expiring_between_parts_is_renewed() {
    let (stored, tokens) = (Stored::default(), Tokens::default());
    let (mut expired, mut first) = (false, None);
    let registry = ecr(stored.clone(), move |request, stored| {
        let Some(login) = request.header("authorization").map(str::to_owned) else {
            return Some(status(401).header("WWW-Authenticate", "Basic"));
        };
        let known = first.get_or_insert_with(|| login.clone());
        expired |= stored.len() == PART;
        (expired && *known == login).then(|| status(403).body(EXPIRED))
    })
    .await;
    let (arrival, moved) = send(&client(&registry.host(), Provider::Ecr, tokens.clone()), SIZE).await;
    assert_eq!((arrival.unwrap(), moved, *tokens.0.lock().unwrap()), (BlobOutcome::Copied, SIZE, 2));
    assert_eq!((ranges(&registry), registry.count("POST ")), (vec![WHOLE[0], WHOLE[1], WHOLE[1], WHOLE[2]], 1));
    assert!(*stored.lock().unwrap() == content(SIZE));
}

#[tokio::test]
async fn minimum_chunk_length_of_a_registry_is_obeyed() {
    // Shorter than ours: ours. Longer: its own.
    for (least, parts) in [(MIB, WHOLE.to_vec()), (15 * MIB, vec![(0, 15 * MIB - 1), (15 * MIB, SIZE - 1)])] {
        let (stored, mut short) = (Stored::default(), true);
        let kept = stored.clone();
        let registry = ScriptedRegistry::stateful(move |request| {
            let stored = &mut *kept.lock().unwrap();
            let upload = |code| status(code).header("Location", "/upload/1");
            let has = |stored: &[u8]| format!("0-{}", stored.len() - 1);
            Some(match request.method.as_str() {
                "HEAD" => status(404),
                "POST" => upload(202).header("OCI-Chunk-Min-Length", least.to_string()),
                "GET" => upload(204).header("Range", has(stored)),
                "PATCH" => {
                    assert_eq!(range(request).unwrap().0, stored.len());
                    // Once, it takes less than it was sent.
                    let taken = if std::mem::take(&mut short) { 6 * MIB } else { request.body.len() };
                    stored.extend_from_slice(&request.body[..taken]);
                    upload(202).header("Range", has(stored))
                }
                _ => status(201),
            })
        })
        .await;
        let (arrival, moved) = send(&client(&registry.host(), Provider::Other, Anonymous), SIZE).await;
        assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE));
        assert!(*stored.lock().unwrap() == content(SIZE), "{least}");
        let sent = ranges(&registry);
        assert_eq!((sent[0], sent[1].0, registry.count("GET ")), (parts[0], 6 * MIB, 1), "{least}");
        assert!(sent.iter().all(|(first, last)| last + 1 == SIZE || last - first == parts[0].1), "{sent:?}");
    }
}

#[tokio::test]
async fn docker_registry_accepts_uploads_in_parts() {
    let registry = Distribution::start(Setup::Plain);
    let client = client(&registry.address().to_string(), Provider::Ecr, Anonymous);
    let (arrival, moved) = send(&client, SIZE).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE));
    let digest = Digest::of(&content(SIZE));
    let stored = Peer::new(&registry.base(), "to").get(&format!("blobs/{digest}")).await.unwrap().is(200).unwrap();
    assert!(stored.body == content(SIZE));
    let asked = registry.requests();
    assert_eq!(asked.iter().filter(|line| line.starts_with("PATCH ")).count(), 3, "{asked:?}");
}

#[tokio::test]
async fn silent_ecr_403_hint_names_the_action_of_the_request() {
    for (method, action) in [
        ("HEAD", "ecr:BatchCheckLayerAvailability"),
        ("POST", "ecr:InitiateLayerUpload"),
        ("PATCH", "ecr:UploadLayerPart"),
        ("PUT", "ecr:CompleteLayerUpload"),
    ] {
        let registry = ecr(Stored::default(), move |request, _| (request.method == method).then(|| status(403))).await;
        let (arrival, _) = send(&client(&registry.host(), Provider::Ecr, Anonymous), SIZE).await;
        let hint = arrival.unwrap_err().hint().unwrap();
        assert!(hint.contains(&format!("allow {action} in the role's policy")), "{method}: {hint}");
        assert_eq!(registry.count(method), 1);
    }
}

#[tokio::test]
async fn ecr_upload_reset_hints_create_repository() {
    let registry = ecr(Stored::default(), |request, _| (request.method == "POST").then_some(Reply::Reset)).await;
    let (arrival, _) = send(&client(&registry.host(), Provider::Ecr, Anonymous), 3).await;
    let hint = arrival.unwrap_err().hint().unwrap();
    assert!(hint.contains("aws ecr create-repository --repository-name to"), "{hint}");
    assert!(hint.contains("if the repository exists, allow ecr:InitiateLayerUpload in the role's policy"), "{hint}");
}
