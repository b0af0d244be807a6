//! Indexes that list indexes, as one index: `crane index append --flatten=false` and `oras manifest index create` make
//! such of indexes.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::confirm::ConfirmError;
use super::listing::{AT_ONCE, Budget, MOST_DEPTH};
use super::place::Place;
use super::references::platform_of;
use crate::oci::{ChildError, Content, Descriptor, ImageIndex, Platform, Selector};
use crate::registry::Visibility;

/// An index in which images stand for the indexes that list them.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) index: ImageIndex,
    /// How many annotations those indexes and their entries have.
    pub(super) annotations: usize,
}

/// Where indexes are read, and which of them.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) place: &'a Place,
    pub(super) visibility: Visibility,
    /// An index that claims to be of another platform is not read, and stays an entry; where none is said, all are read.
    pub(super) wanted: &'a [Platform],
}

impl Opening<'_> {
    /// Puts the images that an index lists, and what is attested of them, where `index` lists that index. Each image
    /// stands there once, of the platform that every entry above it claims.
    ///
    /// # Errors
    /// Indexes that cannot be read, that are deeper or more than are read, or of another platform than is claimed.
    pub(super) async fn flatten(&self, index: ImageIndex) -> Result<Flat, ConfirmError> {
        let mut flat = Flat { index, annotations: 0 };
        let mut budget = Budget::default();
        for _ in 1..MOST_DEPTH {
            if !self.has_more(&flat.index) {
                return Ok(flat);
            }
            let entries = flat.index.manifests.iter().filter(|entry| self.is_opened(entry));
            budget.spend(entries.map(|entry| entry.size))?;
            // Futures before they are streamed: a task may await this.
            let opening: Vec<_> = flat.index.manifests.drain(..).map(|entry| self.open(entry)).collect();
            let opened: Vec<_> = stream::iter(opening).buffered(AT_ONCE).try_collect().await?;
            for Flat { index, annotations } in opened {
                flat.index.manifests.extend(index.manifests);
                flat.annotations += annotations;
            }
            let mut seen = BTreeSet::new();
            let key = |entry: &Descriptor| (entry.digest.clone(), entry.attests(), platform_of(entry));
            flat.index.manifests.retain(|entry| seen.insert(key(entry)));
        }
        if self.has_more(&flat.index) { Err(ConfirmError::Deep) } else { Ok(flat) }
    }

    fn has_more(&self, index: &ImageIndex) -> bool {
        index.manifests.iter().any(|entry| self.is_opened(entry))
    }

    fn is_opened(&self, entry: &Descriptor) -> bool {
        let is_wanted =
            |platform: Platform| self.wanted.is_empty() || self.wanted.iter().any(|one| one.is_based_on(&platform));
        entry.media_type.is_index() && !entry.is_attestation() && platform_of(entry).is_none_or(is_wanted)
    }

    /// What `entry` stands for: what the index that it names lists, or itself.
    async fn open(&self, entry: Descriptor) -> Result<Flat, ConfirmError> {
        if !self.is_opened(&entry) {
            let index = ImageIndex { manifests: vec![entry], annotations: BTreeMap::new() };
            return Ok(Flat { index, annotations: 0 });
        }
        let read = self.read(&entry).await;
        let mut index =
            read.map_err(|error| ConfirmError::Nested { digest: entry.digest.clone(), source: Box::new(error) })?;
        for listed in index.manifests.iter_mut().filter(|listed| !listed.is_attestation()) {
            claim(&entry, listed)?;
        }
        let annotations = entry.annotations.len() + index.annotations.len();
        Ok(Flat { index, annotations })
    }

    async fn read(&self, entry: &Descriptor) -> Result<ImageIndex, ConfirmError> {
        let selector = Selector::Digest(entry.digest.clone());
        let manifest = self.place.manifest(&selector, self.visibility).await?;
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

/// What `above` claims of the index that it names holds of what that lists: it is of no other platform.
fn claim(above: &Descriptor, listed: &mut Descriptor) -> Result<(), ConfirmError> {
    let Some(platform) = platform_of(above) else { return Ok(()) };
    match platform_of(listed) {
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
