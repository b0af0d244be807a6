//! Registries that do what they are asked for, and answer in their own way.

use std::time::{Duration, SystemTime};

use polyarch::auth::Anonymous;
use polyarch::oci::Digest;
use polyarch::registry::{BlobHead, ErrorKind, Transport};
use tokio::time::Instant;

use super::{GET, HEAD, INDEX, PUT, Peer, TYPE, fast_forward, index, manifest, quick, repository, tag};
use crate::support::scripted_registry::{ScriptedRegistry, status};

/// No answer of these is tried again.
const REFUSALS: [u16; 12] = [400, 402, 403, 405, 406, 409, 410, 415, 421, 451, 501, 505];

#[tokio::test]
async fn refused_head_of_a_manifest_falls_back_to_get() {
    for code in REFUSALS {
        let registry =
            ScriptedRegistry::ordered([(HEAD, status(code)), (GET, index()), (HEAD, status(code)), (GET, status(404))])
                .await;
        let client = Peer::anonymous(&registry).client;
        let head = client.head_manifest(&repository(), &tag()).await.unwrap().unwrap();
        assert_eq!((head.digest.as_ref(), head.size), (Some(manifest().digest()), Some(INDEX.len() as u64)), "{code}");
        assert_eq!(client.head_manifest(&repository(), &tag()).await.unwrap(), None, "{code}");
    }
    // One that fails at it is asked as often as for anything, and then in the other way.
    let rows = vec![(HEAD, status(500)); 5].into_iter().chain([(GET, index())]);
    let registry = ScriptedRegistry::ordered(rows).await;
    assert!(Peer::anonymous(&registry).client.head_manifest(&repository(), &tag()).await.unwrap().is_some());
}

#[tokio::test]
async fn refused_head_of_a_blob_falls_back_to_its_first_byte() {
    let digest = Digest::of(b"blob");
    for code in REFUSALS {
        let mut asked = Vec::new();
        let registry = ScriptedRegistry::stateful(move |request| {
            asked.push(request.method.clone());
            match request.method.as_str() {
                "HEAD" => Some(status(code)),
                _ => Some(status(206).header("Content-Range", "bytes 0-0/4").body("b")).filter(|_| asked.len() == 2),
            }
        })
        .await;
        let head = Peer::anonymous(&registry).client.head_blob(&repository(), &digest).await.unwrap();
        assert_eq!(head, Some(BlobHead::Sized(4)), "{code}");
    }
}

#[tokio::test]
async fn refused_login_or_rate_limit_of_head_has_no_fallback() {
    for refusal in [status(401), status(429).header("Retry-After", "3600")] {
        let registry = ScriptedRegistry::ordered([(HEAD, refusal)]).await;
        Peer::anonymous(&registry).client.head_manifest(&repository(), &tag()).await.unwrap_err();
    }
}

#[tokio::test]
async fn manifest_push_answered_other_than_201_is_read_back() {
    for code in [200, 202, 203, 204] {
        let registry = ScriptedRegistry::ordered([(PUT, status(code)), (GET, index())]).await;
        Peer::anonymous(&registry).put().await.unwrap();
    }
    // What was accepted is there a moment later.
    let before = || status(200).header("Content-Type", TYPE).body(INDEX.replace("2,", "2 ,"));
    let rows = [(PUT, status(202)), (GET, status(404)), (GET, before()), (GET, index())];
    let registry = ScriptedRegistry::ordered(rows).await;
    let patient =
        |registry: &ScriptedRegistry| Peer::with(&registry.host(), quick(), Anonymous, Transport::Http, fast_forward);
    patient(&registry).put().await.unwrap();
    // What never shows was not stored.
    let registry =
        ScriptedRegistry::stateful(move |request| Some(if request.method == "PUT" { status(204) } else { before() }))
            .await;
    let error = patient(&registry).put().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Stale(_)), "{error}");
}

#[tokio::test]
async fn manifest_answered_203_by_a_proxy_is_accepted() {
    let registry = ScriptedRegistry::ordered([(GET, status(203).header("Content-Type", TYPE).body(INDEX))]).await;
    assert_eq!(Peer::anonymous(&registry).get().await.unwrap(), manifest());
}

/// Docker Hub's API (docker/hub-feedback#2459).
#[tokio::test]
async fn retry_after_with_a_unix_time_is_honoured() {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let busy = |time: u64| status(429).header("Retry-After", time.to_string());
    let registry = ScriptedRegistry::ordered([(GET, busy(unix + 30)), (GET, index())]).await;
    let peer = Peer::with(&registry.host(), quick(), Anonymous, Transport::Http, fast_forward);
    let start = Instant::now();
    peer.get().await.unwrap();
    assert!((Duration::from_secs(20)..Duration::from_mins(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    let registry = ScriptedRegistry::ordered([(GET, busy(unix + 7190))]).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    // Less than 2 h is left when the answer is read.
    assert_eq!(error.hint().unwrap(), "run this again in 120 min");
}

#[tokio::test]
async fn answers_of_a_gateway_are_recognised_with_a_hint() {
    let page = "\n<!DOCTYPE html><html>log in</html>";
    for (reply, said, hint) in [
        (status(200).header("Content-Type", "text/html").body(page), "sent a web page instead of", "in a browser"),
        (status(413).body("<html>413</html>"), "answered 413", "client_max_body_size"),
        (
            status(400).body("Client sent an HTTP request to an HTTPS server.\n"),
            "answered 400: Client sent",
            "remove `insecure: true`",
        ),
        (
            status(400).body("<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>"),
            "answered 400: The plain HTTP request",
            "remove `insecure: true`",
        ),
        (
            status(400).body("<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>"),
            "answered 400: No required SSL certificate",
            "`cert:` and `key:`",
        ),
    ] {
        let registry = ScriptedRegistry::ordered([(GET, reply)]).await;
        let error = Peer::anonymous(&registry).get().await.unwrap_err();
        assert!(error.to_string().contains(said) && error.hint().unwrap().contains(hint), "{error:?}");
    }
}
