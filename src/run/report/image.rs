//! Reports one image: its tags, its index and its leftovers.

use serde::Serialize;

use super::FailureOf;
use super::PlatformReport;
use super::Status;
use crate::oci::{Digest, DigestRef, Entry, Location, Platform, TagRef};
use crate::run::Failure;
use crate::run::ImageEvent;
use crate::run::PlannedImage;
use crate::run::PlannedJob;
use crate::run::report::leftover::{Leftover, LeftoverKind, LeftoverName};
use crate::text::Text;

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ImageReport {
    /// The name in the plan.
    pub image: String,
    /// The final tags.
    pub tags: Vec<TagReport>,
    /// The index. It exists once every platform is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexReport>,
    /// The indexes that polyarch read back and found as planned: one for each registry.
    pub verified: Vec<DigestRef<Location>>,
    /// Arch tags that polyarch moved in registries that get copies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copied_arch_tags: Vec<TagRef<Location>>,
    /// Arch tags that polyarch deleted after it published the index (`arch_tags: remove`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_arch_tags: Vec<TagRef<Location>>,
    /// Names that polyarch set on the engine, for `docker run`.
    pub on_engine: Vec<Text>,
    /// Names that polyarch set on engines and read back (`--load`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loaded: Vec<LoadedReport>,
    /// Platforms whose programs polyarch could not check, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotCheckedReport>,
    /// Why polyarch did not join the image, if the user asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_joined: Option<Text>,
    /// Why the tags did not move, if another image is the reason (`--atomic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Text>,
    /// The platforms, in the plan's order.
    pub platforms: Vec<PlatformReport>,
    /// Failures of the image as a whole: join, publish, verify.
    #[serde(skip)]
    pub failures: Vec<Failure>,
    /// Every failure of the image. The failures of its platforms come first. [`Report::finish`](super::Report::finish)
    /// fills this list.
    #[serde(rename = "failures")]
    pub all_failures: Vec<FailureOf>,
}

/// A name on an engine, and the image that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoadedReport {
    /// The engine.
    pub engine: Text,
    /// The name, for `docker run`.
    pub name: Text,
    /// The engine's ID of the image. With several platforms, this is the ID of an index.
    pub id: Digest,
    /// The platforms under the name.
    pub platforms: Vec<Platform>,
}

/// Platforms for which polyarch does not know whether the programs are for their processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCheckedReport {
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// The reason.
    pub reason: Text,
}

impl From<(String, Vec<Platform>)> for NotCheckedReport {
    fn from((reason, platforms): (String, Vec<Platform>)) -> Self {
        Self { platforms, reason: reason.into() }
    }
}

/// A final tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TagReport {
    /// The tag.
    pub tag: TagRef<Location>,
    /// The state of the tag after the run.
    pub state: TagState,
}

/// The state of a final tag after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TagState {
    /// The tag did not move.
    NotMoved,
    /// polyarch sent the index for the tag, and it is not known whether the registry accepted it.
    Unknown,
    /// The tag moved to the index.
    Put,
    /// The tag named this index before the run, so it did not move.
    Unchanged,
}

/// The index of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IndexReport {
    /// The digest of the index.
    pub digest: Digest,
    /// The media type of the index.
    pub media_type: Text,
    /// The entries of the index, in order.
    pub entries: Vec<Entry>,
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

    /// Whether the run did everything for this image. If polyarch published the image, polyarch also read it back.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let built = |platform: &PlatformReport| (Status::Built..=Status::Confirmed).contains(&platform.status);
        let shows = |tag: &TagReport| matches!(tag.state, TagState::Put | TagState::Unchanged);
        let published = || !self.verified.is_empty() && self.tags.iter().all(shows);
        self.failures().next().is_none()
            && if self.not_joined.is_some() { self.platforms.iter().all(built) } else { published() }
    }

    /// Whether every tag named this index before the run.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        !self.tags.is_empty() && self.tags.iter().all(|tag| tag.state == TagState::Unchanged)
    }

    /// The failures of the platforms, and then the failures of the image as a whole.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.platforms.iter().filter_map(|platform| platform.failure.as_ref()).chain(&self.failures)
    }

    pub(super) fn event(&mut self, what: &ImageEvent) {
        match what {
            ImageEvent::Joined { digest, media_type, entries } => {
                let (digest, media_type, entries) = (digest.clone(), media_type.clone(), entries.clone());
                self.index = Some(IndexReport { digest, media_type, entries });
            }
            // These facts are only in the events, because the report shows where the tags are.
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

    /// The leftovers of the image in registries, if the image is not finished.
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
