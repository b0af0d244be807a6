//! A repository that is looked at, and what is then deleted of it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::access::Registry;
use super::super::failure::chain;
use super::super::images::{Catalog, Item, ItemContent, ListedBy, Overview, RepositoryImage};
use super::super::shutdown::Shutdown;
use super::delete::{Deleting, Outcome};
use super::error::CleanError;
use super::judge::{Judgement, all_is_read, judge};
use super::keep::{Keep, Verdict};
use crate::oci::{Digest, Repository, Tag};

/// Hexadecimal digits of a digest.
const SHA256_HEX: usize = 64;

type Tags = BTreeMap<Digest, BTreeSet<Tag>>;

/// A repository, and what is to become of what it has.
#[derive(Debug)]
pub struct Cleaning<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    keep: &'a Keep,
    catalog: Catalog<'a>,
    verdicts: BTreeMap<Digest, Verdict>,
    is_unordered: bool,
}

/// What is to become of a repository's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Who said what is there.
    pub listed_by: ListedBy,
    /// All images, in the order of [`RepositoryImages`](super::super::images::RepositoryImages), each with its verdict.
    pub images: Vec<(RepositoryImage, Verdict)>,
    /// What refers to an image that goes, and stays.
    pub referrers: Vec<Referrer>,
    /// Whether publications would have to be ordered, and nothing orders them. [`Cleaning::apply`] refuses then.
    pub is_unordered: bool,
}

/// Something that refers to an image that goes: a signature, as a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// The tag by which cosign and others refer, `sha256-….sig`; `None`: its `subject` does.
    pub tag: Option<Tag>,
    /// The image that goes.
    pub image: Digest,
}

impl<'a> Cleaning<'a> {
    /// Looks at a repository. Nothing is changed.
    ///
    /// # Errors
    /// What it has is not known, or not all that its indexes list.
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

    /// What is to become of it.
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
        }
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

    /// Deletes what goes: indexes first, then what they listed, if no other index lists it by then. What somebody changed
    /// since it was looked at stays. A stop ends it between two requests.
    ///
    /// # Errors
    /// The repository cannot be read again, or nothing can be deleted there: nothing was. What was not deleted later is
    /// told with what was.
    pub async fn apply(mut self, shutdown: &Shutdown) -> Result<BTreeMap<Digest, Outcome>, CleanError> {
        if let Registry::Embedded { .. } = self.registry {
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
            let failed = Outcome::Failed(format!("it is not known which index lists it now: {}", chain(&error)).into());
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

/// Whether somebody gave it a tag since it was seen.
fn is_tagged_anew(digest: &Digest, seen: &Tags, now: &Tags) -> bool {
    let seen = seen.get(digest).into_iter().flatten().collect::<BTreeSet<_>>();
    now.get(digest).into_iter().flatten().any(|tag| !seen.contains(tag))
}

fn changed() -> Outcome {
    Outcome::Stays("somebody changed that since it was looked at".into())
}

/// The image that a tag of the form `sha256-….sig` refers to (cosign, "Signature Spec"; OCI distribution-spec, "Referrers
/// Tag Schema").
pub(super) fn referred(tag: &Tag) -> Option<Digest> {
    let hex = tag.as_str().strip_prefix("sha256-")?.get(..SHA256_HEX)?;
    format!("sha256:{hex}").parse().ok()
}

fn subject(item: &Item) -> Option<Digest> {
    if let ItemContent::Image(image) = &item.inside { image.subject.clone() } else { None }
}
