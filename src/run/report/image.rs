//! One image in a report: its tags, its index, what it left.

use serde::Serialize;

use super::{FailureOf, PlatformReport, Status};
use crate::oci::{Digest, DigestRef, Entry, Location, Platform, TagRef};
use crate::run::{Failure, ImageEvent, PlannedImage, PlannedJob};
use crate::text::Text;

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageReport {
    /// The name in the plan.
    pub image: String,
    /// The final tags.
    pub tags: Vec<TagReport>,
    /// The index, once every platform was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexReport>,
    /// The indexes that were read back and found as planned: one a registry.
    pub verified: Vec<DigestRef<Location>>,
    /// Arch tags that were put in registries that get copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copied_arch_tags: Vec<TagRef<Location>>,
    /// Arch tags that were deleted once the index was published (`arch_tags: remove`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_arch_tags: Vec<TagRef<Location>>,
    /// Names that were set on the engine: what `docker run` takes.
    pub on_engine: Vec<Text>,
    /// Names that were set on engines and read back (`--load`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loaded: Vec<LoadedReport>,
    /// Platforms whose programs could not be checked, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotCheckedReport>,
    /// Why it was not joined, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_joined: Option<Text>,
    /// Why its tags were not moved, where that is because of another image (`--atomic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Text>,
    /// The platforms, in the plan's order.
    pub platforms: Vec<PlatformReport>,
    /// Failures of the image as a whole: join, publish, verify.
    #[serde(skip)]
    pub failures: Vec<Failure>,
    /// Every failure of the image, those of its platforms first; filled by [`Report::finish`](super::Report::finish).
    #[serde(rename = "failures")]
    pub all_failures: Vec<FailureOf>,
}

/// A name on an engine, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedReport {
    /// The engine.
    pub engine: Text,
    /// What `docker run` takes.
    pub name: Text,
    /// The engine's id of what it shows: of an index, where there are several platforms.
    pub id: Digest,
    /// The platforms that are under it.
    pub platforms: Vec<Platform>,
}

/// Platforms of which it is not known whether their programs are for their processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCheckedReport {
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// Why.
    pub reason: Text,
}

impl From<(String, Vec<Platform>)> for NotCheckedReport {
    fn from((reason, platforms): (String, Vec<Platform>)) -> Self {
        Self { platforms, reason: reason.into() }
    }
}

/// A final tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagReport {
    /// The tag.
    pub tag: TagRef<Location>,
    /// What became of it.
    pub state: TagState,
}

/// What became of a final tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TagState {
    /// It is where it was before the run.
    NotMoved,
    /// The index was sent under it, and nobody knows whether the registry took it.
    Unknown,
    /// The index was put under it.
    Put,
    /// It had this index already; nothing was put.
    Unchanged,
}

/// The index of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: Text,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// What an unfinished run left in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The image.
    pub image: String,
    /// Its name.
    #[serde(flatten)]
    pub name: LeftoverName,
    /// What it is.
    pub kind: LeftoverKind,
}

/// The name of a leftover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverName {
    /// A tag.
    Tag(TagRef<Location>),
    /// An image that has none.
    Reference(DigestRef),
}

impl std::fmt::Display for LeftoverName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Reference(reference) => write!(f, "{reference}"),
        }
    }
}

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// An arch tag that was pushed although the image was not finished.
    ArchTag,
    /// An arch tag whose push did not end: it may be there.
    PerhapsArchTag,
    /// An image without a tag that was pushed although the whole was not finished.
    Untagged,
    /// A final tag that moved before something later failed.
    FinalTag,
    /// A final tag whose put was not answered: it may have moved.
    PerhapsFinalTag,
}

impl ImageReport {
    pub(super) fn new(planned: &PlannedImage, jobs: &[PlannedJob]) -> Self {
        let own = jobs.iter().filter(|job| job.job.image == planned.image);
        Self {
            image: planned.image.clone(),
            tags: planned.tags.iter().map(|tag| TagReport { tag: tag.clone(), state: TagState::NotMoved }).collect(),
            index: None,
            verified: Vec::new(),
            copied_arch_tags: Vec::new(),
            removed_arch_tags: Vec::new(),
            on_engine: Vec::new(),
            loaded: Vec::new(),
            not_checked: Vec::new(),
            not_joined: None,
            withheld: None,
            platforms: own.map(PlatformReport::new).collect(),
            failures: Vec::new(),
            all_failures: Vec::new(),
        }
    }

