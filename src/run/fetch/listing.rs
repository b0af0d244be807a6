//! Reads all manifests below a reference. Indexes may list indexes. Each manifest is fetched once, by digest.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};

use super::error::ConfirmError;
use super::walk::{AT_ONCE, Walk};
use crate::oci::{ChildError, Content, Descriptor, Digest, ImageIndex, RawManifest, Selector};
use crate::registry::Visibility;
use crate::run::event::failure::chain;
use crate::run::storage::Storage;

/// A manifest with its parsed content.
#[derive(Debug, Clone)]
pub(in crate::run) struct Read {
    pub(in crate::run) manifest: RawManifest,
    pub(in crate::run) content: Content,
}

/// The manifest that a reference names, and all manifests below it.
#[derive(Debug)]
pub(in crate::run) struct Listing {
    pub(in crate::run) top: Read,
    below: BTreeMap<Digest, Result<Read, ConfirmError>>,
}

impl Listing {
    /// Fetches the manifest that `selector` names, then all manifests below it, level by level. A listed manifest
    /// that cannot be fetched is not an error here: see [`Self::get`].
    pub(in crate::run) async fn read(storage: &Storage, selector: &Selector) -> Result<Self, ConfirmError> {
        let top = fetch(storage, selector).await?;
        let mut below = BTreeMap::new();
        let mut level = entries([&top]);
        let mut walk = Walk::default();
        loop {
            level.retain(|digest, _| !below.contains_key(digest));
            if level.is_empty() {
                return Ok(Self { top, below });
            }
            walk.enter(level.values().copied())?;
            let fetching = level.into_keys().map(|digest| async move {
                let read = fetch(storage, &Selector::Digest(digest.clone())).await;
                (digest, read)
            });
            // The futures exist before the stream. Otherwise a spawned task could not await this function.
            let fetching: Vec<_> = fetching.collect();
            let fetched: Vec<_> = stream::iter(fetching).buffered(AT_ONCE).collect().await;
            level = entries(fetched.iter().filter_map(|(_, read)| read.as_ref().ok()));
            below.extend(fetched);
        }
    }

    /// The manifest that an entry names, if it matches the entry. Otherwise the fault.
    pub(in crate::run) fn get(&self, entry: &Descriptor) -> Result<&Read, String> {
        let read = match self.below.get(&entry.digest) {
            Some(Ok(read)) => read,
            Some(Err(error)) => return Err(chain(error)),
            None => return Err(chain(&ConfirmError::Deep)),
        };
        let (claimed, actual) = (entry.size, read.manifest.size());
        if claimed != actual {
            return Err(chain(&ConfirmError::Size { claimed, actual }));
        }
        let (claimed, actual) = (&entry.media_type, read.manifest.media_type());
        if claimed != actual {
            return Err(chain(&ConfirmError::MediaType { claimed: claimed.clone(), actual: actual.clone() }));
        }
        Ok(read)
    }

    /// Whether the registry gave no answer about the manifest of an entry. The manifest may then be intact.
    pub(in crate::run) fn is_unanswered(&self, entry: &Descriptor) -> bool {
        let unanswered = |error: &ConfirmError| !error.is_refusal() && !error.is_missing();
        matches!(self.below.get(&entry.digest), Some(Err(error)) if unanswered(error))
    }

    /// The indexes, each once. An index comes before the indexes that it lists.
    pub(in crate::run) fn indexes(&self) -> Vec<(&RawManifest, &ImageIndex)> {
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        let mut next = vec![&self.top];
        while !next.is_empty() {
            let mut listed = Vec::new();
            for Read { manifest, content } in next {
                let Content::Index(index) = content else { continue };
                if seen.insert(manifest.digest()) {
                    found.push((manifest, index));
                    listed.extend(index.manifests.iter().filter_map(|entry| self.get(entry).ok()));
                }
            }
            next = listed;
        }
        found
    }

    /// Every manifest once. An index comes before the manifests that it lists.
    pub(in crate::run) fn manifests(&self) -> Vec<&Read> {
        let mut seen = BTreeSet::from([self.top.manifest.digest()]);
        let listed = self.indexes().into_iter().flat_map(|(_, index)| &index.manifests);
        let listed = listed.filter_map(|entry| self.get(entry).ok());
        std::iter::once(&self.top).chain(listed.filter(|read| seen.insert(read.manifest.digest()))).collect()
    }
}

/// The entries of indexes, each digest once, with the size in its entry.
fn entries<'a>(manifests: impl IntoIterator<Item = &'a Read>) -> BTreeMap<Digest, u64> {
    let indexes = manifests.into_iter().filter_map(|read| match &read.content {
        Content::Index(index) => Some(&index.manifests),
        Content::Image(_) => None,
    });
    indexes.flatten().map(|entry| (entry.digest.clone(), entry.size)).collect()
}

async fn fetch(storage: &Storage, selector: &Selector) -> Result<Read, ConfirmError> {
    let manifest = storage.manifest(selector, Visibility::Settled).await?;
    let content = manifest.content().map_err(ChildError::from)?;
    Ok(Read { manifest, content })
}
