//! The data plane: the registry API, as ECR speaks it.

use serde_json::json;

use super::super::images::{Document, OCI_INDEX};
use super::super::scripted_registry::{Reply, Request, status};
use super::Action;
use super::account::{Account, Login};
use super::refusal::Refusal;
use super::repository::{ImageId, Place};
use polyarch::oci::Digest;

const MEBIBYTE: usize = 1 << 20;
/// What a part may have, in bytes; the last one may have less.
const SMALLEST_PART: usize = 5 * MEBIBYTE;
const LARGEST_PART: usize = 20 * MEBIBYTE;
/// Tags on a page.
const MOST_TAGS: usize = 1000;

/// A blob that is on its way.
#[derive(Debug, Default)]
pub(super) struct Upload {
    repository: String,
    bytes: Vec<u8>,
    /// How much it had after the first part.
    first: Option<usize>,
    /// How large the last part was, where parts come with a `Content-Range`.
    last_part: Option<usize>,
}

/// A path below `/v2/`.
struct Target<'a> {
    repository: &'a str,
    kind: Kind<'a>,
    query: &'a str,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Manifest(&'a str),
    Blob(&'a str),
    NewUpload,
    Upload(&'a str),
    Tags,
    Referrers(&'a str),
}

impl<'a> Target<'a> {
    fn parse(target: &'a str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix("/v2/")?;
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return Some(Self { repository, kind: Kind::Tags, query });
        }
        if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
            let kind = if upload.is_empty() { Kind::NewUpload } else { Kind::Upload(upload) };
            return Some(Self { repository, kind, query });
        }
        let (rest, last) = path.rsplit_once('/')?;
        let (repository, kind) = rest.rsplit_once('/')?;
        let kind = match kind {
            "manifests" => Kind::Manifest(last),
            "blobs" => Kind::Blob(last),
            "referrers" => Kind::Referrers(last),
            _ => return None,
        };
        Some(Self { repository, kind, query })
    }

    fn query(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// What IAM calls the request.
    fn action(&self, method: &str) -> Option<Action> {
        Some(match (method, self.kind) {
            ("GET" | "HEAD", Kind::Manifest(_)) | ("GET", Kind::Referrers(_)) => Action::BatchGetImage,
            ("PUT", Kind::Manifest(_)) => Action::PutImage,
            ("DELETE", Kind::Manifest(_)) => Action::BatchDeleteImage,
            ("HEAD", Kind::Blob(_)) => Action::BatchCheckLayerAvailability,
            ("GET", Kind::Blob(_)) => Action::GetDownloadUrlForLayer,
            ("POST", Kind::NewUpload) => Action::InitiateLayerUpload,
            ("PATCH" | "GET", Kind::Upload(_)) => Action::UploadLayerPart,
            ("PUT", Kind::Upload(_)) => Action::CompleteLayerUpload,
            ("GET", Kind::Tags) => Action::ListImages,
            _ => return None,
        })
    }
}

/// `None` to what ECR does not have.
pub(super) fn answer(account: &mut Account, request: &Request, scheme: &str, layers: &str) -> Option<Reply> {
    let target = match request.target.as_str() {
        "/v2/" => None,
        other => Some(Target::parse(other)?),
    };
    let action = target.as_ref().map(|target| target.action(&request.method));
    if let Some(action) = action {
        account.counted(action?);
    }
    let base = format!("{scheme}://{}", request.header("host").unwrap_or_default());
    match account.login(request) {
        Login::Good => {}
        Login::Expired => return Some(Refusal::expired().of_registry()),
        Login::None => {
            let challenge = format!("Basic realm=\"{base}/\",service=\"ecr.amazonaws.com\"");
            return Some(status(401).header("Www-Authenticate", challenge).body("Not Authorized\n"));
        }
    }
    let (Some(target), Some(Some(action))) = (target, action) else { return Some(status(200)) };
    if let Some(reply) = (account.hook)(action, request) {
        return Some(reply);
    }
    let at = At { base: &base, layers };
    let done =
        account.begin(action, &account.arn(target.repository)).and_then(|()| route(account, request, &target, at));
    Some(done.unwrap_or_else(|refusal| refusal.of_registry()))
}

/// Where the client finds us.
#[derive(Clone, Copy)]
struct At<'a> {
    base: &'a str,
    layers: &'a str,
}

