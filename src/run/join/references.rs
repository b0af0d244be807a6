//! `polyarch join -t TARGET SOURCE…`: joins images of registries and layouts without a plan.

use std::time::Duration;

use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::edit::{Edit, Part, Parts};
use crate::oci::{ChildError, Content, Descriptor, EncodedIndex, EntryOverride, Location, Platform, Selector, TagRef};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, Phase, Warning};
use crate::run::fetch::attestations::{self};
use crate::run::fetch::confirm::held;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::flat::{FlattenedIndex, Flattener};
use crate::run::fetch::found::Dropped;
use crate::run::fetch::found::Found;
use crate::run::fetch::revisions;
use crate::run::fetch::wait::{Source as Sought, Wait, look_for};
use crate::run::fetch::walk::Walk;
use crate::run::join::missing::{AT_ONCE, Missing, as_failure, entry_image, fetch, image};
use crate::run::preflight::repositories;
use crate::run::publish::draft;
use crate::run::publish::options::Gates;
use crate::run::publish::publication::{self, NotMoved};
use crate::run::publish::stage::{self, StagedIndex};
use crate::run::publish::target::Target;
use crate::run::storage::reach::reached;
use crate::run::storage::{FinalTags, Source, Storage};

/// The hint for a missing source.
const NOT_THERE: &str = "push the image first, or wait for it with `--wait 30m`";

/// Images in any storages, which become one index.
#[derive(Debug, Clone)]
pub struct References {
    /// The images, in the order of the index. A source that is an index stands for all of its images.
    pub sources: Vec<JoinSource>,
    /// The storages that get the index. Each storage occurs once, and there is at least one storage. polyarch copies the
    /// images to storages that lack them.
    pub targets: Vec<FinalTags>,
    /// Whether the index keeps the images' attestations.
    pub attestations: AttestationPolicy,
    /// The other changes to the index.
    pub edit: Edit,
}

/// An image to join, and the overrides of its entry.
#[derive(Debug, Clone)]
pub struct JoinSource {
    /// The image to read.
    pub source: Source,
    /// Fields of the entry that replace those of the image's config. They are allowed only for a source with one image.
    pub entry: EntryOverride,
}

impl References {
    /// The name of the index in events, which is its first repository.
    pub(in crate::run) fn name(&self) -> String {
        self.targets.first().map(|target| target.storage.location().to_string()).unwrap_or_default()
    }

    /// The final tags.
    pub(in crate::run) fn tags(&self) -> Vec<TagRef<Location>> {
        let each = self.targets.iter().flat_map(|target| target.tags.iter().map(move |tag| (target, tag)));
        each.map(|(target, tag)| target.storage.tag(tag.clone())).collect()
    }

    /// Returns the index, but copies and pushes nothing.
    pub(super) async fn preview(&self) -> Result<EncodedIndex, Failure> {
        let parts = self.gather(None).await?;
        Ok(self.index(&parts)?.0)
    }

