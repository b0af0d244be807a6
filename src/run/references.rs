//! `polyarch join -t TARGET SOURCE…`: the joiner on what is in registries and layouts, without a plan.

use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::attestations::{self, Beside, LeftOut};
use super::carry;
use super::confirm::{ConfirmError, Found, config_of, held, listed};
use super::edit::{Edit, Part, Parts};
use super::event::{Event, Failure, Phase, Warning};
use super::failure::{chain, failure};
use super::flat::{Flat, Opening};
use super::join::JoinRun;
use super::listing::Budget;
use super::place::{FinalTags, Place, Source};
use super::publication::{Destination, Placed};
use super::publish::{self, Target};
use super::reach::reached;
use super::repositories;
use super::revisions;
use super::shutdown::Shutdown;
use super::wait::{Source as Sought, Wait, look_for};
use crate::oci::{
    Attestation, Child, ChildError, Content, Descriptor, EncodedIndex, EntryOverride, ImageIndex, Location, Platform,
    PlatformFields, RawManifest, Selector, TagRef,
};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;

/// Images of one index that are looked at at once: enough that the registry never waits for us.
pub(super) const AT_ONCE: usize = 16;
/// The hint for a source that is missing.
const NOT_THERE: &str = "push it first, or wait for it with `--wait 30m`";

/// Images, wherever they are, that are to be one index.
#[derive(Debug, Clone)]
pub struct References {
    /// The images, in the order of the index; an index stands for all of its images.
    pub sources: Vec<JoinSource>,
    /// Where the index goes, each place once, at least one; images are copied where they are not.
    pub targets: Vec<FinalTags>,
    /// What becomes of the images' attestations.
    pub attestations: AttestationPolicy,
    /// What the index is to be beyond that.
    pub edit: Edit,
}

/// What is joined, and as what.
#[derive(Debug, Clone)]
pub struct JoinSource {
    /// What is read.
    pub source: Source,
    /// What its entry says, whatever its config does: of one image only.
    pub entry: EntryOverride,
}

impl References {
    /// What the index is called in events: its first repository.
    pub(super) fn name(&self) -> String {
        self.targets.first().map(|target| target.place.location().to_string()).unwrap_or_default()
    }

    /// The final tags.
    pub(super) fn tags(&self) -> Vec<TagRef<Location>> {
        let each = self.targets.iter().flat_map(|target| target.tags.iter().map(move |tag| (target, tag)));
        each.map(|(target, tag)| target.place.tag(tag.clone())).collect()
    }

    /// The index, without anything being copied or put.
    pub(super) async fn preview(&self) -> Result<EncodedIndex, Failure> {
        let parts = self.gather(None).await?;
        Ok(self.index(&parts)?.0)
    }

    /// Everywhere the images, then everywhere the tags.
    pub(super) async fn join(
        &self,
        run: &JoinRun,
        events: &mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let image = self.name();
        let wait = run.wait.map(|limit| Wait { image: &image, limit, events });
        let parts = self.gather(wait.as_ref()).await?;
        let (index, said) = self.index(&parts)?;
        self.warn(&parts, said, events).await;
        let loads: Vec<_> = parts.images.iter().map(Part::load).collect();
        let mut destinations = Vec::new();
        for one in &self.targets {
            let brought = carry::carry(&loads, &one.place, &image, events).await?;
            let mut target = self.target(one, &parts.images);
            target.there.extend(brought);
            destinations.push(Destination { target, pushed: Vec::new() });
        }
        publish::tell(&image, &index, events).await;
        let placed = Placed { index, destinations, names: Vec::new() };
        placed.admit(run.gates, events, shutdown).await?.put(events, shutdown).await
    }

