//! Distribution-spec, "Pull".

use http::Method;
use polyarch::oci::{Digest, MediaType};

use super::peer::{Answer, Outcome, Peer, index, same};

pub(super) async fn base_path_identifies_a_registry(peer: Peer) -> Outcome {
    let answer = Answer::of(peer.request(Method::GET, "/v2/")).await?.is(200)?;
    answer.has("docker-distribution-api-version", "registry/2.0")?;
    Ok(())
}

pub(super) async fn pushed_blob_is_read_back(peer: Peer) -> Outcome {
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = peer.blob(&bytes).await?;
    let path = format!("blobs/{digest}");
    let length = bytes.len().to_string();
    let head = peer.head(&path).await?.is(200)?.has("content-length", &length)?;
    head.has("docker-content-digest", digest.as_str())?;
    let get = peer.get(&path).await?.is(200)?.has("content-length", &length)?;
    let get = get.has("docker-content-digest", digest.as_str())?.has("content-type", "application/octet-stream")?;
    same("digest of the body", Digest::of(&get.body), digest)
}

pub(super) async fn empty_blob_is_read_back(peer: Peer) -> Outcome {
    let digest = peer.blob(b"").await?;
    let get = peer.get(&format!("blobs/{digest}")).await?.is(200)?.has("content-length", "0")?;
    same("bytes", get.body.len(), 0)
}

pub(super) async fn missing_blob_is_404(peer: Peer) -> Outcome {
    let path = format!("blobs/{}", Digest::of(b"nobody pushed this"));
    peer.head(&path).await?.is(404)?;
    peer.get(&path).await?.refused(404, "BLOB_UNKNOWN")
}

pub(super) async fn ranges_of_a_blob_are_206(peer: Peer) -> Outcome {
    let digest = peer.blob(b"0123456789").await?;
    for (range, part, told) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=8-1000", "89", "bytes 8-9/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
    ] {
        let answer = Answer::of(peer.ask(Method::GET, &format!("blobs/{digest}")).header("range", range)).await?;
        let answer = answer.is(206)?.has("content-range", told)?;
        same(range, &answer.body[..], part.as_bytes())?;
    }
    Ok(())
}

pub(super) async fn range_beyond_the_blob_is_416(peer: Peer) -> Outcome {
    let digest = peer.blob(b"0123456789").await?;
    let answer = Answer::of(peer.ask(Method::GET, &format!("blobs/{digest}")).header("range", "bytes=10-")).await?;
    answer.is(416)?.has("content-range", "bytes */10")?;
    Ok(())
}

pub(super) async fn manifest_is_read_back_by_tag_and_digest(peer: Peer) -> Outcome {
    let bytes = peer.image(Some("1.0"), &MediaType::OciManifest, "layer").await?;
    let digest = Digest::of(&bytes);
    for reference in ["1.0", digest.as_str()] {
        let path = format!("manifests/{reference}");
        let length = bytes.len().to_string();
        for answer in [peer.head(&path).await?, peer.get(&path).await?] {
            let answer = answer.is(200)?.has("content-type", MediaType::OciManifest.as_str())?;
            answer.has("docker-content-digest", digest.as_str())?.has("content-length", &length)?;
        }
        same("bytes", &peer.get(&path).await?.body[..], &bytes[..])?;
    }
    Ok(())
}

pub(super) async fn missing_manifest_is_404(peer: Peer) -> Outcome {
    let digest = Digest::of(b"nobody pushed this");
    // The second is what the specification's own conformance tests ask for.
    for path in ["manifests/nope".to_owned(), "manifests/.INVALID_MANIFEST_NAME".into(), format!("manifests/{digest}")]
    {
        peer.head(&path).await?.is(404)?;
        peer.get(&path).await?.is(404)?;
    }
    peer.get("manifests/nope").await?.refused(404, "MANIFEST_UNKNOWN")
}

pub(super) async fn index_is_served_regardless_of_accept(peer: Peer) -> Outcome {
    let image = peer.image(None, &MediaType::OciManifest, "layer").await?;
    let bytes = index(&MediaType::OciIndex, &[(&MediaType::OciManifest, &image)]);
    peer.manifest("1.0", MediaType::OciIndex.as_str(), &bytes).await?.is(201)?;
    let asked = peer.ask(Method::GET, "manifests/1.0").header("accept", "application/json");
    let answer = Answer::of(asked).await?.is(200)?.has("content-type", MediaType::OciIndex.as_str())?;
    same("bytes", &answer.body[..], &bytes[..])
}

pub(super) async fn invalid_names_and_digests_are_refused(peer: Peer) -> Outcome {
    let hex = "a".repeat(64);
    for path in [
        format!("/v2/Upper/blobs/sha256:{hex}"),
        format!("/v2/a/_uploads/blobs/sha256:{hex}"),
        format!("/v2/a%2e%2e%2fb/blobs/sha256:{hex}"),
        format!("/v2/a%00b/blobs/sha256:{hex}"),
        format!("/v2/a/blobs/sha512:{hex}"),
        format!("/v2/a/blobs/sha256:{}", "A".repeat(64)),
        "/v2/a/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd".into(),
        "/v2/a/blobs/uploads/..%2f..%2fid".into(),
    ] {
        let answer = Answer::of(peer.request(Method::GET, &path)).await?;
        if answer.is(400).is_err() {
            Answer::of(peer.request(Method::GET, &path)).await?.is(404).map_err(|e| format!("{path}: {e}"))?;
        }
    }
    Ok(())
}

pub(super) async fn name_of_300_characters_is_refused(peer: Peer) -> Outcome {
    let path = format!("/v2/{}/blobs/{}", "a".repeat(300), Digest::of(b""));
    Answer::of(peer.request(Method::GET, &path)).await?.refused(400, "NAME_INVALID")
}

pub(super) async fn malformed_manifest_digest_is_refused(peer: Peer) -> Outcome {
    peer.get("manifests/sha256:zz").await?.refused(400, "DIGEST_INVALID")
}
