//! Flattens nested indexes into one index. `crane index append --flatten=false` and `oras manifest index create` make
//! nested indexes.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::ConfirmError;
use super::walk::{AT_ONCE, Walk};
use crate::oci::{ChildError, Content, Descriptor, ImageIndex, Platform, Selector};
use crate::registry::Visibility;
use crate::run::storage::Storage;

/// An index whose nested indexes were replaced by their images.
#[derive(Debug)]
pub(in crate::run) struct FlattenedIndex {
    pub(in crate::run) index: ImageIndex,
    /// The number of annotations that nested indexes and their entries have.
    pub(in crate::run) annotations: usize,
}

/// The storage and the selection for reading nested indexes.
#[derive(Clone, Copy)]
pub(in crate::run) struct Flattener<'a> {
    pub(in crate::run) storage: &'a Storage,
    pub(in crate::run) visibility: Visibility,
    /// The wanted platforms. A nested index of another platform is not read, and its entry is kept. An empty list
    /// selects all platforms.
    pub(in crate::run) wanted: &'a [Platform],
}

impl Flattener<'_> {
    /// Replaces each nested index with the images and attestations that it lists. Each image is listed once. Its
    /// platform is the platform that every entry above it claims.
    ///
    /// # Errors
    /// A nested index cannot be read, is nested too deep, or lists too much. Or its platform differs from the
    /// platform in its entry.
    pub(in crate::run) async fn flatten(&self, index: ImageIndex) -> Result<FlattenedIndex, ConfirmError> {
        let mut flat = FlattenedIndex { index, annotations: 0 };
        let mut walk = Walk::of_indexes();
        while self.has_more(&flat.index) {
            let entries = flat.index.manifests.iter().filter(|entry| self.is_opened(entry));
            walk.enter(entries.map(|entry| entry.size))?;
            // The futures exist before the stream, because a task may await this function.
            let opening: Vec<_> = flat.index.manifests.drain(..).map(|entry| self.open(entry)).collect();
            let opened: Vec<_> = stream::iter(opening).buffered(AT_ONCE).try_collect().await?;
            for FlattenedIndex { index, annotations } in opened {
                flat.index.manifests.extend(index.manifests);
                flat.annotations += annotations;
            }
            let mut seen = BTreeSet::new();
            let key = |entry: &Descriptor| (entry.digest.clone(), entry.attests(), entry.platform());
            flat.index.manifests.retain(|entry| seen.insert(key(entry)));
        }
        Ok(flat)
    }

    fn has_more(&self, index: &ImageIndex) -> bool {
        index.manifests.iter().any(|entry| self.is_opened(entry))
    }

    fn is_opened(&self, entry: &Descriptor) -> bool {
        let is_wanted =
            |platform: Platform| self.wanted.is_empty() || self.wanted.iter().any(|one| one.is_based_on(&platform));
        entry.media_type.is_index() && !entry.is_attestation() && entry.platform().is_none_or(is_wanted)
    }

    /// The entries of the index that `entry` names, or `entry` itself if it is not opened.
    async fn open(&self, entry: Descriptor) -> Result<FlattenedIndex, ConfirmError> {
        if !self.is_opened(&entry) {
            let index = ImageIndex { manifests: vec![entry], annotations: BTreeMap::new() };
            return Ok(FlattenedIndex { index, annotations: 0 });
        }
        let read = self.read(&entry).await;
        let mut index =
            read.map_err(|error| ConfirmError::Nested { digest: entry.digest.clone(), source: Box::new(error) })?;
        for listed in index.manifests.iter_mut().filter(|listed| !listed.is_attestation()) {
            claim(&entry, listed)?;
        }
        let annotations = entry.annotations.len() + index.annotations.len();
        Ok(FlattenedIndex { index, annotations })
    }

    async fn read(&self, entry: &Descriptor) -> Result<ImageIndex, ConfirmError> {
        let selector = Selector::Digest(entry.digest.clone());
        let manifest = self.storage.manifest(&selector, self.visibility).await?;
        let (claimed, actual) = (entry.size, manifest.size());
        if claimed != actual {
            return Err(ConfirmError::Size { claimed, actual });
        }
        match manifest.content().map_err(ChildError::from)? {
            Content::Index(index) => Ok(index),
            Content::Image(_) => {
                let (claimed, actual) = (entry.media_type.clone(), manifest.media_type().clone());
                Err(ConfirmError::MediaType { claimed, actual })
            }
        }
    }
}

/// Applies the platform of `above` to an entry of the index that `above` names. Refuses an entry of another platform.
fn claim(above: &Descriptor, listed: &mut Descriptor) -> Result<(), ConfirmError> {
    let Some(platform) = above.platform() else { return Ok(()) };
    match listed.platform() {
        Some(own) if !platform.covers(&own) => {
            let why = format!("its index {} lists {own}", above.digest);
            Err(ConfirmError::Entry { platform, why })
        }
        Some(_) => Ok(()),
        None => {
            listed.platform.clone_from(&above.platform);
            listed.unread.platform.clone_from(&above.unread.platform);
            Ok(())
        }
    }
}
