//! The target of a publication: its storage, its tags and the images that it expects.

use std::collections::{BTreeSet, HashSet};

use crate::oci::{Digest, Repository};
use crate::oci::{EncodedIndex, EntryOverride, Location, Platform, Tag};
use crate::plan::AttestationPolicy;
use crate::plan::{ArchTags, Image, Plan};
use crate::registry::Visibility;
use crate::run::event::PlannedImage;
use crate::run::event::cause::Cause;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};
use crate::run::storage::registry::Registry;
use crate::run::storage::{Registries, Storage};

/// The destination of an image's index. `P` is a [`Repository`] while only its name matters, and a [`Storage`] for a
/// push.
#[derive(Debug, Clone)]
pub(in crate::run) struct Target<P = Repository> {
    /// The image's name in the plan.
    pub(in crate::run) image: String,
    /// The repository or the storage.
    pub(in crate::run) storage: P,
    /// The platforms that the index lists and the plan's overrides of their entries, in the plan's order.
    pub(in crate::run) expected: Vec<(Platform, EntryOverride)>,
    /// The arch tags and whether the registry gets them, in the order of the platforms.
    pub(in crate::run) arch_tags: Vec<(Tag, ArchTags)>,
    /// The final tags, in the plan's order.
    pub(in crate::run) tags: Vec<Tag>,
    /// Whether the index keeps the images' attestations.
    pub(in crate::run) attestations: AttestationPolicy,
    /// Children whose configs this run read in this repository.
    pub(in crate::run) read_here: HashSet<Digest>,
    /// Blobs that this run read, pushed or found in this repository.
    pub(in crate::run) there: BTreeSet<Digest>,
    /// The repositories of other registries that get copies and the same final tags.
    pub(in crate::run) copies: Vec<Storage>,
    /// The index that this index is based on, if there is one.
    pub(in crate::run) base: Base,
}

/// The repositories and final tags of each image of the plan.
///
/// # Errors
/// Fails if the name of a repository is longer than registries accept.
pub(in crate::run) fn targets(plan: &Plan, registries: &Registries) -> Result<Vec<Target>, Failure> {
    let target = |image: &Image| {
        let repository = |registry: &Registry| {
            registry.repository(&image.repository).map_err(|error| {
                failure(Phase::Plan, &format!("{}: {error}", image.name), Some("shorten `repository:`".into()))
            })
        };
        let copy = |registry: &Registry| {
            Ok::<_, Failure>(Storage::Repository { registry: registry.clone(), repository: repository(registry)? })
        };
        let copies = registries.copies.iter().map(copy).collect::<Result<_, _>>()?;
        Ok(Target::of(image, repository(&registries.first)?, copies))
    };
    plan.images.iter().map(target).collect()
}

impl Target {
    pub(in crate::run) fn of(image: &Image, storage: Repository, copies: Vec<Storage>) -> Self {
        Self {
            image: image.name.to_string(),
            storage,
            copies,
            expected: image.jobs.iter().map(|job| (job.entry.over(&job.platform), job.entry.clone())).collect(),
            arch_tags: image.jobs.iter().map(|job| (job.arch_tag.clone(), job.arch_tags)).collect(),
            tags: image.tags.clone(),
            attestations: image.attestations,
            read_here: HashSet::new(),
            there: BTreeSet::new(),
            base: Base::Nothing,
        }
    }

    /// The same target, with its registry.
    pub(in crate::run) fn of_registry(self, registry: &Registry) -> Target<Storage> {
        let Self { image, storage, expected, arch_tags, tags, attestations, read_here, there, copies, base } = self;
        let storage = Storage::Repository { registry: registry.clone(), repository: storage };
        Target { image, storage, expected, arch_tags, tags, attestations, read_here, there, copies, base }
    }

    /// The planned tags and copies, for the events of the run.
    pub(in crate::run) fn planned(&self) -> PlannedImage {
        let copies: Vec<_> = self.copies.iter().map(Storage::location).collect();
        let own = Location::from(self.storage.clone());
        let locations = std::iter::once(&own).chain(&copies);
        let tags = locations.flat_map(|location| self.tags.iter().map(|tag| location.tag(tag.clone())));
        PlannedImage { image: self.image.clone(), tags: tags.collect(), copies }
    }
}

impl Target<Storage> {
    /// Whether this run read all children of `index` in this storage.
    pub(super) fn has_read(&self, index: &EncodedIndex) -> bool {
        index.children().iter().all(|child| self.read_here.contains(child.manifest().digest()))
    }

    /// The same target in the repository of a copy, where this run has read nothing yet.
    pub(super) fn copied_to(&self, storage: &Storage) -> Self {
        let there = BTreeSet::new();
        Self { storage: storage.clone(), read_here: HashSet::new(), there, copies: Vec::new(), ..self.clone() }
    }
}

pub(super) fn not_published(target: &Target<Storage>, tag: &Tag, reason: &str) -> Failure {
    let named = target.storage.tag(tag.clone());
    failure(Phase::Publish, &format!("{named} was not published: {reason}"), None).because(Cause::Cancelled)
}

/// A child with its arch tag, and the digest that the arch tag should name.
pub(in crate::run) struct Pushed {
    pub(in crate::run) tag: Tag,
    pub(in crate::run) platform: Platform,
    pub(in crate::run) top: Digest,
    /// Whether polyarch keeps or removes the arch tag.
    pub(in crate::run) arch_tags: ArchTags,
}

/// How polyarch reads content that it wrote a moment ago.
pub(in crate::run) const FRESH: Visibility = Visibility::JustWritten;

/// The index that the sources are added to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// The index contains only the sources.
    #[default]
    Nothing,
    /// The current index of the first target tag. A source replaces the entry of its platform.
    Target {
        /// The platforms to remove from that index.
        without: Vec<Platform>,
    },
}