fn route(account: &mut Account, request: &Request, target: &Target<'_>, at: At<'_>) -> Result<Reply, Refusal> {
    let is_head = request.method == "HEAD";
    match (request.method.as_str(), target.kind) {
        ("GET" | "HEAD", Kind::Manifest(reference)) => {
            let found = account.repository(target.repository)?.get(reference);
            found.map(|document| manifest(document, is_head)).ok_or_else(Refusal::image_missing)
        }
        ("PUT", Kind::Manifest(reference)) => put_manifest(account, request, target.repository, reference),
        ("DELETE", Kind::Manifest(reference)) => {
            let deleted = account.repository(target.repository)?.delete(&ImageId::of(reference));
            deleted.map(|_| status(202)).map_err(|(code, reason)| match code {
                "ImageNotFound" => Refusal::image_missing(),
                _ => Refusal::new("", 405, "UNSUPPORTED", reason),
            })
        }
        ("GET" | "HEAD", Kind::Blob(digest)) => {
            let name = target.repository;
            let size = account.repository(name)?.blob(digest).map(Vec::len).ok_or_else(blob_missing)?;
            let found = if is_head {
                status(200).header("Content-Length", size.to_string())
            } else {
                status(307).header("Location", format!("{}/layers/{name}/{digest}?X-Amz-Signature=ours", at.layers))
            };
            Ok(found.header("Docker-Content-Digest", digest))
        }
        ("POST", _) => begin_upload(account, target, at),
        (method, Kind::Upload(id)) => upload(account, request, target, (method, id), at),
        (_, Kind::Tags) => tags(account, target, at),
        (_, Kind::Referrers(digest)) => {
            let manifests = account.repository(target.repository)?.referrers(digest);
            let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
            Ok(status(200).header("Content-Type", OCI_INDEX).body(index.to_string()))
        }
        _ => unreachable!("it has an action"),
    }
}

fn manifest(document: &Document, is_head: bool) -> Reply {
    let found =
        status(200).header("Content-Type", &document.media_type).header("Docker-Content-Digest", document.digest());
    if is_head {
        found.header("Content-Length", document.bytes.len().to_string())
    } else {
        found.body(document.bytes.clone())
    }
}

fn put_manifest(account: &mut Account, request: &Request, name: &str, reference: &str) -> Result<Reply, Refusal> {
    let media_type = request.header("content-type").unwrap_or_default().to_owned();
    let document = Document { media_type, bytes: request.body.clone() };
    let id = account.id.clone();
    let digest = account.pushed_to(name)?.put(Place { account: &id, name }, reference, document)?;
    let location = format!("/v2/{name}/manifests/{digest}");
    Ok(status(201).header("Location", location).header("Docker-Content-Digest", digest))
}

fn blob_missing() -> Refusal {
    Refusal::new("LayersNotFoundException", 404, "BLOB_UNKNOWN", "blob unknown to registry")
}

fn begin_upload(account: &mut Account, target: &Target<'_>, at: At<'_>) -> Result<Reply, Refusal> {
    let name = target.repository;
    account.pushed_to(name)?;
    if let (true, Some(digest), Some(from)) = (account.mounts, target.query("mount"), target.query("from")) {
        let source = account.repositories.get(&from).filter(|source| source.names_blob(&digest));
        if let Some(bytes) = source.and_then(|source| source.blob(&digest)).cloned() {
            account.repository(name)?.keep_blob(&digest, bytes);
            return Ok(created(name, &digest, at));
        }
    }
    let id = format!("00000000-0000-4000-8000-{:012}", account.uploads.len());
    account.uploads.insert(id.clone(), Upload { repository: name.to_owned(), ..Upload::default() });
    Ok(under_way(202, name, &id, 0, at))
}

