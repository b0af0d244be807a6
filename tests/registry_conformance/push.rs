//! Distribution-spec, "Push": blobs.

use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use polyarch::oci::Digest;
use reqwest::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{Answer, Outcome, Peer, same};

async fn has(peer: &Peer, bytes: &[u8]) -> Outcome {
    let answer = peer.get(&format!("blobs/{}", Digest::of(bytes))).await?.is(200)?;
    same("bytes", &answer.body[..], bytes)
}

pub(super) async fn whole_blob_is_accepted_in_one_post(peer: Peer) -> Outcome {
    let digest = Digest::of(b"one post");
    let asked = peer.ask(Method::POST, &format!("blobs/uploads/?digest={digest}"));
    let answer = Answer::of(asked.header("content-type", "application/octet-stream").body("one post")).await?;
    let answer = answer.is(201)?.has("docker-content-digest", digest.as_str())?;
    let read = Answer::of(peer.request(Method::GET, answer.header("location")?)).await?;
    same("bytes", &read.body[..], b"one post")
}

pub(super) async fn whole_blob_is_accepted_in_one_request_after_post(peer: Peer) -> Outcome {
    let digest = Digest::of(b"one put");
    let answer = peer.finish(&peer.begin().await?, &digest, "one put").await?.is(201)?;
    answer.has("docker-content-digest", digest.as_str())?;
    has(&peer, b"one put").await
}

pub(super) async fn stream_without_content_range_is_accepted(peer: Peer) -> Outcome {
    let pieces: Vec<Bytes> = (0..200_u8).map(|n| Bytes::from(vec![n; 10_000])).collect();
    let whole = pieces.concat();
    let stream = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let asked = peer.request(Method::PATCH, &peer.begin().await?).body(Body::wrap_stream(stream));
    let answer = Answer::of(asked).await?.is(202)?.has("range", &format!("0-{}", whole.len() - 1))?;
    peer.finish(answer.header("location")?, &Digest::of(&whole), "").await?.is(201)?;
    has(&peer, &whole).await
}

pub(super) async fn chunks_in_order_are_accepted(peer: Peer) -> Outcome {
    let first = peer.chunk(&peer.begin().await?, 0, b"01234").await?.is(202)?.has("range", "0-4")?;
    let status = Answer::of(peer.request(Method::GET, first.header("location")?)).await?;
    let status = status.is(204)?.has("range", "0-4")?;
    let second = peer.chunk(status.header("location")?, 5, b"567").await?.is(202)?.has("range", "0-7")?;
    peer.finish(second.header("location")?, &Digest::of(b"0123456789"), "89").await?.is(201)?;
    has(&peer, b"0123456789").await
}

pub(super) async fn chunk_that_leaves_a_gap_is_416(peer: Peer) -> Outcome {
    let first = peer.chunk(&peer.begin().await?, 0, b"01234").await?.is(202)?;
    let location = first.header("location")?;
    for begin in [0, 4, 6, 1 << 40] {
        peer.chunk(location, begin, b"56789").await?.is(416)?;
    }
    // Refused chunks change nothing.
    let second = peer.chunk(location, 5, b"56789").await?.is(202)?;
    peer.finish(second.header("location")?, &Digest::of(b"0123456789"), "").await?.is(201)?;
    has(&peer, b"0123456789").await
}

pub(super) async fn chunk_of_another_length_than_announced_is_refused(peer: Peer) -> Outcome {
    let location = peer.begin().await?;
    for range in ["0-3", "0-5"] {
        let asked = peer.request(Method::PATCH, &location).header("content-range", range);
        Answer::of(asked.body("01234")).await?.refused(400, "SIZE_INVALID")?;
        // The same without a Content-Length.
        let stream = futures::stream::iter([Ok::<_, std::io::Error>("01234")]);
        let asked = peer.request(Method::PATCH, &location).header("content-range", range);
        Answer::of(asked.body(Body::wrap_stream(stream))).await?.refused(400, "SIZE_INVALID")?;
    }
    let asked = peer.request(Method::PATCH, &location).header("content-range", "backwards");
    Answer::of(asked.body("01234")).await?.refused(400, "BLOB_UPLOAD_INVALID")?;
    peer.finish(&location, &Digest::of(b"right"), "right").await?.is(201)?;
    has(&peer, b"right").await
}

