//! What `polyarch join -t` makes of its sources: what they are added to, what goes, what is annotated.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use super::carry::Load;
use super::confirm::{ConfirmError, Found, held};
use super::event::{Failure, Phase, Warning};
use super::failure::failure;
use super::flat::Flat;
use super::listing::Budget;
use super::place::{FinalTags, Place};
use super::references::{self, AT_ONCE, Missing, entry_image, platform_of};
use super::{publish, standing};
use crate::oci::{
    Annotation, Descriptor, EncodedIndex, EntryOverride, ImageIndex, IndexDraft, IndexFormat, Listed, Location,
    NotDocker, Platform, Selector, Tag, TagRef,
};
use crate::plan::AttestationPolicy;

/// What to do where an image of the index that is added to is not there.
const GIVE_OR_REMOVE: &str = "name another image of that platform among the sources, or let it go with `--remove`";

/// What an index is to be, beyond what its sources are.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// What the sources are added to.
    pub base: Base,
    /// Of the sources' images only those of these platforms; where there is none, all.
    pub platforms: Vec<Platform>,
    /// Exactly these platforms, in this order.
    pub expect: Option<Vec<Platform>>,
    /// Annotations of the index and its entries; a later one replaces an earlier one.
    pub annotations: Vec<Annotation>,
    /// Which document it becomes.
    pub format: IndexFormat,
}

/// What sources are added to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// Nothing: the index is the sources.
    #[default]
    Nothing,
    /// The index that the first target tag has now. A source replaces what is there of its platform.
    Target {
        /// The platforms that go from it.
        without: Vec<Platform>,
    },
}

/// An image that goes into the index.
pub(super) struct Part<'a> {
    pub(super) from: &'a Place,
    pub(super) found: Found,
    /// What its entry says, whatever its config does.
    pub(super) entry: EntryOverride,
}

impl Part<'_> {
    /// Overrides the entry by `entry`, unless it is overridden already.
    fn say(&mut self, entry: &EntryOverride) {
        if self.entry == EntryOverride::default() {
            self.entry = entry.clone();
            self.found.child.say(entry);
        }
    }

    /// The manifests of the image and of what is attested of it, and where they are.
    pub(super) fn load(&self) -> Load<'_> {
        Load { from: self.from, manifests: references::manifests(std::slice::from_ref(&self.found)) }
    }
}

/// What an index is made of, in its order.
pub(super) struct Parts<'a> {
    pub(super) images: Vec<Part<'a>>,
    /// The annotations that the index itself had before.
    annotations: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
}

impl Base {
    /// The platforms that the tags are to lose.
    pub(super) fn removed(&self) -> &[Platform] {
        match self {
            Self::Nothing => &[],
            Self::Target { without } => without,
        }
    }
}

impl Edit {
    /// `sources` alone, or with what `target` has. What goes from there, or is replaced, is not read.
    pub(super) async fn assemble<'a>(
        &self,
        sources: Vec<Part<'a>>,
        target: &'a FinalTags,
        policy: AttestationPolicy,
    ) -> Result<Parts<'a>, Failure> {
        let mut parts = distinct(sources);
        if let (Base::Target { without }, Some(tag)) = (&self.base, target.tags.first()) {
            let named = target.place.tag(tag.clone());
            let Flat { index, annotations } = read(&target.place, tag, &named).await?;
            check(&named, &index, without)?;
            parts.join(standing_images(&target.place, &named, &index, (&parts.images, without), policy).await?);
            let kept = parts.keep_annotations(&index);
            kept.map_err(|error| references::told(&[(named.to_string(), error)], None, Missing::Expected(None)))?;
            if annotations > 0 {
                let message = format!(
                    "annotations left out of the index: {annotations} ({named} had them in indexes that it listed)"
                );
                parts.warnings.push(Warning { image: None, platform: None, message: message.into(), hint: None });
            }
        }
        if parts.images.is_empty() {
            let message = "nothing would be left in the index; not moved";
            return Err(failure(Phase::Verify, message, Some("an index lists one image at least".into())));
        }
        Ok(parts)
    }

    /// The bytes of `draft`, annotated; and what is to be said of them.
    pub(super) fn encode(&self, draft: IndexDraft, parts: &Parts<'_>) -> Result<(EncodedIndex, Option<&str>), Failure> {
        let mut draft = draft.with_annotations(parts.annotations.clone());
        for annotation in &self.annotations {
            draft
                .annotate(annotation)
                .map_err(|error| failure(Phase::Verify, &format!("--annotation {annotation}: {error}"), None))?;
        }
        let forced = self.format == IndexFormat::Auto && draft.not_docker() == [NotDocker::Annotated];
        let said = "it is an OCI index, for a Docker manifest list has no place for its annotations";
        Ok((publish::encode(draft, self.format)?, forced.then_some(said)))
    }
}