fn upload(
    account: &mut Account,
    request: &Request,
    target: &Target<'_>,
    (method, id): (&str, &str),
    at: At<'_>,
) -> Result<Reply, Refusal> {
    let (name, patch_status) = (target.repository, account.patch_status);
    let unknown = || Refusal::new("UploadNotFoundException", 404, "BLOB_UPLOAD_UNKNOWN", "Upload not found");
    let upload = account.uploads.get_mut(id).filter(|upload| upload.repository == name).ok_or_else(unknown)?;
    if method == "GET" {
        return Ok(under_way(204, name, id, upload.bytes.len(), at));
    }
    if let Err(is_not_next) = upload.take(request) {
        let received = upload.bytes.len();
        return is_not_next.map_or_else(|| Ok(under_way(416, name, id, received, at)), Err);
    }
    if method == "PATCH" {
        // It says of every part that it has the first one (containers-roadmap#2831).
        let said = *upload.first.get_or_insert(upload.bytes.len());
        return Ok(under_way(patch_status, name, id, said, at));
    }
    let digest = target.query("digest").unwrap_or_default();
    if Digest::of(&upload.bytes).to_string() != digest {
        let message = "Layer digest did not match the digest that was calculated";
        return Err(Refusal::new("InvalidLayerException", 400, "DIGEST_INVALID", message));
    }
    let bytes = account.uploads.get_mut(id).map(|upload| std::mem::take(&mut upload.bytes)).unwrap_or_default();
    account.repository(name)?.keep_blob(&digest, bytes);
    Ok(created(name, &digest, at))
}

impl Upload {
    /// Takes a part, or a stream, which may be of any size.
    ///
    /// # Errors
    /// What is refused, or nothing if it does not begin where the last one ended.
    fn take(&mut self, request: &Request) -> Result<(), Option<Refusal>> {
        let refused =
            |message: &str| Some(Refusal::new("InvalidLayerPartException", 400, "BLOB_UPLOAD_INVALID", message));
        let size = request.body.len();
        if size > 0 && self.last_part.is_some_and(|last| last < SMALLEST_PART) {
            return Err(refused("Layer parts must be at least 5 MiB in size, but for the last one"));
        }
        if let Some(range) = request.header("content-range") {
            let (first, last) = range.split_once('-').ok_or_else(|| refused("Invalid range"))?;
            let (first, last): (usize, usize) = (
                first.parse().map_err(|_| refused("Invalid range"))?,
                last.parse().map_err(|_| refused("Invalid range"))?,
            );
            if first != self.bytes.len() {
                return Err(None);
            }
            if (last + 1).checked_sub(first) != Some(size) {
                return Err(refused("The range is not that of the part"));
            }
            if size > LARGEST_PART {
                return Err(refused("Layer parts must be at most 20 MiB in size"));
            }
            self.last_part = Some(size);
        }
        self.bytes.extend_from_slice(&request.body);
        Ok(())
    }
}

fn under_way(code: u16, name: &str, id: &str, received: usize, at: At<'_>) -> Reply {
    status(code)
        .header("Location", format!("{}/v2/{name}/blobs/uploads/{id}", at.base))
        .header("Range", format!("0-{}", received.saturating_sub(1)))
        .header("Docker-Upload-UUID", id)
}

fn created(name: &str, digest: &str, at: At<'_>) -> Reply {
    let location = format!("{}/v2/{name}/blobs/{digest}", at.base);
    status(201).header("Location", location).header("Docker-Content-Digest", digest)
}

fn tags(account: &mut Account, target: &Target<'_>, at: At<'_>) -> Result<Reply, Refusal> {
    let most = account.page.min(MOST_TAGS);
    let asked = target.query("n").and_then(|n| n.parse().ok()).unwrap_or(most);
    if asked > MOST_TAGS {
        let message = "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or \
                       equal to 1000'";
        return Err(Refusal::new("InvalidParameterException", 405, "UNSUPPORTED", message));
    }
    let name = target.repository;
    let all = account.repository(name)?.tags();
    let last = target.query("last").unwrap_or_default();
    let mut page: Vec<_> = all.into_iter().filter(|tag| *tag > last).collect();
    let more = page.len() > asked.min(most);
    page.truncate(asked.min(most));
    let found = status(200).header("Content-Type", "application/json; charset=utf-8");
    let found = match page.last() {
        Some(last) if more => {
            found.header("Link", format!("<{}/v2/{name}/tags/list?n={asked}&last={last}>; rel=\"next\"", at.base))
        }
        _ => found,
    };
    Ok(found.body(json!({ "name": name, "tags": page }).to_string()))
}
