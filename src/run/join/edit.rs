//! Edits of `polyarch join -t`: adds the sources to an index, removes platforms, and sets annotations.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use super::missing::{AT_ONCE, Missing, entry_image};
use crate::oci::{
    Annotation, Descriptor, EncodedIndex, EntryOverride, ImageIndex, IndexDraft, IndexFormat, Location, NotDocker,
    Platform, Selector, SourceEntry, Tag, TagRef,
};
use crate::plan::AttestationPolicy;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};
use crate::run::fetch::confirm::held;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::flat::FlattenedIndex;
use crate::run::fetch::found;
use crate::run::fetch::found::Found;
use crate::run::fetch::walk::Walk;
use crate::run::join::missing;
use crate::run::publish::current_tags;
use crate::run::publish::draft;
use crate::run::publish::target::Base;
use crate::run::storage::transfer::ManifestSet;
use crate::run::storage::{FinalTags, Storage};

/// The hint if an image of the existing index is missing in the registry.
const GIVE_OR_REMOVE: &str = "name another image of that platform as a source, or remove the platform with `--remove`";

/// The settings for the new index, beside its sources.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The index that the sources are added to.
    pub base: Base,
    /// Takes only the sources' images of these platforms. An empty list takes all images.
    pub platforms: Vec<Platform>,
    /// The index must have exactly these platforms, in this order.
    pub expect: Option<Vec<Platform>>,
    /// Annotations of the index and its entries. A later annotation replaces an earlier one with the same key.
    pub annotations: Vec<Annotation>,
    /// The document format of the index.
    pub format: IndexFormat,
}

/// An image for the index.
pub(in crate::run) struct Part<'a> {
    pub(in crate::run) from: &'a Storage,
    pub(in crate::run) found: Found,
    /// The fields of its entry that override the config.
    pub(in crate::run) entry: EntryOverride,
}

impl Part<'_> {
    /// Overrides the fields of the entry, unless they are overridden already.
    fn say(&mut self, entry: &EntryOverride) {
        if self.entry == EntryOverride::default() {
            self.entry = entry.clone();
            self.found.child.say(entry);
        }
    }

    /// The manifests of the image and its attestations, with their source.
    pub(in crate::run) fn manifests(&self) -> ManifestSet<'_> {
        ManifestSet { from: self.from, manifests: found::manifests(std::slice::from_ref(&self.found)) }
    }
}

/// The images of an index, in order.
pub(in crate::run) struct Parts<'a> {
    pub(in crate::run) images: Vec<Part<'a>>,
    /// The annotations that the existing index has.
    annotations: BTreeMap<String, String>,
    pub(in crate::run) warnings: Vec<Warning>,
}

impl Base {
    /// The platforms that the target tags lose.
    pub(in crate::run) fn removed(&self) -> &[Platform] {
        match self {
            Self::Nothing => &[],
            Self::Target { without } => without,
        }
    }
}

impl Edit {
    /// Combines `sources` with the entries of `target`, if the base asks for them. Removed and replaced entries are
    /// not read, so a user can replace a broken entry.
    pub(super) async fn assemble<'a>(
        &self,
        sources: Vec<Part<'a>>,
        target: &'a FinalTags,
        policy: AttestationPolicy,
    ) -> Result<Parts<'a>, Failure> {
        let mut parts = distinct(sources);
        if let (Base::Target { without }, Some(tag)) = (&self.base, target.tags.first()) {
            let named = target.storage.tag(tag.clone());
            let FlattenedIndex { index, annotations } = read(&target.storage, tag, &named).await?;
            check(&named, &index, without)?;
            parts.join(current_images(&target.storage, &named, &index, (&parts.images, without), policy).await?);
            let kept = parts.keep_annotations(&index);
            kept.map_err(|error| missing::as_failure(&[(named.to_string(), error)], None, Missing::Expected(None)))?;
            if annotations > 0 {
                let message =
                    format!("annotations left out of the index: {annotations} ({named} has them in nested indexes)");
                parts.warnings.push(Warning { image: None, platform: None, message: message.into(), hint: None });
            }
        }
        if parts.images.is_empty() {
            let message = "the index would have no images; not moved";
            return Err(failure(Phase::Verify, message, Some("keep at least one image in the index".into())));
        }
        Ok(parts)
    }

    /// The bytes of `draft` with its annotations, and a note for the user about the format.
    pub(in crate::run) fn encode(
        &self,
        draft: IndexDraft,
        parts: &Parts<'_>,
    ) -> Result<(EncodedIndex, Option<&str>), Failure> {
        let mut draft = draft.with_annotations(parts.annotations.clone());
        for annotation in &self.annotations {
            draft
                .annotate(annotation)
                .map_err(|error| failure(Phase::Verify, &format!("--annotation {annotation}: {error}"), None))?;
        }
        let forced = self.format == IndexFormat::Auto && draft.not_docker() == [NotDocker::Annotated];
        let note = "the new index has the OCI format, because a Docker manifest list cannot have annotations";
        Ok((draft::encode(draft, self.format)?, forced.then_some(note)))
    }
}

