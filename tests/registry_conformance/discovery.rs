//! Distribution-spec, "Content Discovery" and "Content Management" (of tags alone).

use http::Method;
use polyarch::oci::{Digest, MediaType};
use serde_json::json;

use super::peer::{Answer, Outcome, Peer, descriptor, same};

const OCI: &MediaType = &MediaType::OciManifest;

async fn tag_all(peer: &Peer, tags: &[&str]) -> Outcome {
    for tag in tags {
        peer.image(Some(tag), OCI, "layer").await?;
    }
    Ok(())
}

pub(super) async fn tags_are_listed(peer: Peer) -> Outcome {
    tag_all(&peer, &["b", "1.10", "a", "1.9"]).await?;
    let list = peer.get("tags/list").await?.is(200)?.json()?;
    same("name", list["name"].as_str(), Some(peer.name.as_str()))?;
    let mut tags: Vec<_> = list["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
    // 2.8 does not sort them; how ours are sorted is seen in the pages.
    tags.sort_unstable();
    same("tags", tags, vec!["1.10", "1.9", "a", "b"])
}

pub(super) async fn tags_of_a_missing_repository_are_404(peer: Peer) -> Outcome {
    peer.get("tags/list").await?.refused(404, "NAME_UNKNOWN")
}

pub(super) async fn tags_come_in_pages(peer: Peer) -> Outcome {
    tag_all(&peer, &["a", "b", "c", "d", "e"]).await?;
    let mut path = "tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = peer.get(&path).await?.is(200)?;
        pages.push(page.json()?["tags"].clone());
        let Ok(link) = page.header("link") else { break };
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).ok_or("bad Link")?;
        next.strip_prefix(&format!("/v2/{}/", peer.name)).ok_or("Link elsewhere")?.clone_into(&mut path);
    }
    same("pages", pages, vec![json!(["a", "b"]), json!(["c", "d"]), json!(["e"])])?;
    let behind = peer.get("tags/list?last=c").await?.is(200)?.json()?;
    same("behind c", behind["tags"].clone(), json!(["d", "e"]))?;
    let none = peer.get("tags/list?n=0").await?.is(200)?.json()?;
    same("n=0", none["tags"].clone(), json!([]))
}

pub(super) async fn page_sizes_are_bounded(peer: Peer) -> Outcome {
    tag_all(&peer, &["a"]).await?;
    for huge in ["4611686018427387904", "99999999999999999999999999"] {
        peer.get(&format!("tags/list?n={huge}")).await?.is(200)?;
    }
    for bad in ["-1", "abc", "", "1e3"] {
        peer.get(&format!("tags/list?n={bad}")).await?.refused(400, "PAGINATION_NUMBER_INVALID")?;
    }
    Ok(())
}

pub(super) async fn referrers_are_listed(peer: Peer) -> Outcome {
    let empty = peer.get(&format!("referrers/{}", Digest::of(b"nobody"))).await?.is(200)?;
    let empty = empty.has("content-type", MediaType::OciIndex.as_str())?.json()?;
    same("no referrers", empty["manifests"].clone(), json!([]))?;

    let subject = peer.image(Some("1"), OCI, "layer").await?;
    peer.blob(b"{}").await?;
    let mut expected = Vec::new();
    for kind in ["application/vnd.a", "application/vnd.b"] {
        let config = descriptor("application/vnd.oci.empty.v1+json", b"{}");
        let artifact = json!({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": kind, "config": config.clone(), "layers": [config],
            "subject": descriptor(OCI.as_str(), &subject), "annotations": { "of": kind },
        });
        let bytes = artifact.to_string();
        let digest = Digest::of(bytes.as_bytes());
        let put = peer.manifest(digest.as_str(), OCI.as_str(), bytes.as_bytes()).await?.is(201)?;
        put.has("oci-subject", Digest::of(&subject).as_str())?;
        expected.push(json!({
            "mediaType": OCI, "digest": digest, "size": bytes.len(), "artifactType": kind, "annotations": { "of": kind },
        }));
    }
    let path = format!("referrers/{}", Digest::of(&subject));
    let filtered = peer.get(&format!("{path}?artifactType=application%2Fvnd.b")).await?.is(200)?;
    let filtered = filtered.has("oci-filters-applied", "artifactType")?.json()?;
    same("filtered", filtered["manifests"].clone(), json!([expected[1]]))?;
    expected.sort_by_key(|descriptor| descriptor["digest"].to_string());
    let all = peer.get(&path).await?.is(200)?.json()?;
    same("all", all["manifests"].clone(), json!(expected))
}

pub(super) async fn deleted_tag_keeps_its_manifest(peer: Peer) -> Outcome {
    let delete = |tag: &'static str| Answer::of(peer.ask(Method::DELETE, tag));
    delete("manifests/1").await?.refused(404, "NAME_UNKNOWN")?;
    let image = peer.image(Some("1"), OCI, "layer").await?;
    peer.image(Some("2"), OCI, "layer").await?;
    delete("manifests/1").await?.is(202)?;
    peer.head("manifests/1").await?.is(404)?;
    delete("manifests/1").await?.refused(404, "MANIFEST_UNKNOWN")?;
    // The last of its tags, too.
    for tag in [Some("manifests/2"), None] {
        let there = peer.get(&format!("manifests/{}", Digest::of(&image))).await?.is(200)?;
        same("what it names", there.body.to_vec(), image.clone())?;
        peer.head(&format!("blobs/{}", Digest::of(b"layer"))).await?.is(200)?;
        let Some(tag) = tag else { break };
        peer.head(tag).await?.is(200)?;
        delete(tag).await?.is(202)?;
    }
    let tags = peer.get("tags/list").await?.is(200)?.json()?;
    same("tags", tags["tags"].clone(), json!([]))?;
    peer.image(Some("1"), OCI, "layer").await?;
    peer.head("manifests/1").await?.is(200).map(drop)
}

pub(super) async fn manifests_and_blobs_cannot_be_deleted(peer: Peer) -> Outcome {
    let manifest = Digest::of(&peer.image(Some("1"), OCI, "layer").await?);
    let blob = Digest::of(b"layer");
    for path in [format!("manifests/{manifest}"), format!("blobs/{blob}")] {
        Answer::of(peer.ask(Method::DELETE, &path)).await?.refused(405, "UNSUPPORTED")?;
        peer.head(&path).await?.is(200)?;
    }
    peer.head("manifests/1").await?.is(200)?;
    Ok(())
}

pub(super) async fn catalog_is_disabled(peer: Peer) -> Outcome {
    Answer::of(peer.request(Method::GET, "/v2/_catalog")).await?.refused(404, "UNSUPPORTED")
}
