//! What is wanted of a repository, and what that comes to for each of its images.

use std::collections::BTreeSet;

use crate::oci::{Digest, IMAGE_LABEL, Tag, TagPattern};
use crate::plan::{Image, Job};

/// What stays of what polyarch built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// So many publications, the newest ones; those under tags go before those without.
    pub newest: usize,
    /// What has a tag that one of these fits, however old it is.
    pub tags: Vec<TagPattern>,
    /// The image of a plan that it is about; `None`: whatever polyarch built.
    pub image: Option<OfPlan>,
}

/// An image of a plan, as its repository knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfPlan {
    /// What its builds are labelled with.
    pub built_as: BTreeSet<String>,
    /// The tags that it has now, arch tags too: what is under them stays.
    pub tags: BTreeSet<Tag>,
}

impl OfPlan {
    /// Those of `image`.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let label = |job: &Job| job.build()?.spec.labels.get(IMAGE_LABEL).cloned();
        let arch_tags = image.jobs.iter().map(|job| job.arch_tag.clone());
        Self {
            built_as: image.jobs.iter().filter_map(label).collect(),
            tags: image.tags.iter().cloned().chain(arch_tags).collect(),
        }
    }
}

impl Keep {
    /// Whether what is labelled so is what this is about. An empty label is nobody's.
    pub(super) fn is_about(&self, label: &str) -> bool {
        !label.is_empty() && self.image.as_ref().is_none_or(|image| image.built_as.contains(label))
    }

    /// The tag, of these, that is kept by its name.
    pub(super) fn names<'a>(&self, tags: &'a [Tag]) -> Option<&'a Tag> {
        let is_current = |tag: &Tag| self.image.as_ref().is_some_and(|image| image.tags.contains(tag));
        tags.iter().find(|tag| is_current(tag) || self.tags.iter().any(|pattern| pattern.fits(tag)))
    }
}

/// What becomes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Stays(Stays),
    /// It goes.
    Goes(Goes),
}

/// Why something stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// polyarch did not build it, or something that it lists; or it built it as another image than this is about.
    NotOurs,
    /// It is one of the newest publications.
    Newest,
    /// It is as old as the last of them: which of the two is newer is not known.
    AsNew,
    /// It has a tag that is kept.
    Kept(Tag),
    /// This index lists it, and stays.
    Listed(Digest),
    /// This publication, which stays, is of the same images, or of more.
    PartOf(Digest),
    /// It has a tag that has nothing to do with the index that goes.
    OwnTag(Tag),
    /// No publication that stays is newer: it may be one that is on its way.
    Recent,
    /// How old it is is not known.
    Undated,
}

/// Why something goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goes {
    /// It is a publication, and as many as wanted are newer, or have tags where it has none.
    Old,
    /// This index lists it, which goes, and none that stays.
    Listed(Digest),
    /// It attests an image of this index, which goes; none that stays lists it.
    Attests(Digest),
    /// No index lists it, and a publication that stays is newer.
    Unlisted,
}

impl Verdict {
    /// Whether it goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }
}
