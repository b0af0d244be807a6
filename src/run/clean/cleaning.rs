//! Reads a repository, and deletes the images that the verdicts select.

use std::collections::{BTreeMap, BTreeSet};

use super::delete::{Deleting, Outcome};
use super::error::CleanError;
use super::keep::{Decision, Keep};
use super::retention::{Judgement, all_is_read, judge};
use crate::oci::{Digest, Repository, Tag};
use crate::run::clean::names::referred;
use crate::run::event::failure::chain;
use crate::run::event::shutdown::Shutdown;
use crate::run::images::Catalog;
use crate::run::images::Overview;
use crate::run::images::{Item, ItemContent};
use crate::run::images::{ListedBy, RepositoryImage};
use crate::run::storage::registry::Registry;

type Tags = BTreeMap<Digest, BTreeSet<Tag>>;

/// A repository, with a verdict on each of its manifests.
#[derive(Debug)]
pub struct Cleaning<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    keep: &'a Keep,
    catalog: Catalog<'a>,
    verdicts: BTreeMap<Digest, Decision>,
    is_unordered: bool,
}

/// The verdicts on the images of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The API that listed the content of the repository.
    pub listed_by: ListedBy,
    /// All images with their verdicts, in the order of [`RepositoryImages`](crate::run::images::RepositoryImages).
    pub images: Vec<(RepositoryImage, Decision)>,
    /// Manifests that are kept, but refer to an image that is deleted.
    pub referrers: Vec<Referrer>,
    /// Whether `clean` must order the publications and cannot. [`Cleaning::apply`] then refuses.
    pub is_unordered: bool,
    /// Whether the repository is in the embedded registry. [`Cleaning::apply`] then refuses.
    pub is_embedded: bool,
}

/// A manifest that refers to an image that is deleted. It is usually a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The digest of the referrer.
    pub digest: Digest,
    /// The tag `sha256-….sig` with which cosign and similar tools refer to an image. `None` if the manifest's
    /// `subject` refers to it.
    pub tag: Option<Tag>,
    /// The image that is deleted.
    pub image: Digest,
}

impl<'a> Cleaning<'a> {
    /// Reads a repository and changes nothing.
    ///
    /// # Errors
    /// polyarch cannot list the content of the repository, or cannot read all entries of its indexes.
    pub async fn read(registry: &'a Registry, repository: &'a Repository, keep: &'a Keep) -> Result<Self, CleanError> {
        let catalog = Catalog::read(registry, repository).await?;
        let verdicts = BTreeMap::new();
        let mut cleaning = Self { registry, repository, keep, catalog, verdicts, is_unordered: false };
        cleaning.judge().await?;
        Ok(cleaning)
    }

    async fn judge(&mut self) -> Result<(), CleanError> {
        let Catalog { items, unread, .. } = &self.catalog;
        all_is_read(items, unread)?;
        self.catalog.read_configs(|_| true).await?;
        let Judgement { verdicts, is_unordered } = judge(&self.catalog.items, &self.catalog.unread, self.keep)?;
        (self.verdicts, self.is_unordered) = (verdicts, is_unordered);
        Ok(())
    }

    /// The verdicts on all images.
    #[must_use]
    pub fn judged(&self) -> Judged {
        let images = Overview::of(&self.catalog.items).images().into_iter().filter_map(|image| {
            let verdict = self.verdicts.get(&image.digest)?.clone();
            Some((image, verdict))
        });
        Judged {
            listed_by: self.catalog.listed_by.clone(),
            images: images.collect(),
            referrers: self.referrers(),
            is_unordered: self.is_unordered,
            is_embedded: self.is_embedded(),
        }
    }

    fn is_embedded(&self) -> bool {
        matches!(self.registry, Registry::Embedded { .. })
    }

    fn going(&self) -> BTreeSet<Digest> {
        let going = self.verdicts.iter().filter(|(_, verdict)| verdict.goes());
        going.map(|(digest, _)| digest.clone()).collect()
    }

