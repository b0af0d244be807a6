//! Reads the manifests of an index and of all images in it.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::ConfirmError;
use super::walk::{AT_ONCE, Walk};
use crate::oci::{ChildError, Content, Digest, ImageIndex, RawManifest, Selector};
use crate::registry::Visibility;
use crate::run::storage::Storage;

/// All manifests that `top` lists, also in nested indexes. Children come before their indexes.
pub(in crate::run) async fn listed(storage: &Storage, top: &RawManifest) -> Result<Vec<RawManifest>, ConfirmError> {
    let mut listed = Vec::new();
    let mut indexes = vec![top.clone()];
    let mut walk = Walk::default();
    while !indexes.is_empty() {
        let mut entries = Vec::new();
        for index in &indexes {
            if let Content::Index(ImageIndex { manifests, .. }) = index.content().map_err(ChildError::from)? {
                entries.extend(manifests);
            }
        }
        walk.enter(entries.iter().map(|entry| entry.size))?;
        let fetching = entries.into_iter().map(|entry| by_digest(storage, entry.digest));
        // The futures exist before the stream. Otherwise a spawned task could not await this function.
        let fetching: Vec<_> = fetching.collect();
        let found: Vec<RawManifest> = stream::iter(fetching).buffered(AT_ONCE).try_collect().await?;
        indexes = found.iter().filter(|one| one.media_type().is_index()).cloned().collect();
        listed.splice(0..0, found);
    }
    Ok(listed)
}

pub(in crate::run) async fn by_digest(storage: &Storage, digest: Digest) -> Result<RawManifest, ConfirmError> {
    fetch(storage, &Selector::Digest(digest), Visibility::Settled).await
}

pub(in crate::run) async fn fetch(
    storage: &Storage,
    selector: &Selector,
    visibility: Visibility,
) -> Result<RawManifest, ConfirmError> {
    Ok(storage.manifest(selector, visibility).await?)
}