    /// Ends the report of the image.
    pub(super) fn finish(&mut self) {
        self.platforms.iter_mut().for_each(PlatformReport::finish);
        let of = |platform: Option<&Platform>, failure: &Failure| FailureOf {
            image: Some(self.image.clone()),
            platform: platform.cloned(),
            failure: failure.clone(),
        };
        let of_platforms = self.platforms.iter().filter_map(|one| Some(of(Some(&one.platform), one.failure.as_ref()?)));
        let own = self.failures.iter().map(|failure| of(None, failure));
        self.all_failures = of_platforms.chain(own).collect();
    }

    /// Whether all that was asked for this image was done and, where it was published, read back.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let built = |platform: &PlatformReport| (Status::Built..=Status::Confirmed).contains(&platform.status);
        let shows = |tag: &TagReport| matches!(tag.state, TagState::Put | TagState::Unchanged);
        let published = || !self.verified.is_empty() && self.tags.iter().all(shows);
        self.failures().next().is_none()
            && if self.not_joined.is_some() { self.platforms.iter().all(built) } else { published() }
    }

    /// Whether the registry had this index under every tag already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        !self.tags.is_empty() && self.tags.iter().all(|tag| tag.state == TagState::Unchanged)
    }

    /// The platforms' failures, then those of the image as a whole.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.platforms.iter().filter_map(|platform| platform.failure.as_ref()).chain(&self.failures)
    }

    pub(super) fn event(&mut self, what: &ImageEvent) {
        match what {
            ImageEvent::Joined { digest, media_type, entries } => {
                let (digest, media_type, entries) = (digest.clone(), media_type.clone(), entries.clone());
                self.index = Some(IndexReport { digest, media_type, entries });
            }
            // The events have it; what counts is where the tags are.
            ImageEvent::Waiting { .. }
            | ImageEvent::RepositoryCreated { .. }
            | ImageEvent::Fixed { .. }
            | ImageEvent::Copying { .. }
            | ImageEvent::Copied { .. }
            | ImageEvent::ArchTagCopied { unchanged: true, .. } => {}
            ImageEvent::ArchTagCopied { tag, unchanged: false } => self.copied_arch_tags.push(tag.clone()),
            ImageEvent::ArchTagRemoved { tag } => self.removed_arch_tags.push(tag.clone()),
            ImageEvent::Tagging { tag } => self.tag(tag, TagState::Unknown),
            ImageEvent::TagRefused { tag } => self.tag(tag, TagState::NotMoved),
            ImageEvent::NotChecked { platforms, reason } => {
                let (platforms, reason) = (platforms.clone(), reason.clone());
                self.not_checked.push(NotCheckedReport { platforms, reason });
            }
            ImageEvent::Tagged { tag, unchanged: false } => self.tag(tag, TagState::Put),
            ImageEvent::Tagged { tag, unchanged: true } => self.tag(tag, TagState::Unchanged),
            ImageEvent::Verified { index } => self.verified.push(index.clone()),
            ImageEvent::TaggedOnEngine { name } => self.on_engine.push(name.clone()),
            ImageEvent::Loaded { engine, name, id, platforms } => self.loaded.push(LoadedReport {
                engine: engine.clone(),
                name: name.clone(),
                id: id.clone(),
                platforms: platforms.clone(),
            }),
            ImageEvent::NotJoined { reason } => self.not_joined = Some(reason.clone()),
            ImageEvent::Withheld { reason } => self.withheld = Some(reason.clone()),
            ImageEvent::Failed(failure) => self.failures.push(failure.clone()),
        }
    }

    fn tag(&mut self, tag: &TagRef<Location>, state: TagState) {
        match self.tags.iter_mut().find(|known| known.tag == *tag) {
            Some(known) => known.state = state,
            None => self.tags.push(TagReport { tag: tag.clone(), state }),
        }
    }

    /// What it left in registries although it was not finished.
    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        if self.is_done() {
            return Vec::new();
        }
        let left = |name, kind| Leftover { image: self.image.clone(), name, kind };
        let platforms = self.platforms.iter().filter_map(PlatformReport::leftover);
        let platforms = platforms.map(|(name, kind)| left(name, kind));
        let tag = |tag: &TagRef<Location>| LeftoverName::Tag(tag.clone());
        let moved = self.tags.iter().filter_map(|moved| match moved.state {
            TagState::Put => Some(left(tag(&moved.tag), LeftoverKind::FinalTag)),
            TagState::Unknown => Some(left(tag(&moved.tag), LeftoverKind::PerhapsFinalTag)),
            TagState::NotMoved | TagState::Unchanged => None,
        });
        let copied = self.copied_arch_tags.iter().map(|copied| left(tag(copied), LeftoverKind::ArchTag));
        let gone =
            |left: &Leftover| matches!(&left.name, LeftoverName::Tag(tag) if self.removed_arch_tags.contains(tag));
        platforms.chain(copied).chain(moved).filter(|left| !gone(left)).collect()
    }
}