    /// Copies the images to every storage, and then moves the tags in every storage.
    pub(in crate::run) async fn join(
        &self,
        (wait, gates): (Option<Duration>, Gates),
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<(), NotMoved> {
        let staged = self.stage(wait, events).await.map_err(NotMoved::Failed)?;
        publication::publish(vec![staged], gates, events, shutdown).await.into_iter().collect()
    }

    /// Makes the index, and copies its images to every storage.
    async fn stage(&self, wait: Option<Duration>, events: &mpsc::Sender<Event>) -> Result<StagedIndex, Failure> {
        let image = self.name();
        let reporter = ImageReporter { image: &image, events };
        let wait = wait.map(|limit| Wait { image: &image, limit, events });
        let parts = self.gather(wait.as_ref()).await?;
        let (index, note) = self.index(&parts)?;
        warn(&parts, note, reporter).await;
        let sets: Vec<_> = parts.images.iter().map(Part::manifests).collect();
        let mut destinations = Vec::new();
        for one in &self.targets {
            destinations.push(stage::copy_to(self.target(one, &parts.images), &sets, reporter).await?);
        }
        draft::report(&index, reporter).await;
        Ok(StagedIndex { index, destinations, names: Vec::new() })
    }

    /// Fetches every image. Each image names its own platform.
    async fn gather(&self, wait: Option<&Wait<'_>>) -> Result<Parts<'_>, Failure> {
        let targets = || self.targets.iter().map(|target| &target.storage);
        let storages = self.sources.iter().map(|source| &source.source.storage).chain(targets());
        let (sources, ()) = reached(storages, try_join(self.find(wait), repositories::are_there(targets()))).await?;
        let absent = self.edit.platforms.iter();
        let absent = absent.filter(|wanted| !sources.iter().any(|part| wanted.covers(part.found.child.platform())));
        let absent: Vec<_> = absent.map(ToString::to_string).collect();
        if !absent.is_empty() {
            let message = format!("none of the sources has {}", absent.join(", "));
            return Err(failure(
                Phase::Verify,
                &message,
                Some("pass only platforms of the sources with `--platform`".into()),
            ));
        }
        let Some(target) = self.targets.first() else {
            return Err(failure(Phase::Plan, "no target is named", None));
        };
        let mut parts = self.edit.assemble(sources, target, self.attestations).await?;
        parts.images.iter_mut().for_each(|part| part.found.leave_out_what_is_refused(targets()));
        Ok(parts)
    }

    /// Finds the images of all sources, in their order. The failure reports all faults.
    async fn find(&self, wait: Option<&Wait<'_>>) -> Result<Vec<Part<'_>>, Failure> {
        let sought = |source| Sought { name: JoinSource::name(source), what: source };
        let sought: Vec<_> = self.sources.iter().map(sought).collect();
        let finding = async |source: &&JoinSource| images(source, &self.edit.platforms, self.attestations).await;
        let (mut parts, mut faults) = (Vec::new(), Vec::new());
        let looked = look_for(&sought, wait, finding).await;
        for (Sought { name, what }, result) in sought.into_iter().zip(looked) {
            let part = |found| Part { from: &what.source.storage, found, entry: what.entry.clone() };
            match result {
                Ok(images) => parts.extend(images.into_iter().map(part)),
                Err(error) => faults.push((name, error)),
            }
        }
        if faults.is_empty() { Ok(parts) } else { Err(as_failure(&faults, wait, Missing::Named(NOT_THERE))) }
    }

    /// Returns the index, which is the same in every repository, and a warning about it.
    fn index(&self, parts: &Parts<'_>) -> Result<(EncodedIndex, Option<&str>), Failure> {
        let Some(destination) = self.targets.first() else {
            return Err(failure(Phase::Plan, "no target is named", None));
        };
        let found = parts.images.iter().map(|part| part.found.clone()).collect();
        let draft = draft::draft(&self.target(destination, &parts.images), found);
        let draft = draft.map_err(|failure| Failure {
            hint: self.hint(&parts.images).map(Into::into).or(failure.hint),
            ..failure
        })?;
        self.edit.encode(draft, parts)
    }

    /// The hint for an index that does not fit: the images of the same platform, or the expected platforms.
    fn hint(&self, parts: &[Part<'_>]) -> Option<String> {
        let platform = |part: &Part<'_>| part.found.child.platform().clone();
        let name = |part: &Part<'_>| part.from.digest(part.found.child.manifest().digest().clone());
        let twice = parts.iter().find(|one| parts.iter().filter(|other| platform(other) == platform(one)).count() > 1);
        if let Some(twice) = twice.map(platform) {
            let of_it: Vec<_> = parts.iter().filter(|part| platform(part) == twice).collect();
            let named: Vec<_> = of_it.iter().map(|part| name(part).to_string()).collect();
            return Some(format!("pass only one image of {twice}: {}", named.join(" or ")));
        }
        let expect = self.edit.expect.as_ref()?;
        let expect: Vec<_> = expect.iter().map(ToString::to_string).collect();
        Some(format!("correct the sources or `--expect`, which lists {}", expect.join(", ")))
    }

    /// The destination of the index, with the expected platforms. Without `--expect`, these are the platforms of the
    /// images.
    fn target(&self, destination: &FinalTags, parts: &[Part<'_>]) -> Target<Storage> {
        let of = |platform: &Platform| parts.iter().find(|part| platform.covers(part.found.child.platform()));
        let entry = |platform: &Platform| of(platform).map(|part| part.entry.clone()).unwrap_or_default();
        let mut platforms = self.edit.expect.clone().unwrap_or_default();
        if self.edit.expect.is_none() {
            for part in parts {
                // The draft refuses a platform that occurs twice.
                if !platforms.contains(part.found.child.platform()) {
                    platforms.push(part.found.child.platform().clone());
                }
            }
        }
        let here: Vec<_> = parts.iter().filter(|part| *part.from == destination.storage).collect();
        Target {
            image: self.name(),
            read_here: here.iter().map(|part| part.found.child.manifest().digest().clone()).collect(),
            there: here.iter().flat_map(|part| part.found.there.clone()).collect(),
            storage: destination.storage.clone(),
            expected: platforms.into_iter().map(|platform| (platform.clone(), entry(&platform))).collect(),
            arch_tags: Vec::new(),
            tags: destination.tags.clone(),
            attestations: self.attestations,
            copies: Vec::new(),
            base: self.edit.base.clone(),
        }
    }
}

async fn warn(parts: &Parts<'_>, note: Option<&str>, reporter: ImageReporter<'_>) {
    let found: Vec<_> = parts.images.iter().map(|part| part.found.clone()).collect();
    let note = note.map(|note| Warning { image: None, platform: None, message: note.into(), hint: None });
    let revisions = revisions::warning(reporter.image, &found);
    for warning in revisions.into_iter().chain(parts.warnings.iter().cloned()).chain(note) {
        reporter.warn(warning).await;
    }
    attestations::warn(&found, reporter).await;
}

impl JoinSource {
    fn name(&self) -> String {
        self.source.to_string()
    }
}

/// Reads the image that `source` names, or the images of the index that it names. If `wanted` is not empty, only images
/// of these platforms count.
async fn images(
    source: &JoinSource,
    wanted: &[Platform],
    policy: AttestationPolicy,
) -> Result<Vec<Found>, ConfirmError> {
    let JoinSource { source: Source { storage, selector }, entry: over } = source;
    let is_wanted = |platform: &Platform| wanted.is_empty() || wanted.iter().any(|one| one.covers(platform));
    let top = fetch(storage, selector).await?;
    let mut found = Vec::new();
    let held = match top.content().map_err(ChildError::from)? {
        Content::Image(_) => {
            let child = image(storage, top.clone(), None, over).await?;
            found.push(Found::read(child, top.digest().clone(), Dropped::default()));
            found.iter().map(|found| found.child.platform().to_string()).collect()
        }
        Content::Index(index) => {
            let wanted = if over.platform.is_some() { &[] } else { wanted };
            let opening = Flattener { storage, visibility: Visibility::Settled, wanted };
            let FlattenedIndex { index, annotations } = opening.flatten(index).await?;
            let listed = |entry: &&Descriptor| {
                let platform = entry.platform().map(|own| over.over(&own)).or_else(|| over.platform().cloned());
                !entry.is_attestation() && platform.is_none_or(|platform| is_wanted(&platform))
            };
            let entries: Vec<_> = index.manifests.iter().filter(listed).collect();
            if entries.len() > 1 && *over != EntryOverride::default() {
                return Err(ConfirmError::Several(entries.len()));
            }
            Walk::default().enter(entries.iter().map(|entry| entry.size))?;
            let finding = entries.iter().map(async |entry| entry_image(storage, entry, &index, over, policy).await);
            // The futures exist before the stream. Otherwise a spawned task could not await this function.
            let finding: Vec<_> = finding.collect();
            found = stream::iter(finding).buffered(AT_ONCE).try_collect().await?;
            if let Some(first) = found.first_mut() {
                first.left_out.annotations = index.annotations.len() + annotations;
            }
            held(&index.manifests)
        }
    };
    found.retain(|found| is_wanted(found.child.platform()));
    if found.is_empty() && !wanted.is_empty() {
        let wanted = wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(ConfirmError::Unwanted { held, wanted });
    }
    as_tagged(selector, over, &found)?;
    Ok(found)
}

/// Refuses images of another architecture than the suffix of their tag, unless the user specified the platform.
fn as_tagged(selector: &Selector, over: &EntryOverride, found: &[Found]) -> Result<(), ConfirmError> {
    let Selector::Tag(tag) = selector else { return Ok(()) };
    let mut platforms = found.iter().map(|found| found.child.platform());
    let other = platforms.find(|platform| over.platform.is_none() && tag.contradicts(platform));
    other.map_or(Ok(()), |platform| Err(ConfirmError::Suffix(platform.clone())))
}