/// Takes every image once: the same image of the same platform may come from several sources. The one with more
/// attestations stays, else the one that an index describes.
fn distinct(sources: Vec<Part<'_>>) -> Parts<'_> {
    let mut parts = Parts { images: Vec::new(), annotations: BTreeMap::new(), warnings: Vec::new() };
    for part in sources {
        let same = parts.images.iter_mut().find(|kept| kept.found.child.is_listed_as(&part.found.child));
        let Some(kept) = same else {
            parts.images.push(part);
            continue;
        };
        let child = &part.found.child;
        let message = format!("{} is named twice, and listed once: {}", child.platform(), child.manifest().digest());
        parts.warnings.push(Warning { image: None, platform: None, message: message.into(), hint: None });
        let more =
            |part: &Part<'_>| (part.found.child.attestations().len(), part.found.child.listed() != &Listed::default());
        let (gone, place) = if more(&part) > more(kept) { (std::mem::replace(kept, part), kept) } else { (part, kept) };
        place.say(&gone.entry);
    }
    parts
}

/// The index under `named`.
async fn read(place: &Place, tag: &Tag, named: &TagRef<Location>) -> Result<Flat, Failure> {
    let reading = async {
        let top = references::fetch(place, &Selector::Tag(tag.clone())).await?;
        standing::index(place, &top).await
    };
    reading.await.map_err(|error| {
        let hint = "there is nothing to add to or to remove from; without `--append` the index is new";
        references::told(&[(named.to_string(), error)], None, Missing::Named(hint))
    })
}

/// What is to be removed is there.
fn check(named: &TagRef<Location>, index: &ImageIndex, without: &[Platform]) -> Result<(), Failure> {
    let absent = without.iter().filter(|platform| !index.manifests.iter().any(|entry| is_of(entry, platform)));
    let absent: Vec<_> = absent.map(ToString::to_string).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let message = format!("{named} has no {} that could be removed", absent.join(" and no "));
    Err(failure(Phase::Verify, &message, Some(format!("it has {}", held(&index.manifests)))))
}

fn is_of(entry: &Descriptor, platform: &Platform) -> bool {
    !entry.is_attestation() && platform_of(entry).is_some_and(|own| platform.covers(&own))
}

/// Whether an image of `platform` comes in the place of `entry`, which stands among `entries`: it is of the same
/// platform, but for a patch of its operating system; or it says no version of that, and `entry` alone is of it.
fn is_replaced(entry: &Descriptor, platform: &Platform, entries: &[&Descriptor]) -> bool {
    let is_alone = || entries.iter().filter(|one| is_of(one, platform)).count() == 1;
    let is_renewed = platform_of(entry).is_some_and(|own| own.is_renewed_by(platform));
    !entry.is_attestation() && (is_renewed || (is_of(entry, platform) && is_alone()))
}

/// An entry of the index that is added to, and what comes in its place.
enum Slot<'a> {
    /// A source is of this platform.
    Taken(Platform),
    /// The image stays.
    Kept(Box<Part<'a>>),
}

/// The entries of `index` that stay or are replaced, in order.
async fn standing_images<'a>(
    place: &'a Place,
    named: &TagRef<Location>,
    index: &ImageIndex,
    (sources, without): (&[Part<'_>], &[Platform]),
    policy: AttestationPolicy,
) -> Result<Vec<Slot<'a>>, Failure> {
    let stays = |entry: &&Descriptor| !entry.is_attestation() && !without.iter().any(|gone| is_of(entry, gone));
    let entries: Vec<_> = index.manifests.iter().filter(stays).collect();
    Budget::default()
        .spend(entries.iter().map(|entry| entry.size))
        .map_err(|error| references::told(&[(named.to_string(), error)], None, Missing::Expected(None)))?;
    let reading = stream::iter(&entries).map(async |entry| {
        let replaced =
            sources.iter().map(|source| source.found.child.platform()).find(|one| is_replaced(entry, one, &entries));
        if let Some(platform) = replaced {
            return Ok(Slot::Taken(platform.clone()));
        }
        let found = entry_image(place, entry, index, &EntryOverride::default(), policy).await;
        found.map(|found| Slot::Kept(Box::new(Part { from: place, found, entry: EntryOverride::default() })))
    });
    let read: Vec<Result<Slot<'_>, ConfirmError>> = reading.buffered(AT_ONCE).collect().await;
    let (mut slots, mut faults) = (Vec::new(), Vec::new());
    for (entry, slot) in entries.iter().zip(read) {
        match slot {
            Ok(slot) => slots.push(slot),
            Err(error) => {
                let what = platform_of(entry).map_or_else(|| entry.digest.to_string(), |platform| platform.to_string());
                faults.push((format!("{what} of {named}"), error));
            }
        }
    }
    if faults.is_empty() {
        Ok(slots)
    } else {
        Err(references::told(&faults, None, Missing::Expected(Some(GIVE_OR_REMOVE))))
    }
}

impl<'a> Parts<'a> {
    /// Puts what was there before what is new; a source stands where its platform stood.
    fn join(&mut self, slots: Vec<Slot<'a>>) {
        let mut new = std::mem::take(&mut self.images);
        for slot in slots {
            match slot {
                Slot::Kept(part) => self.images.push(*part),
                Slot::Taken(platform) => {
                    let source = new.iter().position(|part| *part.found.child.platform() == platform);
                    self.images.extend(source.map(|place| new.remove(place)));
                }
            }
        }
        self.images.append(&mut new);
    }

    /// Keeps what `index` has annotated. What was said of an image that is replaced is not said of the new one.
    fn keep_annotations(&mut self, index: &ImageIndex) -> Result<(), ConfirmError> {
        self.annotations.clone_from(&index.annotations);
        let all: Vec<_> = index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
        for entry in &all {
            let Some(platform) = platform_of(entry) else { continue };
            let mut parts = self.images.iter_mut();
            let Some(part) = parts.find(|part| is_replaced(entry, part.found.child.platform(), &all)) else {
                continue;
            };
            let child = &mut part.found.child;
            if *child.manifest().digest() == entry.digest {
                child.listed_also_as(entry)?;
            } else if !entry.annotations.is_empty() {
                let keys: Vec<&str> = entry.annotations.keys().map(String::as_str).collect();
                let message = format!("annotations go with the image that is replaced: {}", keys.join(", "));
                let hint =
                    format!("what holds of the new one, too, is said with --annotation 'entry[{platform}]:KEY=VALUE'");
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