pub(super) async fn upload_continues_after_a_broken_connection(peer: Peer) -> Outcome {
    let location = peer.begin().await?;
    let path = &location[location.find("/v2/").unwrap_or_default()..];
    let error = |e: std::io::Error| e.to_string();
    let mut broken = tokio::net::TcpStream::connect(peer.authority()).await.map_err(error)?;
    let request = format!("PATCH {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 10\r\n\r\n01234", peer.authority());
    broken.write_all(request.as_bytes()).await.map_err(error)?;
    broken.shutdown().await.map_err(error)?;
    // The server hangs up when it is done with the half of a request.
    broken.read_to_end(&mut Vec::new()).await.map_err(error)?;
    Answer::of(peer.request(Method::GET, &location)).await?.is(204)?.has("range", "0-4")?;
    peer.finish(&location, &Digest::of(b"0123456789"), "56789").await?.is(201)?;
    has(&peer, b"0123456789").await
}

pub(super) async fn blob_of_another_digest_is_refused(peer: Peer) -> Outcome {
    let digest = Digest::of(b"what was announced");
    let refused = peer.finish(&peer.begin().await?, &digest, "what came").await?;
    refused.refused(400, "DIGEST_INVALID")?;
    for bytes in [&b"what was announced"[..], b"what came"] {
        peer.head(&format!("blobs/{}", Digest::of(bytes))).await?.is(404)?;
    }
    let location = peer.begin().await?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let nonsense = peer.request(Method::PUT, &format!("{location}{separator}digest=sha256:zz")).body("what came");
    Answer::of(nonsense).await?.refused(400, "DIGEST_INVALID")
}

pub(super) async fn blob_is_mounted_from_another_repository(peer: Peer) -> Outcome {
    let (from, to) = (peer.repository("from"), peer.repository("to"));
    let digest = from.blob(b"to be mounted").await?;
    let path = format!("blobs/uploads/?mount={digest}&from={}", from.name);
    let answer = Answer::of(to.ask(Method::POST, &path)).await?.is(201)?;
    answer.has("docker-content-digest", digest.as_str())?;
    has(&to, b"to be mounted").await
}

pub(super) async fn mount_of_a_missing_blob_begins_an_upload(peer: Peer) -> Outcome {
    let digest = peer.repository("owner").blob(b"only the owner has it").await?;
    for from in [format!("&from={}/stranger", peer.name), String::new()] {
        let path = format!("blobs/uploads/?mount={digest}{from}");
        let answer = Answer::of(peer.ask(Method::POST, &path)).await?.is(202)?;
        answer.header("location")?;
    }
    peer.head(&format!("blobs/{digest}")).await?.is(404)?;
    Ok(())
}

pub(super) async fn blob_exists_only_in_its_own_repository(peer: Peer) -> Outcome {
    let digest = peer.repository("one").blob(b"of one").await?;
    peer.repository("two").head(&format!("blobs/{digest}")).await?.is(404)?;
    Ok(())
}

pub(super) async fn cancelled_upload_is_gone(peer: Peer) -> Outcome {
    let location = peer.begin().await?;
    Answer::of(peer.request(Method::DELETE, &location)).await?.is(204)?;
    Answer::of(peer.request(Method::GET, &location)).await?.refused(404, "BLOB_UPLOAD_UNKNOWN")
}

pub(super) async fn upload_belongs_to_its_repository(peer: Peer) -> Outcome {
    let location = peer.begin().await?;
    let elsewhere = location.replace(&peer.name, "another/repository");
    let answer = peer.finish(&elsewhere, &Digest::of(b"x"), "x").await?;
    answer.is(404)?;
    Ok(())
}

pub(super) async fn same_blob_is_accepted_from_many_clients_at_once(peer: Peer) -> Outcome {
    let bytes = vec![7; 1 << 20];
    try_join_all((0..16).map(|_| peer.blob(&bytes))).await?;
    has(&peer, &bytes).await
}