    async fn warn(&self, parts: &Parts<'_>, said: Option<&str>, events: &mpsc::Sender<Event>) {
        let image = self.name();
        let found: Vec<_> = parts.images.iter().map(|part| part.found.clone()).collect();
        let said = said.map(|said| Warning { image: None, platform: None, message: said.into(), hint: None });
        let revisions = revisions::warning(&image, &found);
        for warning in revisions.into_iter().chain(parts.warnings.iter().cloned()).chain(said) {
            let warning = Warning { image: Some(image.clone()), ..warning };
            drop(events.send(Event::Warning(warning)).await);
        }
        attestations::warn(&image, &found, events).await;
    }

    /// Fetches every image; each says its platform itself.
    async fn gather(&self, wait: Option<&Wait<'_>>) -> Result<Parts<'_>, Failure> {
        let targets = || self.targets.iter().map(|target| &target.place);
        let places = self.sources.iter().map(|source| &source.source.place).chain(targets());
        let (sources, ()) = reached(places, try_join(self.find(wait), repositories::are_there(targets()))).await?;
        let absent = self.edit.platforms.iter();
        let absent = absent.filter(|wanted| !sources.iter().any(|part| wanted.covers(part.found.child.platform())));
        let absent: Vec<_> = absent.map(ToString::to_string).collect();
        if !absent.is_empty() {
            let message = format!("none of the sources has {}", absent.join(", "));
            return Err(failure(Phase::Verify, &message, Some("`--platform` names what is taken of them".into())));
        }
        let Some(target) = self.targets.first() else {
            return Err(failure(Phase::Plan, "no target is named", None));
        };
        let mut parts = self.edit.assemble(sources, target, self.attestations).await?;
        parts.images.iter_mut().for_each(|part| part.found.leave_out_what_is_refused(targets()));
        Ok(parts)
    }

    /// The images of all sources, in their order. All that is wrong is told.
    async fn find(&self, wait: Option<&Wait<'_>>) -> Result<Vec<Part<'_>>, Failure> {
        let sought = |source| Sought { name: JoinSource::name(source), what: source };
        let sought: Vec<_> = self.sources.iter().map(sought).collect();
        let finding = async |source: &&JoinSource| images(source, &self.edit.platforms, self.attestations).await;
        let (mut parts, mut faults) = (Vec::new(), Vec::new());
        let looked = look_for(&sought, wait, finding).await;
        for (Sought { name, what }, result) in sought.into_iter().zip(looked) {
            let part = |found| Part { from: &what.source.place, found, entry: what.entry.clone() };
            match result {
                Ok(images) => parts.extend(images.into_iter().map(part)),
                Err(error) => faults.push((name, error)),
            }
        }
        if faults.is_empty() { Ok(parts) } else { Err(told(&faults, wait, Missing::Named(NOT_THERE))) }
    }

    /// The index, which is the same in every repository, and what is to be said of it.
    fn index(&self, parts: &Parts<'_>) -> Result<(EncodedIndex, Option<&str>), Failure> {
        let Some(destination) = self.targets.first() else {
            return Err(failure(Phase::Plan, "no target is named", None));
        };
        let found = parts.images.iter().map(|part| part.found.clone()).collect();
        let draft = publish::draft(&self.target(destination, &parts.images), found);
        let draft = draft.map_err(|failure| Failure {
            hint: self.hint(&parts.images).map(Into::into).or(failure.hint),
            ..failure
        })?;
        self.edit.encode(draft, parts)
    }

    /// What is of one platform, or what was expected.
    fn hint(&self, parts: &[Part<'_>]) -> Option<String> {
        let platform = |part: &Part<'_>| part.found.child.platform().clone();
        let name = |part: &Part<'_>| part.from.digest(part.found.child.manifest().digest().clone());
        let twice = parts.iter().find(|one| parts.iter().filter(|other| platform(other) == platform(one)).count() > 1);
        if let Some(twice) = twice.map(platform) {
            let of_it: Vec<_> = parts.iter().filter(|part| platform(part) == twice).collect();
            let named: Vec<_> = of_it.iter().map(|part| name(part).to_string()).collect();
            return Some(format!("{twice} is {}", named.join(" and ")));
        }
        let expect = self.edit.expect.as_ref()?;
        let expect: Vec<_> = expect.iter().map(ToString::to_string).collect();
        Some(format!("`--expect` says {}", expect.join(", ")))
    }

    /// Where the index goes, and what it is to be: what is expected, else what was found.
    fn target(&self, destination: &FinalTags, parts: &[Part<'_>]) -> Target<Place> {
        let of = |platform: &Platform| parts.iter().find(|part| platform.covers(part.found.child.platform()));
        let entry = |platform: &Platform| of(platform).map(|part| part.entry.clone()).unwrap_or_default();
        let mut platforms = self.edit.expect.clone().unwrap_or_default();
        if self.edit.expect.is_none() {
            for part in parts {
                // A platform that is there twice is refused by the draft.
                if !platforms.contains(part.found.child.platform()) {
                    platforms.push(part.found.child.platform().clone());
                }
            }
        }
        let here: Vec<_> = parts.iter().filter(|part| *part.from == destination.place).collect();
        Target {
            image: self.name(),
            read_here: here.iter().map(|part| part.found.child.manifest().digest().clone()).collect(),
            there: here.iter().flat_map(|part| part.found.there.clone()).collect(),
            place: destination.place.clone(),
            expected: platforms.into_iter().map(|platform| (platform.clone(), entry(&platform))).collect(),
            arch_tags: Vec::new(),
            tags: destination.tags.clone(),
            attestations: self.attestations,
            copies: Vec::new(),
            base: self.edit.base.clone(),
        }
    }
}

impl JoinSource {
    fn name(&self) -> String {
        self.source.to_string()
    }
}

/// The manifests of images and of what is attested of them.
pub(super) fn manifests(found: &[Found]) -> Vec<&RawManifest> {
    let attestations = found.iter().flat_map(|found| found.child.attestations());
    found.iter().map(|found| found.child.manifest()).chain(attestations.map(Attestation::manifest)).collect()
}

/// Something that is not there, and what to do about it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Missing<'a> {
    /// The user named it.
    Named(&'a str),
    /// The plan or an index leads to it.
    Expected(Option<&'a str>),
}

/// All faults in one failure.
pub(super) fn told(faults: &[(String, ConfirmError)], wait: Option<&Wait<'_>>, missing: Missing<'_>) -> Failure {
    // A refusal is graver than an absence, though of a later phase: it is what the exit code says.
    let is_untrue = |error: &ConfirmError| match missing {
        Missing::Named(_) => error.is_refusal() || error.is_missing(),
        Missing::Expected(_) => error.is_refusal(),
    };
    let refused = faults.iter().any(|(_, error)| is_untrue(error));
    let text = |(name, error): &(String, ConfirmError)| match error {
        _ if error.is_missing() => format!("{name} is not there"),
        ConfirmError::Suffix(_) => format!("{name} {error}"),
        _ => format!("{name}: {}", chain(error)),
    };
    let texts = faults.iter().map(text).collect::<Vec<_>>().join("; ");
    let waited = wait.filter(|_| faults.iter().all(|(_, error)| error.may_come()));
    if let Some(Wait { limit, .. }) = waited {
        let hint = "see what became of the jobs that push it; `polyarch join` may be run again".to_owned();
        return failure(Phase::Timeout, &format!("waited {limit:?}: {texts}"), Some(hint));
    }
    let phase = if refused { Phase::Verify } else { Phase::Publish };
    let missing = match missing {
        Missing::Named(hint) => Some(hint),
        Missing::Expected(hint) => hint,
    };
    let missing = missing.filter(|_| faults.first().is_some_and(|(_, error)| error.is_missing()));
    let hint = missing.map(str::to_owned).or_else(|| faults.iter().find_map(|(_, error)| error.hint()));
    failure(phase, &texts, hint)
}

/// The image that `source` names, or the images of the index that it names: of `wanted` only, unless that is empty.
async fn images(
    source: &JoinSource,
    wanted: &[Platform],
    policy: AttestationPolicy,
) -> Result<Vec<Found>, ConfirmError> {
    let JoinSource { source: Source { place, selector }, entry: said } = source;
    let is_wanted = |platform: &Platform| wanted.is_empty() || wanted.iter().any(|one| one.covers(platform));
    let top = fetch(place, selector).await?;
    let mut found = Vec::new();
    let held = match top.content().map_err(ChildError::from)? {
        Content::Image(_) => {
            let child = image(place, top.clone(), None, said).await?;
            found.push(Found::read(child, top.digest().clone(), LeftOut::default()));
            found.iter().map(|found| found.child.platform().to_string()).collect()
        }
        Content::Index(index) => {
            let wanted = if said.platform.is_some() { &[] } else { wanted };
            let opening = Opening { place, visibility: Visibility::Settled, wanted };
            let Flat { index, annotations } = opening.flatten(index).await?;
            let listed = |entry: &&Descriptor| {
                let platform = platform_of(entry).map(|own| said.over(&own)).or_else(|| said.platform().cloned());
                !entry.is_attestation() && platform.is_none_or(|platform| is_wanted(&platform))
            };
            let entries: Vec<_> = index.manifests.iter().filter(listed).collect();
            if entries.len() > 1 && *said != EntryOverride::default() {
                return Err(ConfirmError::Several(entries.len()));
            }
            Budget::default().spend(entries.iter().map(|entry| entry.size))?;
            let finding = entries.iter().map(async |entry| entry_image(place, entry, &index, said, policy).await);
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
    as_tagged(selector, said, &found)?;
    Ok(found)
}

/// Refuses images of another architecture than that in which their tag ends, unless it is said what they are.
fn as_tagged(selector: &Selector, said: &EntryOverride, found: &[Found]) -> Result<(), ConfirmError> {
    let Selector::Tag(tag) = selector else { return Ok(()) };
    let mut platforms = found.iter().map(|found| found.child.platform());
    let other = platforms.find(|platform| said.platform.is_none() && tag.contradicts(platform));
    other.map_or(Ok(()), |platform| Err(ConfirmError::Suffix(platform.clone())))
}

/// The platform that an entry claims.
pub(super) fn platform_of(entry: &Descriptor) -> Option<Platform> {
    entry.platform.as_ref()?.platform().ok()
}

/// The image of an entry of `index`, with what is attested of it there.
pub(super) async fn entry_image(
    place: &Place,
    entry: &Descriptor,
    index: &ImageIndex,
    said: &EntryOverride,
    policy: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let child = async {
        let manifest = listed(place, entry, Visibility::Settled).await?;
        let mut child = image(place, manifest, platform_of(entry), said).await?;
        child.listed_as(entry)?;
        Ok(child)
    };
    let beside = Beside::of(&entry.digest, &index.manifests, policy);
    let attestations = beside.fetch(place, Visibility::Settled);
    let (mut child, manifests) = try_join(child, attestations).await?;
    let left_out = beside.attest(&mut child, manifests)?;
    Ok(Found::read(child, entry.digest.clone(), left_out))
}

pub(super) async fn fetch(place: &Place, selector: &Selector) -> Result<RawManifest, ConfirmError> {
    Ok(place.manifest(selector, Visibility::Settled).await?)
}

/// The image of `manifest`: of the platform that is said, else that its entry claims, else that its config says.
async fn image(
    place: &Place,
    manifest: RawManifest,
    claimed: Option<Platform>,
    said: &EntryOverride,
) -> Result<Child, ConfirmError> {
    let config = config_of(place, &manifest).await?;
    let own = || {
        let own = PlatformFields::of_config(&config)?.and_then(|own| own.platform().ok());
        Ok::<_, ConfirmError>(own.map(|own| own.base()))
    };
    // What an entry demands of its operating system is its own word: a config need not say it.
    let said_platform = said.platform().cloned().or_else(|| claimed.map(|claimed| claimed.base()));
    let platform = said_platform.map_or_else(own, |said| Ok(Some(said)))?.ok_or(ConfirmError::NoPlatform)?;
    Ok(Child::new(manifest, &config, &platform, said)?)
}
