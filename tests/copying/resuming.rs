//! Blobs whose connections break in the middle go on where they broke.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use polyarch::auth::Anonymous;
use polyarch::oci::{Descriptor, Digest};
use polyarch::registry::{
    Backoff, BlobOutcome, BlobSource, Client, ClientConfig, Proxies, RegistryError, Timeouts, Transport,
};
use tokio::sync::Notify;

use super::faults::{client, path};
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

/// Longer than what the sockets of both ends hold.
const SIZE: usize = 12 << 20;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n % 249).unwrap()).collect()
}

fn blob(content: &[u8]) -> Descriptor {
    let text = format!(r#"{{"mediaType":"x/layer","digest":"{}","size":{}}}"#, Digest::of(content), content.len());
    serde_json::from_str(&text).unwrap()
}

/// Copies the content between two scripted registries; bytes that count as moved.
async fn copied(from: &ScriptedRegistry, to: &ScriptedRegistry) -> (Result<BlobOutcome, RegistryError>, u64) {
    let (source, target) = (client(from, Arc::new(Anonymous)), client(to, Arc::new(Anonymous)));
    let (moved, repository) = (AtomicU64::new(0), path("from"));
    let source = BlobSource::Registry { client: &source, repository: &repository };
    let arrival = target.copy_blob(&path("to"), &blob(&content()), source, &moved).await;
    (arrival, moved.load(Ordering::Relaxed))
}

/// The part of the content that a request asks for, or all of it.
fn served(request: &Request) -> Reply {
    let content = content();
    let Some(range) = request.header("range") else { return status(200).body(content) };
    let from: usize = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    part(from, &content[from..])
}

fn part(from: usize, bytes: &[u8]) -> Reply {
    status(206).header("Content-Range", format!("bytes {from}-{}/{SIZE}", SIZE - 1)).body(bytes)
}

/// Breaks after `length` bytes of what it announces.
fn cut(reply: Reply, announced: usize, length: usize) -> Reply {
    let Reply::Answer { body: crate::support::scripted_registry::Body::Whole(bytes), .. } = &reply else {
        panic!("{reply:?}")
    };
    let bytes = bytes[..length].to_vec();
    reply.header("Content-Length", announced.to_string()).body(bytes)
}

/// A registry that gives the content; `special` goes before, and counts.
async fn giving(mut special: impl FnMut(&Request, usize) -> Option<Reply> + Send + 'static) -> ScriptedRegistry {
    let mut count = 0;
    ScriptedRegistry::stateful(move |request| {
        count += 1;
        Some(special(request, count).unwrap_or_else(|| served(request)))
    })
    .await
}

/// A registry that takes uploads, as far as it is let: what it has is in `stored`.
async fn taking(
    stored: Arc<Mutex<Vec<u8>>>,
    mut special: impl FnMut(&Request, &mut Vec<u8>) -> Option<Reply> + Send + 'static,
) -> ScriptedRegistry {
    let mut step = 0;
    ScriptedRegistry::stateful(move |request| {
        let stored = &mut *stored.lock().unwrap();
        if let Some(reply) = special(request, stored) {
            return Some(reply);
        }
        let place = |step: &mut u32| {
            *step += 1;
            format!("/upload/{step}?state={step}")
        };
        let range = |stored: &Vec<u8>| format!("0-{}", stored.len().saturating_sub(1));
        match request.method.as_str() {
            "HEAD" => Some(status(404)),
            "POST" => {
                stored.clear();
                Some(status(202).header("Location", place(&mut step)))
            }
            // Each address is good once.
            _ if !request.target.starts_with(&format!("/upload/{step}?state={step}")) => Some(status(404)),
            "GET" => Some(status(204).header("Location", place(&mut step)).header("Range", range(stored))),
            "PATCH" => {
                let from = request
                    .header("content-range")
                    .map_or(0, |range| range.split('-').next().unwrap().parse::<usize>().unwrap());
                if from != stored.len() {
                    return Some(status(416).header("Location", place(&mut step)).header("Range", range(stored)));
                }
                stored.extend_from_slice(&request.body);
                Some(status(202).header("Location", place(&mut step)).header("Range", range(stored)))
            }
            "PUT" => Some(status(201)),
            "DELETE" => Some(status(204)),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn broken_download_resumes_while_the_upload_stays_open() {
    let stored = Arc::new(Mutex::new(Vec::new()));
    // Six times: more often than anything is tried without coming on.
    let from = giving(|request, count| {
        let from = (count - 1) * 1000;
        (count <= 6).then(|| cut(served(request), SIZE - from, 1000))
    })
    .await;
    let to = taking(stored.clone(), |_, _| None).await;
    let (arrival, moved) = copied(&from, &to).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE as u64));
    assert_eq!(*stored.lock().unwrap(), content());
    assert_eq!((from.count("GET "), to.count("PATCH "), to.count("POST ")), (7, 1, 1));
    let ranges: Vec<_> = from.requests().iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!((ranges[0].as_deref(), ranges[6].as_deref()), (None, Some("bytes=6000-")));
}

#[tokio::test]
async fn registry_without_ranges_is_read_from_the_start_again() {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let from = giving(|_, count| {
        let all = status(200).body(content());
        Some(if count == 1 { cut(all, SIZE, 5 << 20) } else { all })
    })
    .await;
    let to = taking(stored.clone(), |_, _| None).await;
    assert_eq!(copied(&from, &to).await.0.unwrap(), BlobOutcome::Copied);
    assert_eq!((*stored.lock().unwrap() == content(), from.count("GET "), to.count("PATCH ")), (true, 2, 1));
}

#[tokio::test]
async fn download_without_progress_is_tried_five_times_at_most() {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let from =
        giving(|request, count| Some(if count == 1 { cut(served(request), SIZE, 1000) } else { Reply::Reset })).await;
    let to = taking(stored.clone(), |_, _| None).await;
    let (failed, moved) = copied(&from, &to).await;
    let failed = failed.unwrap_err();
    assert_eq!((failed.host().as_str(), moved), (from.host().as_str(), 0));
    assert_eq!((from.count("GET "), to.count("POST "), to.count("PUT ")), (6, 1, 0), "one layer of attempts");
}

#[tokio::test]
async fn answer_with_the_wrong_range_is_refused() {
    for wrong in [part(999, &content()[999..]), status(206).body(&content()[1000..])] {
        let stored = Arc::new(Mutex::new(Vec::new()));
        let from = giving(move |request, count| {
            Some(if count == 1 { cut(served(request), SIZE, 1000) } else { wrong.clone() })
        })
        .await;
        let to = taking(stored.clone(), |_, _| None).await;
        let failed = copied(&from, &to).await.0.unwrap_err();
        assert!(failed.is_refusal(), "{failed}");
        assert_eq!((from.count("GET "), to.count("PUT ")), (2, 0));
    }
}

#[tokio::test]
async fn broken_upload_resumes_at_the_offset_of_the_registry() {
    let (stored, mut breaks) = (Arc::new(Mutex::new(Vec::new())), 7);
    let from = giving(|_, _| None).await;
    // It keeps a part of what came, and breaks, more often than anything is tried without coming on.
    let to = taking(stored.clone(), move |request, stored| {
        let breaking = request.method == "PATCH" && breaks > 0;
        breaking.then(|| {
            breaks -= 1;
            let from = stored.len();
            assert_eq!(from == 0, request.header("content-range").is_none());
            stored.extend_from_slice(&request.body[..1_500_000]);
            Reply::Reset
        })
    })
    .await;
    let (arrival, moved) = copied(&from, &to).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE as u64));
    assert_eq!((*stored.lock().unwrap() == content(), to.count("POST "), to.count("PUT ")), (true, 1, 1));
    // Of what the registry has, little is read again.
    let last = from.requests().last().unwrap().header("range").unwrap().to_owned();
    let start: u64 = last.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!(start > 6_000_000, "{last}");
}

#[tokio::test]
async fn short_range_and_416_resume_at_the_newest_location() {
    let (stored, mut times) = (Arc::new(Mutex::new(Vec::new())), 0);
    let from = giving(|_, _| None).await;
    let to = taking(stored.clone(), move |request, stored| {
        if request.method != "PATCH" {
            return None;
        }
        times += 1;
        match times {
            // It says that it took less than it was sent.
            1 => {
                stored.extend_from_slice(&request.body[..5_000_000]);
                Some(status(202).header("Location", "/upload/1?state=1&short").header("Range", "0-4999999"))
            }
            // And what it has is another part than it said.
            2 => {
                stored.truncate(3_000_000);
                None
            }
            _ => None,
        }
    })
    .await;
    let (arrival, moved) = copied(&from, &to).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE as u64));
    assert_eq!((*stored.lock().unwrap() == content(), to.count("POST ")), (true, 1));
    assert_eq!((to.count("PATCH "), to.count("PUT ")), (3, 1));
}

