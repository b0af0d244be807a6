//! Where the final tags stand before any of them moves.

use futures::future::try_join_all;

use super::confirm::{ConfirmError, config_of};
use super::event::{Failure, Phase};
use super::failure::{chain, failure, of_registry};
use super::gates::Shrinking;
use super::publish::Target;
use crate::oci::{
    Content, Descriptor, Digest, EncodedIndex, ManifestError, PlatformFields, RawManifest, Repository, Selector, Tag,
};
use crate::registry::{Client, ErrorKind, Visibility};

/// A final tag, and whether the index is under it already.
pub(super) struct Standing<'a> {
    /// The tag.
    pub(super) tag: &'a Tag,
    /// What the registry says that it names.
    digest: Option<Digest>,
    /// Whether it names anything.
    is_there: bool,
    /// Whether that is the index.
    pub(super) unchanged: bool,
}

/// What tags name before they move.
pub(super) struct Before<'a> {
    /// One of the tags: others may name the same.
    pub(super) tag: &'a Tag,
    /// The entries of their index; an image that is in none is its own only entry.
    pub(super) entries: Vec<Descriptor>,
}

/// Asks for every final tag, without what it names.
pub(super) async fn ask<'a>(
    client: &Client,
    target: &'a Target,
    index: &EncodedIndex,
) -> Result<Vec<Standing<'a>>, Failure> {
    let asking = target.tags.iter().map(async |tag| {
        let head = client.head_manifest(target.repository.path(), &Selector::Tag(tag.clone())).await;
        let doing = || format!("ask for {}", target.repository.tag(tag.clone()));
        let head = head.map_err(|error| of_registry(Phase::Publish, &doing(), &error))?;
        let is_there = head.is_some();
        let digest = head.and_then(|head| head.digest);
        let unchanged = digest.as_ref() == Some(index.manifest().digest());
        Ok(Standing { tag, digest, is_there, unchanged })
    });
    try_join_all(asking).await
}

/// Reads what the tags that will move name now: each thing once, however many of them name it.
pub(super) async fn read<'a>(
    client: &Client,
    target: &Target,
    standing: &[Standing<'a>],
    shrinking: Shrinking,
) -> Result<Vec<Before<'a>>, Failure> {
    if shrinking == Shrinking::Allow {
        return Ok(Vec::new());
    }
    let mut moving: Vec<&Standing<'a>> = Vec::new();
    for one in standing.iter().filter(|one| one.is_there && !one.unchanged) {
        if one.digest.is_none() || moving.iter().all(|other| other.digest != one.digest) {
            moving.push(one);
        }
    }
    let reading = moving.into_iter().map(async |one| {
        let entries = entries(client, &target.repository, one.tag).await.map_err(|error| {
            let message = format!("read what {} has: {}", target.repository.tag(one.tag.clone()), chain(&error));
            let phase = if error.is_refusal() { Phase::Verify } else { Phase::Publish };
            failure(phase, &message, Some("what is there is not looked at with `--allow-shrink`".into()))
        })?;
        Ok::<_, Failure>(Before { tag: one.tag, entries })
    });
    try_join_all(reading).await
}

async fn entries(client: &Client, repository: &Repository, tag: &Tag) -> Result<Vec<Descriptor>, ConfirmError> {
    let selector = Selector::Tag(tag.clone());
    let top = match client.get_manifest(repository.path(), &selector, Visibility::Settled).await {
        Ok(top) => top,
        // Gone since it was asked for, or an artifact: no platform is lost.
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) if matches!(error.kind(), ErrorKind::Manifest(ManifestError::Foreign(_))) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    match top.content().map_err(crate::oci::ChildError::from)? {
        Content::Index(index) => Ok(index.manifests),
        Content::Image(_) => {
            let config = config_of(client, repository, &top).await?;
            Ok(vec![alone(&top, &config)])
        }
    }
}

/// The entry that an image would have. An artifact's config names no platform.
fn alone(image: &RawManifest, config: &[u8]) -> Descriptor {
    Descriptor {
        media_type: image.media_type().clone(),
        digest: image.digest().clone(),
        size: image.size(),
        platform: serde_json::from_slice::<PlatformFields>(config).ok(),
        annotations: std::collections::BTreeMap::new(),
    }
}
