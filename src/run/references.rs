//! `polyarch join -t TARGET SOURCE…`: the joiner on what is in registries, without a plan.

use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::attestations::{self, Beside, LeftOut};
use super::carry::{self, Load};
use super::confirm::{ConfirmError, Found, config_of};
use super::event::{Event, Failure, Phase};
use super::failure::{chain, failure};
use super::join::JoinRun;
use super::place::{FinalTags, Place, Source};
use super::publication::{Destination, Placed};
use super::publish::{self, Target};
use super::revisions;
use super::shutdown::Shutdown;
use super::wait::{Source as Sought, Wait, look_for};
use crate::oci::{
    Attestation, Child, ChildError, Content, EncodedIndex, EntryOverride, Platform, PlatformFields, RawManifest,
    Selector, TagRef,
};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;

/// Images of one index that are looked at at once: enough that the registry never waits for us.
const AT_ONCE: usize = 16;

/// Images, wherever they are, that are to be one index.
#[derive(Debug, Clone)]
pub struct References {
    /// The images, in the order of the index; an index stands for all of its images.
    pub sources: Vec<Source>,
    /// Where the index goes, each repository once, at least one; images are copied where they are not.
    pub targets: Vec<FinalTags>,
    /// What becomes of the images' attestations.
    pub attestations: AttestationPolicy,
}

/// The images of one source.
type Gathered<'a> = (&'a Place, Vec<Found>);

impl References {
    /// What the index is called in events: its first repository.
    pub(super) fn name(&self) -> String {
        self.targets.first().map(|target| target.place.repository.to_string()).unwrap_or_default()
    }

    /// The final tags.
    pub(super) fn tags(&self) -> Vec<TagRef> {
        let each = self.targets.iter().flat_map(|target| target.tags.iter().map(move |tag| (target, tag)));
        each.map(|(target, tag)| target.place.repository.tag(tag.clone())).collect()
    }

    /// The index, without anything being copied or put.
    pub(super) async fn preview(&self) -> Result<EncodedIndex, Failure> {
        let gathered = self.find(None).await?;
        self.index(&gathered)
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
        let gathered = self.find(wait.as_ref()).await?;
        let index = self.index(&gathered)?;
        let found: Vec<Found> = gathered.iter().flat_map(|(_, found)| found.clone()).collect();
        if let Some(warning) = revisions::warning(&image, &found) {
            drop(events.send(Event::Warning(warning)).await);
        }
        attestations::warn(&image, &found, events).await;
        let loads: Vec<_> = gathered.iter().map(|(from, found)| Load { from, manifests: manifests(found) }).collect();
        for target in &self.targets {
            carry::carry(&loads, &target.place, &image, events).await?;
        }
        publish::tell(&image, &index, events).await;
        let destination = |one: &FinalTags| Destination {
            registry: one.place.registry.clone(),
            target: self.target(one, &gathered),
            pushed: Vec::new(),
        };
        let destinations = self.targets.iter().map(destination).collect();
        let placed = Placed { index, destinations, names: Vec::new() };
        placed.admit(run.gates, events, shutdown).await?.put(events, shutdown).await
    }

