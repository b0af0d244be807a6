//! Tags and referrers (distribution-spec, "Content discovery").

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue, LINK};
use serde::Deserialize;

use super::query::Query;
use super::refusal::Refusal;
use super::reply::{json, value};
use super::state::Registry;
use crate::embedded::store::{Store, StoreError, StoredManifest};
use crate::oci::null;
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, MediaType, RepositoryPath};

/// The other fields of a manifest that a registry reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery {
    pub(super) subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null::texts")]
    annotations: BTreeMap<String, String>,
}

/// `GET /v2/<name>/tags/list`, or one page of it with `n` and `last`.
pub(super) async fn tags(registry: &Arc<Registry>, name: RepositoryPath, query: Query) -> Result<Response, Refusal> {
    /// A longer list comes in pages, even if the client asks for more.
    const PAGE: usize = 10_000;
    let n = match query.n.as_deref() {
        None => PAGE,
        Some(text) => {
            let invalid = || Refusal::bad("PAGINATION_NUMBER_INVALID", "the parameter n is not a number");
            // A number that does not fit into `usize` is larger than any list.
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            text.parse::<usize>().unwrap_or(PAGE).min(PAGE)
        }
    };
    let asked = name.clone();
    let tags = registry.ask(move |store| Ok(store.has_repository(&asked).then(|| store.tags(&asked)))).await?;
    let Some(tags) = tags.transpose()? else {
        return Err(Refusal::missing("NAME_UNKNOWN", "there is no such repository"));
    };
    let last = query.last.unwrap_or_default();
    let begin = tags.partition_point(|tag| *tag <= last);
    let page: Vec<&String> = tags[begin..].iter().take(n).collect();
    let mut response = json(&serde_json::json!({ "name": name.as_str(), "tags": page }));
    if let Some(end) = page.last().filter(|_| begin + page.len() < tags.len()) {
        let next = format!("</v2/{}/tags/list?n={n}&last={end}>; rel=\"next\"", name.as_str());
        response.headers_mut().insert(LINK, value(&next));
    }
    Ok(response)
}

/// `GET /v2/<name>/referrers/<digest>`: an index of the manifests that have this subject. The index may be empty.
pub(super) async fn referrers(
    registry: &Arc<Registry>,
    name: RepositoryPath,
    subject: Digest,
    query: Query,
) -> Result<Response, Refusal> {
    let (repository, asked) = (name.clone(), subject.clone());
    let filter = query.artifact_type.clone();
    let last = query.last.and_then(|last| last.parse::<Digest>().ok());
    let (manifests, next) = registry
        .ask(move |store| page_of_referrers(store, &repository, &asked, filter.as_deref(), last.as_ref()))
        .await?;
    let document = serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests });
    let mut response = json(&document);
    response.headers_mut().insert(CONTENT_TYPE, value(MediaType::OciIndex.as_str()));
    if query.artifact_type.is_some() {
        response.headers_mut().insert("oci-filters-applied", HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = next {
        let mut more = form_urlencoded::Serializer::new(String::new());
        more.append_pair("last", next.as_str());
        if let Some(filter) = &query.artifact_type {
            more.append_pair("artifactType", filter);
        }
        let link = format!("</v2/{}/referrers/{subject}?{}>; rel=\"next\"", name.as_str(), more.finish());
        response.headers_mut().insert(LINK, value(&link));
    }
    Ok(response)
}

/// The descriptors of the referrers after `last`, and the last of these if there may be more.
fn page_of_referrers(
    store: &Store,
    name: &RepositoryPath,
    subject: &Digest,
    filter: Option<&str>,
    last: Option<&Digest>,
) -> Result<(Vec<serde_json::Value>, Option<Digest>), StoreError> {
    /// The bytes of manifests that the registry reads for one page. It copies annotations from them, so this limits the
    /// work and the size of the answer. The answer is itself a manifest and must not be larger than one.
    const PAGE_BYTES: usize = MAX_MANIFEST_BYTES / 2;
    let mut descriptors = Vec::new();
    let mut read = 0;
    for digest in store.referrers(name, subject)? {
        if last.is_some_and(|last| digest <= *last) {
            continue;
        }
        // The registry writes the link to the subject before the manifest becomes visible.
        let Some(manifest) = store.manifest(name, &digest)? else { continue };
        read += manifest.bytes.len();
        descriptors.extend(describe(&digest, &manifest, filter));
        if read > PAGE_BYTES {
            return Ok((descriptors, Some(digest)));
        }
    }
    Ok((descriptors, None))
}

/// The descriptor of a referrer, or `None` if it has another type than the client asks for.
fn describe(digest: &Digest, manifest: &StoredManifest, filter: Option<&str>) -> Option<serde_json::Value> {
    let discovery: Discovery = serde_json::from_slice(&manifest.bytes).ok()?;
    let config = discovery.config.map(|config| config.media_type.as_str().to_owned());
    let artifact_type = discovery.artifact_type.or(config);
    if filter.is_some_and(|filter| artifact_type.as_deref() != Some(filter)) {
        return None;
    }
    let mut descriptor = serde_json::json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": manifest.bytes.len(),
    });
    if let Some(artifact_type) = artifact_type {
        descriptor["artifactType"] = artifact_type.into();
    }
    if !discovery.annotations.is_empty() {
        descriptor["annotations"] = serde_json::json!(discovery.annotations);
    }
    Some(descriptor)
}