    fn referrers(&self) -> Vec<Referrer> {
        let going = self.going();
        let staying = self.catalog.items.iter().filter(|(digest, _)| !going.contains(*digest));
        let referrers = staying.flat_map(|(digest, item)| {
            let refers = |image: Digest, tag| Referrer { digest: digest.clone(), tag, image };
            let by_tag = item.tags.iter().filter_map(move |tag| Some(refers(referred(tag)?, Some(tag.clone()))));
            by_tag.chain(subject(item).map(|image| refers(image, None)))
        });
        referrers.filter(|referrer| going.contains(&referrer.image)).collect()
    }

    /// Deletes the selected manifests. Indexes come first, then the images that they listed, unless another index
    /// lists them by then. If a manifest changed since it was judged, it is kept. A stop signal takes effect between
    /// two requests.
    ///
    /// # Errors
    /// The repository cannot be read again, or nothing can be deleted there. In both cases nothing was deleted. Later
    /// failures are in the outcomes, beside the deleted manifests.
    pub async fn apply(mut self, shutdown: &Shutdown) -> Result<BTreeMap<Digest, Outcome>, CleanError> {
        if self.is_embedded() {
            return Err(CleanError::Embedded);
        }
        if self.is_unordered {
            return Err(CleanError::Unordered { order: self.keep.order, listed_by: self.catalog.listed_by.clone() });
        }
        let (decided, seen) = (self.going(), self.tags());
        self.catalog.read_again().await?;
        self.judge().await?;
        let (going, now) = (self.going(), self.tags());
        let mut deleting = Deleting::new(self.registry, self.repository, &self.catalog.listed_by, shutdown);
        let (mut indexes, mut images) = (Vec::new(), Vec::new());
        for digest in decided {
            if !going.contains(&digest) || is_tagged_anew(&digest, &seen, &now) {
                deleting.end(digest, changed());
            } else if self.catalog.items.get(&digest).is_some_and(|item| !item.entries().is_empty()) {
                indexes.push(digest);
            } else {
                images.push(digest);
            }
        }
        deleting.delete(indexes).await?;
        if images.is_empty() {
            return Ok(deleting.outcomes);
        }
        let read = self.catalog.read_again().await.map_err(CleanError::from);
        if let Err(error) = read.and_then(|()| all_is_read(&self.catalog.items, &self.catalog.unread)) {
            let why = format!("polyarch could not check which index lists it now: {}", chain(&error));
            let failed = Outcome::Failed(why.into());
            deleting.outcomes.extend(images.into_iter().map(|digest| (digest, failed.clone())));
            return Ok(deleting.outcomes);
        }
        let now = self.tags();
        let overview = Overview::of(&self.catalog.items);
        let is_deleted = |index: &Digest| deleting.outcomes.get(index) == Some(&Outcome::Deleted);
        let is_free = |digest: &Digest| {
            overview.listed(digest).all(|(index, _)| is_deleted(index)) && !is_tagged_anew(digest, &seen, &now)
        };
        let (free, others): (Vec<_>, Vec<_>) = images.into_iter().partition(is_free);
        deleting.outcomes.extend(others.into_iter().map(|digest| (digest, changed())));
        deleting.delete(free).await?;
        Ok(deleting.outcomes)
    }

    fn tags(&self) -> Tags {
        let tags = |item: &Item| item.tags.iter().cloned().collect();
        self.catalog.items.iter().map(|(digest, item)| (digest.clone(), tags(item))).collect()
    }
}

/// Whether the manifest got a new tag since it was judged.
fn is_tagged_anew(digest: &Digest, seen: &Tags, now: &Tags) -> bool {
    let seen = seen.get(digest).into_iter().flatten().collect::<BTreeSet<_>>();
    now.get(digest).into_iter().flatten().any(|tag| !seen.contains(tag))
}

fn changed() -> Outcome {
    Outcome::Kept("it changed after polyarch judged it".into())
}

fn subject(item: &Item) -> Option<Digest> {
    if let ItemContent::Image(image) = &item.inside { image.subject.clone() } else { None }
}