    /// Fetches every image; each says its platform itself. All that is wrong is told.
    async fn find(&self, wait: Option<&Wait<'_>>) -> Result<Vec<Gathered<'_>>, Failure> {
        let sought: Vec<_> =
            self.sources.iter().map(|source| Sought { name: source.to_string(), what: source }).collect();
        let finding = async |source: &&Source| images(source, self.attestations).await;
        let (mut gathered, mut faults) = (Vec::new(), Vec::new());
        let looked = look_for(&sought, wait, finding).await;
        for (source, result) in sought.into_iter().zip(looked) {
            match result {
                Ok(images) => gathered.push((&source.what.place, images)),
                Err(error) => faults.push((source.name, error)),
            }
        }
        if faults.is_empty() { Ok(gathered) } else { Err(told(&faults, wait, None)) }
    }

    /// The index, which is the same in every repository.
    fn index(&self, gathered: &[Gathered<'_>]) -> Result<EncodedIndex, Failure> {
        let found: Vec<Found> = gathered.iter().flat_map(|(_, found)| found.clone()).collect();
        let Some(destination) = self.targets.first() else {
            return Err(failure(Phase::Plan, "no target is named", None));
        };
        publish::join(&self.target(destination, gathered), found)
    }

    fn target(&self, destination: &FinalTags, gathered: &[Gathered<'_>]) -> Target {
        let mut platforms: Vec<Platform> = Vec::new();
        for child in gathered.iter().flat_map(|(_, found)| found) {
            // A platform that is there twice is refused by the draft.
            if !platforms.contains(child.child.platform()) {
                platforms.push(child.child.platform().clone());
            }
        }
        let repository = destination.place.repository.clone();
        let here = gathered.iter().filter(|(place, _)| place.repository == repository).flat_map(|(_, found)| found);
        Target {
            image: self.name(),
            read_here: here.map(|found| found.child.manifest().digest().clone()).collect(),
            repository,
            expected: platforms.into_iter().map(|platform| (platform, EntryOverride::default())).collect(),
            arch_tags: Vec::new(),
            tags: destination.tags.clone(),
            attestations: self.attestations,
            copies: Vec::new(),
        }
    }
}

/// The manifests of images and of what is attested of them.
pub(super) fn manifests(found: &[Found]) -> Vec<&RawManifest> {
    let attestations = found.iter().flat_map(|found| found.child.attestations());
    found.iter().map(|found| found.child.manifest()).chain(attestations.map(Attestation::manifest)).collect()
}

/// All faults in one failure; `missing` is what to do about what is not there.
pub(super) fn told(faults: &[(String, ConfirmError)], wait: Option<&Wait<'_>>, missing: Option<&str>) -> Failure {
    // A refusal is graver than an absence, though of a later phase: it is what the exit code says.
    let refused = faults.iter().any(|(_, error)| error.is_refusal());
    let text = |(name, error): &(String, ConfirmError)| {
        if error.is_missing() { format!("{name} is not there") } else { format!("{name}: {}", chain(error)) }
    };
    let texts = faults.iter().map(text).collect::<Vec<_>>().join("; ");
    let waited = wait.filter(|_| faults.iter().all(|(_, error)| error.may_come()));
    if let Some(Wait { limit, .. }) = waited {
        let hint = "see what became of the jobs that push it; `polyarch join` may be run again".to_owned();
        return failure(Phase::Timeout, &format!("waited {limit:?}: {texts}"), Some(hint));
    }
    let phase = if refused { Phase::Verify } else { Phase::Publish };
    let missing = missing.filter(|_| faults.first().is_some_and(|(_, error)| error.is_missing()));
    let hint = missing.map(str::to_owned).or_else(|| faults.iter().find_map(|(_, error)| error.hint()));
    failure(phase, &texts, hint)
}

/// The image that `source` names, or the images of the index that it names.
async fn images(source: &Source, policy: AttestationPolicy) -> Result<Vec<Found>, ConfirmError> {
    let Source { place, selector } = source;
    let top = fetch(place, selector).await?;
    let index = match top.content().map_err(ChildError::from)? {
        Content::Image(_) => {
            let child = image(place, top.clone(), None).await?;
            return Ok(vec![Found { child, top: top.digest().clone(), left_out: LeftOut::default() }]);
        }
        Content::Index(index) => index,
    };
    let entries = index.manifests.iter().filter(|entry| !entry.is_attestation());
    let finding = entries.map(async |entry| {
        let claimed = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
        let child = async {
            let manifest = fetch(place, &Selector::Digest(entry.digest.clone())).await?;
            image(place, manifest, claimed).await
        };
        let beside = Beside::of(&entry.digest, &index.manifests, policy);
        let attestations = beside.fetch(place.client(), &place.repository, Visibility::Settled);
        let (mut child, manifests) = try_join(child, attestations).await?;
        let left_out = beside.attest(&mut child, manifests)?;
        Ok(Found { child, top: top.digest().clone(), left_out })
    });
    stream::iter(finding).buffered(AT_ONCE).try_collect().await
}

async fn fetch(place: &Place, selector: &Selector) -> Result<RawManifest, ConfirmError> {
    Ok(place.client().get_manifest(place.repository.path(), selector, Visibility::Settled).await?)
}

/// The image of `manifest`, of the platform that its entry claims, else of the one that its config says.
async fn image(place: &Place, manifest: RawManifest, claimed: Option<Platform>) -> Result<Child, ConfirmError> {
    let config = config_of(place.client(), &place.repository, &manifest).await?;
    let said = || serde_json::from_slice::<PlatformFields>(&config).ok()?.platform().ok();
    let platform = claimed.or_else(said).ok_or(ConfirmError::NoPlatform)?;
    Ok(Child::new(manifest, &config, &platform, &EntryOverride::default())?)
}
