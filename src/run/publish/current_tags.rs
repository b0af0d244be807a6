//! Reads the content that final tags name, before any of the tags moves.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::options::AllowShrink;
use super::target::Target;
use crate::oci::{Content, Descriptor, Digest, ImageIndex, PlatformFields, RawManifest, Selector, Tag, Unread};
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::fetch::confirm::config_of;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::flat::{FlattenedIndex, Flattener};
use crate::run::storage::Storage;
use crate::run::storage::error::StorageError;
use crate::run::storage::error::of_storage;

/// A final tag, and the content that it names.
pub(in crate::run) struct CurrentTag {
    /// The tag.
    pub(in crate::run) tag: Tag,
    content: TagContent,
    /// Whether the tag names the new index already. polyarch read the bytes to know this.
    pub(in crate::run) unchanged: bool,
}

impl CurrentTag {
    /// The digest that the tag names, if polyarch read it.
    pub(in crate::run) fn digest(&self) -> Option<&Digest> {
        match &self.content {
            TagContent::Manifest(manifest) => Some(manifest.digest()),
            TagContent::Nothing | TagContent::Artifact | TagContent::Unreadable(_) => None,
        }
    }
}

/// The content under a tag.
enum TagContent {
    Nothing,
    /// An artifact. It has no platforms, so the new index loses none of them.
    Artifact,
    Manifest(RawManifest),
    /// Content that polyarch cannot read.
    Unreadable(StorageError),
}

/// The content that tags name before they move.
pub(in crate::run) struct PreviousIndex<'a> {
    /// One of these tags. Other tags may name the same content.
    pub(in crate::run) tag: &'a Tag,
    /// The entries of the index. An image outside an index is its own only entry.
    pub(in crate::run) entries: Vec<Descriptor>,
    /// The annotations of the index itself.
    pub(in crate::run) annotations: BTreeMap<String, String>,
}

/// Reads tags, and compares their digests with `new`.
pub(in crate::run) async fn read(storage: &Storage, tags: &[Tag], new: &Digest) -> Result<Vec<CurrentTag>, Failure> {
    let reading = tags.iter().map(async |tag| {
        let selector = Selector::Tag(tag.clone());
        let content = match storage.manifest(&selector, Visibility::Settled).await {
            Ok(manifest) => TagContent::Manifest(manifest),
            Err(error) if error.is_not_found() => TagContent::Nothing,
            Err(error) if error.is_artifact() => TagContent::Artifact,
            Err(error) if error.is_refusal() => TagContent::Unreadable(error),
            Err(error) => {
                let doing = format!("ask for {}", storage.tag(tag.clone()));
                return Err(of_storage(Phase::Publish, &doing, &error));
            }
        };
        let unchanged = matches!(&content, TagContent::Manifest(manifest) if manifest.digest() == new);
        Ok(CurrentTag { tag: tag.clone(), content, unchanged })
    });
    try_join_all(reading).await
}

/// The content that the moving tags name now. Content with several tags occurs once.
pub(super) async fn previous<'a>(
    target: &Target<Storage>,
    tags: &'a [CurrentTag],
    shrinking: AllowShrink,
) -> Result<Vec<PreviousIndex<'a>>, Failure> {
    if shrinking == AllowShrink::Allow {
        return Ok(Vec::new());
    }
    let mut moving: Vec<(&Tag, &RawManifest)> = Vec::new();
    for one in tags.iter().filter(|one| !one.unchanged) {
        match &one.content {
            TagContent::Nothing | TagContent::Artifact => {}
            TagContent::Manifest(manifest) => {
                if moving.iter().all(|(_, other)| other.digest() != manifest.digest()) {
                    moving.push((&one.tag, manifest));
                }
            }
            TagContent::Unreadable(error) => return Err(unreadable(target, &one.tag, error, error.is_refusal())),
        }
    }
    let reading = moving.into_iter().map(async |(tag, manifest)| {
        let read = index(&target.storage, manifest).await;
        let FlattenedIndex { index, .. } = read.map_err(|error| unreadable(target, tag, &error, error.is_refusal()))?;
        let ImageIndex { manifests, annotations } = index;
        Ok::<_, Failure>(PreviousIndex { tag, entries: manifests, annotations })
    });
    try_join_all(reading).await
}

fn unreadable(target: &Target<Storage>, tag: &Tag, error: &dyn std::error::Error, refusal: bool) -> Failure {
    let message = format!("cannot read the manifest that {} names: {}", target.storage.tag(tag.clone()), chain(error));
    let phase = if refusal { Phase::Verify } else { Phase::Publish };
    failure(phase, &message, Some("pass `--allow-shrink` to publish without checking the current index".into()))
}

/// Reads the index in `top` and the indexes that it lists. An image becomes an index with this image alone.
pub(in crate::run) async fn index(storage: &Storage, top: &RawManifest) -> Result<FlattenedIndex, ConfirmError> {
    match top.content().map_err(crate::oci::ChildError::from)? {
        Content::Index(index) => {
            Flattener { storage, visibility: Visibility::Settled, wanted: &[] }.flatten(index).await
        }
        Content::Image(_) => {
            let config = config_of(storage, top).await?;
            let index = ImageIndex { manifests: vec![alone(top, &config)?], annotations: BTreeMap::new() };
            Ok(FlattenedIndex { index, annotations: 0 })
        }
    }
}

/// The index entry of an image. The config of an artifact names no platform.
fn alone(image: &RawManifest, config: &[u8]) -> Result<Descriptor, ConfirmError> {
    Ok(Descriptor {
        media_type: image.media_type().clone(),
        digest: image.digest().clone(),
        size: image.size(),
        platform: PlatformFields::of_config(config)?,
        annotations: BTreeMap::new(),
        unread: Unread::default(),
    })
}
