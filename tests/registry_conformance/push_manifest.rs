//! Distribution-spec, "Push": manifests and tags.

use polyarch::oci::{Digest, MAX_MANIFEST_BYTES, MediaType};
use serde_json::json;

use super::peer::{Outcome, Peer, descriptor, image, index, same};

const OCI: &MediaType = &MediaType::OciManifest;
const OCI_INDEX: &MediaType = &MediaType::OciIndex;

/// Puts and reads back.
async fn round_trip(peer: &Peer, reference: &str, media_type: &MediaType, bytes: &[u8]) -> Outcome {
    let digest = Digest::of(bytes);
    let put = peer.manifest(reference, media_type.as_str(), bytes).await?.is(201)?;
    put.has("docker-content-digest", digest.as_str())?.header("location")?;
    for reference in [reference, digest.as_str()] {
        let read = peer.get(&format!("manifests/{reference}")).await?.is(200)?;
        let read = read.has("content-type", media_type.as_str())?;
        same("bytes", &read.body[..], bytes)?;
    }
    Ok(())
}

pub(super) async fn docker_and_oci_manifests_and_indexes_are_accepted(peer: Peer) -> Outcome {
    for (family, of, tag) in [(OCI, OCI_INDEX, "oci"), (&MediaType::DockerManifest, &MediaType::DockerList, "docker")] {
        let image = peer.image(Some(&format!("{tag}-amd64")), family, tag).await?;
        let index = index(of, &[(family, &image)]);
        round_trip(&peer, tag, of, &index).await?;
        round_trip(&peer, Digest::of(&index).as_str(), of, &index).await?;
    }
    Ok(())
}

pub(super) async fn nested_index_is_accepted(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    let inner = index(OCI_INDEX, &[(OCI, &image)]);
    round_trip(&peer, "inner", OCI_INDEX, &inner).await?;
    round_trip(&peer, "outer", OCI_INDEX, &index(OCI_INDEX, &[(OCI_INDEX, &inner)])).await
}

pub(super) async fn empty_index_is_accepted(peer: Peer) -> Outcome {
    round_trip(&peer, "empty", OCI_INDEX, &index(OCI_INDEX, &[])).await
}

pub(super) async fn tag_moves_to_a_new_manifest(peer: Peer) -> Outcome {
    let first = peer.image(Some("latest"), OCI, "first").await?;
    let second = peer.image(Some("latest"), OCI, "second").await?;
    let latest = peer.get("manifests/latest").await?.is(200)?;
    same("bytes", &latest.body[..], &second[..])?;
    peer.get(&format!("manifests/{}", Digest::of(&first))).await?.is(200)?;
    Ok(())
}

pub(super) async fn manifest_with_missing_blobs_is_refused(peer: Peer) -> Outcome {
    peer.blob(b"{}").await?;
    let manifest = image(OCI, b"{}", b"this layer is nowhere");
    peer.manifest("1", OCI.as_str(), &manifest).await?.refused(400, "MANIFEST_BLOB_UNKNOWN")?;
    peer.head("manifests/1").await?.is(404)?;
    peer.head(&format!("manifests/{}", Digest::of(&manifest))).await?.is(404)?;
    Ok(())
}

pub(super) async fn index_with_missing_manifests_is_refused(peer: Peer) -> Outcome {
    let image = image(OCI, b"{}", b"");
    let index = index(OCI_INDEX, &[(OCI, &image)]);
    peer.manifest("1", OCI_INDEX.as_str(), &index).await?.refused(400, "MANIFEST_BLOB_UNKNOWN")?;
    peer.head("manifests/1").await?.is(404)?;
    Ok(())
}

/// Otherwise whoever can push a layer could make it count as a manifest that nobody checked.
pub(super) async fn blob_is_not_served_as_a_manifest(peer: Peer) -> Outcome {
    let index = index(OCI_INDEX, &[]);
    let digest = peer.blob(&index).await?;
    peer.get(&format!("manifests/{digest}")).await?.refused(404, "MANIFEST_UNKNOWN")
}

pub(super) async fn document_that_is_image_and_index_is_refused(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    let mut both: serde_json::Value = serde_json::from_slice(&image).map_err(|e| e.to_string())?;
    both["manifests"] = json!([]);
    for media_type in [OCI, OCI_INDEX] {
        both["mediaType"] = json!(media_type);
        let bytes = both.to_string();
        peer.manifest("1", media_type.as_str(), bytes.as_bytes()).await?.refused(400, "MANIFEST_INVALID")?;
    }
    Ok(())
}

pub(super) async fn media_type_that_contradicts_the_header_is_refused(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    for header in [&MediaType::DockerManifest, OCI_INDEX] {
        peer.manifest("1", header.as_str(), &image).await?.refused(400, "MANIFEST_INVALID")?;
    }
    Ok(())
}

pub(super) async fn manifest_of_another_digest_than_the_url_is_refused(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    let other = Digest::of(b"other");
    peer.manifest(other.as_str(), OCI.as_str(), &image).await?.refused(400, "DIGEST_INVALID")
}

pub(super) async fn manifest_that_is_not_json_is_refused(peer: Peer) -> Outcome {
    for bad in ["", "{", "[]", "<html></html>", "{\"schemaVersion\":2}"] {
        let answer = peer.manifest("1", OCI.as_str(), bad.as_bytes()).await?;
        answer.is(400).map_err(|e| format!("{bad:?}: {e}"))?;
    }
    Ok(())
}

pub(super) async fn null_manifest_is_refused(peer: Peer) -> Outcome {
    peer.manifest("1", OCI.as_str(), b"null").await?.refused(400, "MANIFEST_INVALID")
}

pub(super) async fn manifest_larger_than_4_mib_is_413(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    let mut document: serde_json::Value = serde_json::from_slice(&image).map_err(|e| e.to_string())?;
    let length = |document: &serde_json::Value| document.to_string().len();
    document["annotations"] = json!({ "filler": "" });
    let room = MAX_MANIFEST_BYTES - length(&document);
    document["annotations"] = json!({ "filler": "x".repeat(room) });
    peer.manifest("1", OCI.as_str(), document.to_string().as_bytes()).await?.is(201)?;
    document["annotations"] = json!({ "filler": "x".repeat(room + 1) });
    peer.manifest("2", OCI.as_str(), document.to_string().as_bytes()).await?.refused(413, "SIZE_INVALID")
}

pub(super) async fn index_with_a_wrong_child_size_is_refused(peer: Peer) -> Outcome {
    let image = peer.image(None, OCI, "layer").await?;
    let mut entry = descriptor(OCI.as_str(), &image);
    entry["size"] = json!(image.len() + 1);
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    peer.manifest("1", OCI_INDEX.as_str(), index.as_bytes()).await?.refused(400, "MANIFEST_INVALID")
}

pub(super) async fn nested_repository_names_are_accepted(peer: Peer) -> Outcome {
    let (outer, inner) = (peer.repository("a"), peer.repository("a/blobs/uploads"));
    let first = outer.image(Some("tags"), OCI, "outer").await?;
    let second = inner.image(Some("tags"), OCI, "inner").await?;
    same("outer", &outer.get("manifests/tags").await?.is(200)?.body[..], &first[..])?;
    same("inner", &inner.get("manifests/tags").await?.is(200)?.body[..], &second[..])
}