/// Drops duplicates: several sources may contain the same image of the same platform. The image with more
/// attestations is kept. Otherwise, the image that an index describes is kept.
fn distinct(sources: Vec<Part<'_>>) -> Parts<'_> {
    let mut parts = Parts { images: Vec::new(), annotations: BTreeMap::new(), warnings: Vec::new() };
    for part in sources {
        let same = parts.images.iter_mut().find(|kept| kept.found.child.is_listed_as(&part.found.child));
        let Some(kept) = same else {
            parts.images.push(part);
            continue;
        };
        let child = &part.found.child;
        let (platform, digest) = (child.platform(), child.manifest().digest());
        let message = format!("the sources contain {platform} twice, and the index lists it once: {digest}");
        parts.warnings.push(Warning { image: None, platform: None, message: message.into(), hint: None });
        let more = |part: &Part<'_>| {
            (part.found.child.attestations().len(), part.found.child.listed() != &SourceEntry::default())
        };
        let (gone, storage) =
            if more(&part) > more(kept) { (std::mem::replace(kept, part), kept) } else { (part, kept) };
        storage.say(&gone.entry);
    }
    parts
}

/// Reads the index that `named` names.
async fn read(storage: &Storage, tag: &Tag, named: &TagRef<Location>) -> Result<FlattenedIndex, Failure> {
    let reading = async {
        let top = missing::fetch(storage, &Selector::Tag(tag.clone())).await?;
        current_tags::index(storage, &top).await
    };
    reading.await.map_err(|error| {
        let hint = "leave out `--append` and `--remove` to create a new index";
        missing::as_failure(&[(named.to_string(), error)], None, Missing::Named(hint))
    })
}

/// Checks that the index has every platform that is to be removed.
fn check(named: &TagRef<Location>, index: &ImageIndex, without: &[Platform]) -> Result<(), Failure> {
    let absent = without.iter().filter(|platform| !index.manifests.iter().any(|entry| is_of(entry, platform)));
    let absent: Vec<_> = absent.map(ToString::to_string).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let message = format!("{named} has no {} to remove", absent.join(" and no "));
    Err(failure(Phase::Verify, &message, Some(format!("choose from its platforms: {}", held(&index.manifests)))))
}

fn is_of(entry: &Descriptor, platform: &Platform) -> bool {
    !entry.is_attestation() && entry.platform().is_some_and(|own| platform.covers(&own))
}

/// Whether an image of `platform` replaces `entry`, which is one of `entries`. It does in two cases:
/// - Both have the same platform, or `platform` is another patch of the same Windows build.
/// - `entry` is the only entry that `platform` covers, for example because `platform` names no version.
fn is_replaced(entry: &Descriptor, platform: &Platform, entries: &[&Descriptor]) -> bool {
    let is_alone = || entries.iter().filter(|one| is_of(one, platform)).count() == 1;
    let is_renewed = entry.platform().is_some_and(|own| own.is_renewed_by(platform));
    !entry.is_attestation() && (is_renewed || (is_of(entry, platform) && is_alone()))
}