#[tokio::test]
async fn content_that_differs_when_resumed_is_never_completed() {
    let (stored, mut broken) = (Arc::new(Mutex::new(Vec::new())), false);
    // It lies the first time only: all in all, the digest would be right.
    let from = giving(|request, count| {
        (count == 1).then(|| {
            let mut lie = content();
            lie[100] ^= 1;
            let _ = request;
            status(200).body(lie)
        })
    })
    .await;
    let to = taking(stored.clone(), move |request, stored| {
        let breaking = request.method == "PATCH" && !broken;
        breaking.then(|| {
            broken = true;
            stored.extend_from_slice(&request.body[..1_000_000]);
            Reply::Reset
        })
    })
    .await;
    let failed = copied(&from, &to).await.0.unwrap_err();
    assert!(failed.is_refusal(), "{failed}");
    assert_eq!(to.count("PUT "), 0);
}

#[tokio::test]
async fn upload_with_an_unknown_status_is_started_again() {
    let (stored, mut broken) = (Arc::new(Mutex::new(Vec::new())), 0);
    let from = giving(|_, _| None).await;
    let to = taking(stored.clone(), move |request, stored| match request.method.as_str() {
        "PATCH" if broken == 0 => {
            broken = 1;
            stored.extend_from_slice(&request.body[..1_000_000]);
            Some(Reply::Reset)
        }
        "GET" => Some(status(404)),
        _ => None,
    })
    .await;
    let (arrival, moved) = copied(&from, &to).await;
    assert_eq!((arrival.unwrap(), moved), (BlobOutcome::Copied, SIZE as u64));
    assert_eq!((*stored.lock().unwrap() == content(), to.count("POST "), to.count("PUT ")), (true, 2, 1));
}

