//! Makes the JSON document: the keys of Amazon ECR's `DescribeImages`, and polyarch's own. An unknown value has no key.

use std::time::SystemTime;

use polyarch::oci::Tag;
use polyarch::run::{ImageKind, RepositoryImage, RepositoryImages};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::outcome::ListOutcome;

pub(crate) fn as_json(asked: &[ListOutcome]) -> Value {
    let listed = asked.iter().filter_map(|one| one.images.as_ref().ok());
    let details: Vec<_> =
        listed.flat_map(|listed| listed.images.iter().map(move |image| Value::Object(detail(listed, image)))).collect();
    let failed = asked.iter().filter_map(|one| {
        let failure = one.images.as_ref().err()?;
        Some(json!({ "repository": one.repository, "message": failure.message }))
    });
    json!({ "version": 1, "imageDetails": details, "failed": failed.collect::<Vec<_>>() })
}

fn detail(RepositoryImages { repository, .. }: &RepositoryImages, image: &RepositoryImage) -> Map<String, Value> {
    let mut detail = Map::new();
    let mut known = |key: &str, value: Option<Value>| {
        detail.extend(value.map(|value| (key.to_owned(), value)));
    };
    known("registryId", image.account.as_ref().map(value));
    known("repositoryName", Some(value(repository.path().as_str())));
    known("imageDigest", Some(value(&image.digest)));
    let tags: Vec<_> = image.tags.iter().map(Tag::as_str).collect();
    known("imageTags", (!tags.is_empty()).then(|| value(tags)));
    known("imageSizeInBytes", image.size.map(value));
    known("imagePushedAt", image.pushed_at.and_then(time));
    known("imageManifestMediaType", image.media_type.as_ref().map(value));
    known("artifactMediaType", image.artifact_type.as_ref().map(value));
    known("registry", Some(value(repository.host().as_str())));
    known("createdAt", image.created.and_then(time));
    match &image.kind {
        ImageKind::Image(platform) => known("platform", Some(value(platform))),
        ImageKind::Attestation(of) => known("attests", of.as_ref().map(value)),
        ImageKind::Unread(why) => known("unread", Some(value(why))),
        ImageKind::Index(_) | ImageKind::Other => {}
    }
    known("indexes", Some(value(&image.indexes)));
    detail
}

fn value(of: impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// RFC 3339, in UTC.
fn time(time: SystemTime) -> Option<Value> {
    let time = time::OffsetDateTime::from(time);
    time.format(&time::format_description::well_known::Rfc3339).ok().map(Value::String)
}
