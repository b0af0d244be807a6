//! What is wanted of a repository, and what that comes to for each of its images.

use std::collections::BTreeSet;

use crate::oci::{Digest, IMAGE_LABEL, Tag, TagPattern};
use crate::plan::{Image, Job};

/// The rules for what stays of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The number of newest publications that stay. A publication goes only if this many that are named as well are
    /// proven to be newer.
    pub newest: usize,
    /// How publications are ordered.
    pub order: Order,
    /// What has a tag that one of these fits, however old it is.
    pub tags: Vec<TagPattern>,
    /// Tags that keep nothing, although they may move.
    pub dropped: Vec<TagPattern>,
    /// Whose images are judged.
    pub scope: Scope,
    /// The image of a plan that the cleaning is about; `None`: the whole repository.
    pub image: Option<OfPlan>,
}

/// How publications are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By when the registry first got them. Most registries do not say when that was.
    #[default]
    Push,
    /// By the version that their tags name, the higher one being the newer one.
    Version,
}

/// Whose images are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Those that polyarch built, as their label says.
    #[default]
    Built,
    /// Those without a label of polyarch, too: adopted, copied and third-party images.
    All,
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
    /// Whether the cleaning is about an image with this label. An empty label counts as none.
    pub(super) fn is_about(&self, label: Option<&str>) -> bool {
        match label.filter(|label| !label.is_empty()) {
            None => self.scope == Scope::All,
            Some(label) => self.image.as_ref().is_none_or(|image| image.built_as.contains(label)),
        }
    }

    /// The tag, of these, that is kept by its name.
    pub(super) fn names<'a>(&self, tags: &'a [Tag]) -> Option<&'a Tag> {
        let is_current = |tag: &Tag| self.image.as_ref().is_some_and(|image| image.tags.contains(tag));
        tags.iter().find(|tag| is_current(tag) || self.tags.iter().any(|pattern| pattern.fits(tag)))
    }

    /// Whether the tag keeps nothing.
    pub(super) fn drops(&self, tag: &Tag) -> bool {
        self.dropped.iter().any(|pattern| pattern.fits(tag))
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
    /// polyarch did not build it, or something that it lists. Or polyarch built it as another image than the cleaning
    /// is about. Or it is not an image.
    NotOurs,
    /// Fewer publications than wanted are proven to be newer.
    Newest,
    /// Nothing says when it was published: the registry does not say when it was pushed, or no tag names its version.
    Unordered,
    /// It was published more than once, and nothing says when it was the last time.
    Again,
    /// It has a tag that is kept.
    Kept(Tag),
    /// It has a tag that moves from one publication to the next.
    Moves(Tag),
    /// This index lists it, and stays.
    Listed(Digest),
    /// This publication, which stays, is of the same images, or of more.
    PartOf(Digest),
    /// It has a tag that has nothing to do with the index that goes.
    OwnTag(Tag),
    /// Fewer publications than wanted were pushed after it: it may be one that is on its way.
    Recent,
}

/// Why something goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goes {
    /// It is a publication, and as many as wanted are newer.
    Old,
    /// This index lists it, which goes, and none that stays.
    Listed(Digest),
    /// It attests an image of this index, which goes; none that stays lists it.
    Attests(Digest),
    /// This publication, which goes, is of the same images, or of more.
    PartOf(Digest),
    /// No index lists it, and as many publications as wanted were pushed after it, or its tags are to go.
    Unlisted,
}

impl Verdict {
    /// Whether it goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }
}