#[tokio::test]
async fn registry_killed_during_an_upload_receives_all_of_it() {
    let mut to = Distribution::start(Setup::Plain);
    let (half, whole) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (came, go) = (half.clone(), whole.clone());
    let from = giving(move |request, count| match count {
        1 => Some(cut(served(request), SIZE, SIZE / 2)),
        2 => {
            came.notify_one();
            Some(Reply::After(go.clone(), Box::new(served(request))))
        }
        _ => None,
    })
    .await;
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: Backoff::STANDARD,
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    let host = to.address().to_string().parse().unwrap();
    let target = Client::new(config, host, Transport::Http, Arc::new(Anonymous)).unwrap();
    let (source, repository, moved) = (client(&from, Arc::new(Anonymous)), path("from"), AtomicU64::new(0));
    let source = BlobSource::Registry { client: &source, repository: &repository };
    let (into, blob) = (path("to"), blob(&content()));
    let killing = async {
        half.notified().await;
        to.restart();
        whole.notify_one();
    };
    let (arrival, ()) = tokio::join!(target.copy_blob(&into, &blob, source, &moved), killing);
    assert_eq!((arrival.unwrap(), moved.into_inner()), (BlobOutcome::Copied, SIZE as u64));
    let stored = Peer::new(&to.base(), "to").get(&format!("blobs/{}", blob.digest)).await.unwrap().is(200).unwrap();
    assert!(stored.body == content());
    // The upload of before was asked for; distribution 2.8 does not know how far one came that broke, and begins again.
    let asked = to.requests();
    let count =
        |method: &str| asked.iter().filter(|line| line.starts_with(&format!("{method} /v2/to/blobs/uploads/"))).count();
    assert_eq!((count("GET"), count("POST"), count("PUT")), (1, 2, 1), "{asked:?}");
}

#[tokio::test]
async fn forgotten_upload_is_restarted_five_times_at_most() {
    const INVALID: &str = r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid"}]}"#;
    for (method, forgotten, code) in [("PUT", 1, 201), ("PATCH", 1, 201), ("PUT", usize::MAX, 404)] {
        let from = giving(|_, _| None).await;
        let (stored, mut count) = (Arc::new(Mutex::new(Vec::new())), 0);
        let to = taking(stored.clone(), move |request, _| {
            count += usize::from(request.method == method);
            // Its status is not known either.
            let forgot = request.method == method || request.method == "GET";
            (forgot && (1..=forgotten).contains(&count)).then(|| status(404).body(INVALID))
        })
        .await;
        let (arrival, _) = copied(&from, &to).await;
        if code == 201 {
            assert!(matches!(arrival, Ok(BlobOutcome::Copied)), "{method}: {arrival:?}");
            assert_eq!((to.count("POST "), stored.lock().unwrap().len()), (2, SIZE), "{method}");
            continue;
        }
        let error = arrival.unwrap_err();
        assert!(error.to_string().contains("lost the upload"), "{error}");
        assert!(error.hint().unwrap().contains("read the registry's log"), "{error}");
        assert_eq!(to.count("PUT "), 5);
    }
}
