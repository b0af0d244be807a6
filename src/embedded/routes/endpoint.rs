//! The meaning of a request's path.

use super::refusal::Refusal;
use crate::embedded::store::UploadId;
use crate::oci::{Digest, RepositoryPath, Selector};

/// The thing that a request is about. All parts are parsed, so no text of a path reaches the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/v2/`
    Base,
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryPath, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryPath),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryPath, UploadId),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryPath, Selector),
    /// `/v2/<name>/tags/list`
    Tags(RepositoryPath),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryPath, Digest),
}

impl Endpoint {
    /// Parses a request's path unchanged. A valid path needs no percent-encoding, so nothing is decoded.
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let nowhere = || Refusal::missing("UNSUPPORTED", "there is no such endpoint");
        let rest = match path {
            "/v2" => "",
            _ => path.strip_prefix("/v2/").ok_or_else(nowhere)?,
        };
        if rest.is_empty() {
            return Ok(Self::Base);
        }
        // The specification has a slash at the end of `blobs/uploads/`. Some clients leave it out.
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads(repository(name)?));
        }
        let (rest, last) = rest.rsplit_once('/').ok_or_else(nowhere)?;
        let (name, kind) = rest.rsplit_once('/').ok_or_else(nowhere)?;
        match (kind, name.strip_suffix("/blobs")) {
            ("uploads", Some(name)) => {
                let unknown = || Refusal::missing("BLOB_UPLOAD_UNKNOWN", "there is no such upload");
                Ok(Self::Upload(repository(name)?, UploadId::parse(last).ok_or_else(unknown)?))
            }
            ("blobs", _) => Ok(Self::Blob(repository(name)?, digest(last)?)),
            ("referrers", _) => Ok(Self::Referrers(repository(name)?, digest(last)?)),
            ("tags", _) if last == "list" => Ok(Self::Tags(repository(name)?)),
            ("manifests", _) => Ok(Self::Manifest(repository(name)?, selector(last)?)),
            _ => Err(nowhere()),
        }
    }
}

fn repository(name: &str) -> Result<RepositoryPath, Refusal> {
    name.parse().map_err(|e: crate::oci::ReferenceError| Refusal::bad("NAME_INVALID", e.to_string()))
}

/// A digest from a path or a query.
pub(super) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|e: crate::oci::DigestError| Refusal::bad("DIGEST_INVALID", e.to_string()))
}

fn selector(text: &str) -> Result<Selector, Refusal> {
    if text.contains(':') {
        return digest(text).map(Selector::Digest);
    }
    // A text that cannot be a tag names nothing. The specification's conformance tests expect 404.
    let tag = text.parse().map_err(|e: crate::oci::ReferenceError| Refusal::missing("MANIFEST_UNKNOWN", e.to_string()));
    tag.map(Selector::Tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repository_name_may_contain_endpoint_words() {
        let digest = Digest::of(b"");
        let name = |text: &str| text.parse::<RepositoryPath>().unwrap();
        for (path, endpoint) in [
            ("/v2".to_owned(), Endpoint::Base),
            ("/v2/".into(), Endpoint::Base),
            ("/v2/blobs/uploads/tags/list".into(), Endpoint::Tags(name("blobs/uploads"))),
            (format!("/v2/manifests/blobs/{digest}"), Endpoint::Blob(name("manifests"), digest.clone())),
            (format!("/v2/a/blobs/uploads/manifests/{digest}"), {
                Endpoint::Manifest(name("a/blobs/uploads"), Selector::Digest(digest.clone()))
            }),
            ("/v2/a/blobs/uploads/".into(), Endpoint::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".into(), Endpoint::Uploads(name("a"))),
        ] {
            assert_eq!(Endpoint::parse(&path).unwrap(), endpoint, "{path}");
        }
        for path in ["/", "/v1/", "/v2/_catalog", "/v2//", "/v2/a", "/v2/a/tags", "/v2/a/b/c", "/v2/tags/list", "//v2/"]
        {
            assert!(Endpoint::parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn endpoint_parser_never_panics(path in "/v2/.{0,80}") {
            let _ = Endpoint::parse(&path);
        }
    }
}
