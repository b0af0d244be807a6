//! The rules for a cleaning, and the verdicts on images.

use std::collections::BTreeSet;

use crate::aws::TagPattern;
use crate::oci::{Digest, IMAGE_LABEL, Tag};
use crate::plan::{Image, Job};

/// The rules that decide which images of a repository are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The number of newest publications that are kept. A publication is deleted only if this many others are proven
    /// to be newer. Only publications with equally precise tags, or more precise tags, count.
    pub newest: usize,
    /// The order of publications.
    pub order: Order,
    /// Patterns of tags that keep their image, however old it is.
    pub tags: Vec<TagPattern>,
    /// Patterns of tags that keep nothing, even if they are moving tags.
    pub dropped: Vec<TagPattern>,
    /// The images that polyarch may judge.
    pub scope: Scope,
    /// The image of the plan that the cleaning concerns. `None` stands for the whole repository.
    pub image: Option<PlanImage>,
}

/// The order of publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By the time of the first push. Most registries do not report that time.
    #[default]
    Push,
    /// By the version in their tags. A higher version counts as newer.
    Version,
}

/// The images that polyarch may judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Images that polyarch built. Their label shows it.
    #[default]
    Built,
    /// Images without polyarch's label too: imported, copied and third-party images.
    All,
}

/// An image of a plan, by its labels and tags in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanImage {
    /// The image labels of its builds.
    pub built_as: BTreeSet<String>,
    /// The current tags of the image, including arch tags. Their manifests are kept.
    pub tags: BTreeSet<Tag>,
}

impl PlanImage {
    /// The labels and tags of `image`.
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
    /// Whether the cleaning concerns an image with this label. An empty label counts as a missing label.
    pub(super) fn is_about(&self, label: Option<&str>) -> bool {
        match label.filter(|label| !label.is_empty()) {
            None => self.scope == Scope::All,
            Some(label) => self.image.as_ref().is_none_or(|image| image.built_as.contains(label)),
        }
    }

    /// The first of `tags` that the rules keep by its name.
    pub(super) fn names<'a>(&self, tags: &'a [Tag]) -> Option<&'a Tag> {
        let is_current = |tag: &Tag| self.image.as_ref().is_some_and(|image| image.tags.contains(tag));
        tags.iter().find(|tag| is_current(tag) || self.tags.iter().any(|pattern| pattern.fits(tag)))
    }

    /// Whether the rules let the tag keep nothing.
    pub(super) fn drops(&self, tag: &Tag) -> bool {
        self.dropped.iter().any(|pattern| pattern.fits(tag))
    }
}

/// The decision on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The image is kept.
    Keep(KeepReason),
    /// The image is deleted.
    Delete(DeleteReason),
}

/// The reason why a manifest is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// The manifest is outside the scope of the cleaning:
    /// - polyarch did not build it, or did not build an image that it lists
    /// - polyarch built it as another image than the cleaning concerns
    /// - it is not an image
    NotOurs,
    /// Fewer publications than wanted are proven to be newer.
    Newest,
    /// Its age is unknown: the registry does not report when it was pushed, or no tag names its version.
    Unordered,
    /// It was published more than once, and the time of the last publication is unknown.
    Again,
    /// It has a tag that the rules keep.
    Kept(Tag),
    /// It has a tag that moves from one publication to the next.
    Moves(Tag),
    /// This index lists it, and the index is kept.
    Listed(Digest),
    /// This publication is kept and contains all its images.
    PartOf(Digest),
    /// It has a tag that does not belong to the deleted index.
    OwnTag(Tag),
    /// Fewer publications than wanted were pushed after it. It may belong to a publication in progress.
    Recent,
}

/// The reason why a manifest is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteReason {
    /// It is a publication, and the wanted number of publications is newer.
    Old,
    /// This index lists it and is deleted. No index that is kept lists it.
    Listed(Digest),
    /// It attests an image of this index, which is deleted. No index that is kept lists it.
    Attests(Digest),
    /// This publication is deleted and contains all its images.
    PartOf(Digest),
    /// No index lists it. Either the wanted number of publications was pushed after it, or its tags are dropped.
    Unlisted,
}

impl Decision {
    /// Whether the manifest is deleted.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self, Self::Delete(_))
    }
}