/// An entry of the existing index, and its fate.
enum Slot<'a> {
    /// A source of this platform replaces the entry.
    Taken(Platform),
    /// The image is kept.
    Kept(Box<Part<'a>>),
}

/// The entries of `index` that are kept or replaced, in order.
async fn current_images<'a>(
    storage: &'a Storage,
    named: &TagRef<Location>,
    index: &ImageIndex,
    (sources, without): (&[Part<'_>], &[Platform]),
    policy: AttestationPolicy,
) -> Result<Vec<Slot<'a>>, Failure> {
    let stays = |entry: &&Descriptor| !entry.is_attestation() && !without.iter().any(|gone| is_of(entry, gone));
    let entries: Vec<_> = index.manifests.iter().filter(stays).collect();
    Walk::default()
        .enter(entries.iter().map(|entry| entry.size))
        .map_err(|error| missing::as_failure(&[(named.to_string(), error)], None, Missing::Expected(None)))?;
    let reading = entries.iter().map(async |entry| {
        let replaced =
            sources.iter().map(|source| source.found.child.platform()).find(|one| is_replaced(entry, one, &entries));
        if let Some(platform) = replaced {
            return Ok(Slot::Taken(platform.clone()));
        }
        let found = entry_image(storage, entry, index, &EntryOverride::default(), policy).await;
        found.map(|found| Slot::Kept(Box::new(Part { from: storage, found, entry: EntryOverride::default() })))
    });
    // The futures exist before the stream. Otherwise a spawned task could not await this function.
    let reading: Vec<_> = reading.collect();
    let read: Vec<Result<Slot<'_>, ConfirmError>> = stream::iter(reading).buffered(AT_ONCE).collect().await;
    let (mut slots, mut faults) = (Vec::new(), Vec::new());
    for (entry, slot) in entries.iter().zip(read) {
        match slot {
            Ok(slot) => slots.push(slot),
            Err(error) => {
                let part = entry.platform().map_or_else(|| entry.digest.to_string(), |platform| platform.to_string());
                faults.push((format!("{part} of {named}"), error));
            }
        }
    }
    if faults.is_empty() {
        Ok(slots)
    } else {
        Err(missing::as_failure(&faults, None, Missing::Expected(Some(GIVE_OR_REMOVE))))
    }
}

impl<'a> Parts<'a> {
    /// Inserts the existing images before the new images. A source takes the position of the entry that it replaces.
    fn join(&mut self, slots: Vec<Slot<'a>>) {
        let mut new = std::mem::take(&mut self.images);
        for slot in slots {
            match slot {
                Slot::Kept(part) => self.images.push(*part),
                Slot::Taken(platform) => {
                    let source = new.iter().position(|part| *part.found.child.platform() == platform);
                    self.images.extend(source.map(|storage| new.remove(storage)));
                }
            }
        }
        self.images.append(&mut new);
    }

    /// Keeps the annotations of `index`. Annotations of a replaced image are dropped, because they may be wrong for
    /// the new image.
    fn keep_annotations(&mut self, index: &ImageIndex) -> Result<(), ConfirmError> {
        self.annotations.clone_from(&index.annotations);
        let all: Vec<_> = index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
        for entry in &all {
            let Some(platform) = entry.platform() else { continue };
            let mut parts = self.images.iter_mut();
            let Some(part) = parts.find(|part| is_replaced(entry, part.found.child.platform(), &all)) else {
                continue;
            };
            let child = &mut part.found.child;
            if *child.manifest().digest() == entry.digest {
                child.listed_also_as(entry)?;
            } else if !entry.annotations.is_empty() {
                let keys: Vec<&str> = entry.annotations.keys().map(String::as_str).collect();
                let message = format!("annotations of the replaced image are dropped: {}", keys.join(", "));
                let hint = format!("pass --annotation 'entry[{platform}]:KEY=VALUE' to set them on the new image");
                self.warnings.push(Warning {
                    image: None,
                    platform: Some(platform),
                    message: message.into(),
                    hint: Some(hint.into()),
                });
            }
        }
        Ok(())
    }
}
