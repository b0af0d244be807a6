//! Imports of `from:`: polyarch chooses a third-party image in its source and copies it unchanged. No engine takes
//! part.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::end::JobEnd;
use crate::oci::{
    Attestation, Child, EntryOverride, IndexDraft, IndexFormat, Platform, RawManifest, Reference, Repository, Selector,
    Tag,
};
use crate::plan::{AttestationPolicy, Import, Job};
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::job_events::JobReporter;
use crate::run::event::{Doing, Failure, JobEvent, Phase};
use crate::run::fetch::confirm::{self, config_of};
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::preflight::assign::{JobNumber, Schedule, ScheduledImport, ScheduledJob};
use crate::run::preflight::goal::Goal;
use crate::run::publish::target::{FRESH, Target};
use crate::run::storage::Storage;
use crate::run::storage::error::of_storage;
use crate::run::storage::put_tag::{NotPut, TagToMove, put_tag};
use crate::run::storage::registry::Registry;
use crate::run::storage::transfer::{self, ManifestSet, Progress, Transferred};

/// The number of sources that polyarch reads at once.
const AT_ONCE: usize = 8;

/// The image of a platform in its source. polyarch reads it once, so a tag that moves in the source later has no
/// effect.
#[derive(Debug, Clone)]
pub(in crate::run) struct Chosen {
    from: Storage,
    /// The repository of the source.
    repository: Repository,
    found: Found,
}

/// Finds the image of `platform` in `top`.
async fn find_in(
    storage: &Storage,
    top: RawManifest,
    platform: &Platform,
    entry: &EntryOverride,
    attestations: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let top = confirm::flat(storage, top, Visibility::Settled, platform).await?;
    confirm::find_in(storage, &top, Visibility::Settled, platform, entry, attestations).await
}

/// Reads every source of the schedule once. Then chooses the image of each job that imports one. `first` is the registry of the targets.
///
/// # Errors
/// Every source that cannot be read (exit code 3). Every platform that a source lacks, or that differs from the plan
/// (exit code 7).
pub(in crate::run) async fn choose(
    schedule: &Schedule,
    registries: &[Registry],
    (first, targets): (&Registry, &[Target]),
) -> Result<BTreeMap<JobNumber, Chosen>, Vec<Failure>> {
    let imports = schedule.numbered().filter_map(|(number, job)| match job {
        ScheduledJob::Import(import) => Some((number, import)),
        ScheduledJob::Build(_) => None,
    });
    let imports: Vec<_> = imports.collect();
    let tops = tops(&imports, registries).await?;
    let choosing = imports.iter().map(async |(number, import)| {
        let ScheduledImport { job, image, .. } = import;
        let (from, top) = &tops[&job.work.from];
        let target = &targets[image.0];
        let mut found = find_in(from, top.clone(), &job.platform, &job.entry, target.attestations).await;
        if let Ok(found) = &mut found {
            let own = Storage::Repository { registry: first.clone(), repository: target.storage.clone() };
            found.leave_out_what_is_refused(std::iter::once(&own).chain(&target.copies));
        }
        let repository = job.work.from.repository.clone();
        let chosen = found.map(|found| (*number, Chosen { from: from.clone(), repository, found }));
        chosen.map_err(|error| unchosen(import, &error))
    });
    all(choosing).await
}

/// Awaits `reading`, a few at a time. Gives all results, or all failures. The stream holds futures instead of
/// closures, because the caller may be a task.
async fn all<K: Ord, V>(
    reading: impl Iterator<Item = impl Future<Output = Result<(K, V), Failure>>>,
) -> Result<BTreeMap<K, V>, Vec<Failure>> {
    let (mut read, mut failures) = (BTreeMap::new(), Vec::new());
    let reading: Vec<_> = reading.collect();
    for result in stream::iter(reading).buffered(AT_ONCE).collect::<Vec<_>>().await {
        match result {
            Ok((key, value)) => drop(read.insert(key, value)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(read) } else { Err(failures) }
}

/// Reads the manifest that each source names.
async fn tops<'a>(
    imports: &[(JobNumber, &'a ScheduledImport)],
    registries: &[Registry],
) -> Result<BTreeMap<&'a Reference, (Storage, RawManifest)>, Vec<Failure>> {
    let mut first_of: BTreeMap<&Reference, &ScheduledImport> = BTreeMap::new();
    for (_, import) in imports {
        first_of.entry(&import.job.work.from).or_insert(import);
    }
    let reading = first_of.into_iter().map(async |(from, import)| {
        let image = &import.id.image;
        let Some(registry) = registries.iter().find(|registry| registry.host() == from.repository.host()) else {
            let message = format!("{image}: polyarch has no client for the registry of {from}");
            return Err(failure(Phase::Internal, &message, None));
        };
        let storage = Storage::Repository { registry: registry.clone(), repository: from.repository.clone() };
        let top = storage.manifest(&from.selector, Visibility::Settled).await;
        let top = top.map_err(|error| {
            let answered = error.is_not_found() || error.is_refusal();
            let phase = if answered { Phase::Verify } else { Phase::Preflight };
            let missing = if error.is_not_found() { " does not exist" } else { "" };
            failure(phase, &format!("{image}: its source {from}{missing}: {}", chain(&error)), error.hint())
        })?;
        Ok((from, (storage, top)))
    });
    all(reading).await
}

/// The failure of a source that has no image for a job.
fn unchosen(ScheduledImport { id, job, .. }: &ScheduledImport, error: &ConfirmError) -> Failure {
    let from = &job.work.from;
    if let ConfirmError::Index { count: 0, platform, held } = error {
        let message = format!("{}: its source {from} has no {platform}; it has {held}", id.image);
        return failure(
            Phase::Verify,
            &message,
            Some("leave the platform out of `platforms`, or name another source in `from`".into()),
        );
    }
    let phase = if error.is_refusal() || error.is_missing() { Phase::Verify } else { Phase::Preflight };
    failure(phase, &format!("{id}: its source {from}: {}", chain(error)), error.hint())
}

/// The input for copying one platform.
pub(in crate::run) struct ImportRun {
    pub(in crate::run) reporter: JobReporter,
    pub(in crate::run) job: Job<Import>,
    pub(in crate::run) chosen: Chosen,
    pub(in crate::run) to: Storage,
    /// The repository of the target.
    pub(in crate::run) repository: Repository,
    /// The first final tag of the image.
    pub(in crate::run) first_tag: Option<Tag>,
    pub(in crate::run) goal: Goal,
    /// Stops the copy.
    pub(in crate::run) cancel: CancellationToken,
}

impl ImportRun {
    /// Copies the image, and reports a failure or a cancellation.
    pub(in crate::run) async fn run(self) -> JobEnd {
        let end = tokio::select! {
            biased;
            () = self.cancel.cancelled() => JobEnd::Cancelled,
            end = self.steps() => end.unwrap_or_else(JobEnd::Failed),
        };
        match &end {
            JobEnd::Failed(failure) => self.reporter.emit(JobEvent::Failed(failure.clone())).await,
            JobEnd::Cancelled => self.reporter.emit(JobEvent::Cancelled).await,
            JobEnd::Confirmed { .. } | JobEnd::Built { .. } | JobEnd::Imported { .. } | JobEnd::Chosen { .. } => {}
        }
        end
    }

    async fn steps(&self) -> Result<JobEnd, Failure> {
        let child = self.child();
        let (digest, bytes) = (child.manifest().digest(), child.image_bytes());
        let image = self.chosen.repository.digest(digest.clone());
        self.reporter.emit(JobEvent::Chosen { image: image.clone(), bytes }).await;
        if !self.goal.pushes() {
            return Ok(JobEnd::Chosen { image });
        }
        let top = self.top()?;
        self.reporter.emit(JobEvent::CopyStarted { to: self.repository.clone() }).await;
        let started = Instant::now();
        let Transferred { copied, mut present } = self.reporter.while_silent(Doing::Copying, self.copy(&top)).await?;
        self.reporter.emit(JobEvent::Copied { seconds: started.elapsed().as_secs_f64(), copied }).await;
        self.reporter.while_silent(Doing::Confirming, self.confirm(&top)).await?;
        present.insert(child.config().clone());
        let image = self.repository.digest(digest.clone());
        self.reporter.emit(JobEvent::Confirmed { image, bytes }).await;
        let found = Found { top: top.digest().clone(), there: present, ..self.chosen.found.clone() };
        Ok(JobEnd::Imported { found: Box::new(found) })
    }

    fn child(&self) -> &Child {
        &self.chosen.found.child
    }

    /// The manifests that polyarch copies: the image and its attestations.
    fn manifests(&self) -> impl Iterator<Item = &RawManifest> {
        let child = self.child();
        std::iter::once(child.manifest()).chain(child.attestations().iter().map(Attestation::manifest))
    }

    /// The manifest that the arch tag names. It is the image itself, if the image has no attestations and its entry
    /// adds nothing to its config. Otherwise it is an index of this one image with its attestations.
    fn top(&self) -> Result<RawManifest, Failure> {
        let child = self.child();
        if child.attestations().is_empty() && child.says_all_itself() {
            return Ok(child.manifest().clone());
        }
        let refused = |error: &dyn std::error::Error| failure(Phase::Verify, &chain(error), None);
        let draft = IndexDraft::new(std::slice::from_ref(child.platform()), vec![child.clone()]);
        let index =
            draft.map_err(|error| refused(&error))?.encode(IndexFormat::Auto).map_err(|error| refused(&error))?;
        Ok(index.manifest().clone())
    }

    async fn copy(&self, top: &RawManifest) -> Result<Transferred, Failure> {
        let set = ManifestSet { from: &self.chosen.from, manifests: self.manifests().collect() };
        let copied = transfer::copy(&[set], &self.to, Progress::Job(&self.reporter)).await;
        // Copies for a publication fail with the phase `Publish`. An import fails with `Push`.
        let copied = copied.map_err(|failure| match failure.phase {
            Phase::Publish => Failure { phase: Phase::Push, ..failure },
            _ => failure,
        })?;
        if self.job.arch_tags.are_pushed() {
            self.tag(top).await?;
        }
        Ok(copied)
    }

    /// Moves the arch tag, unless the arch tag names `top` already.
    async fn tag(&self, top: &RawManifest) -> Result<(), Failure> {
        let tag = self.repository.tag(self.job.arch_tag.clone());
        let head = self.to.head(&Selector::Tag(tag.tag.clone())).await;
        let head = head.map_err(|error| of_storage(Phase::Push, &format!("ask for {tag}"), &error))?;
        if head.flatten().as_ref() == Some(top.digest()) {
            return Ok(());
        }
        // Another run may move the arch tag to the same manifest at the same time.
        let moved = put_tag(&self.to, TagToMove::Arch { name: &tag, first: self.first_tag.as_ref() }, top).await;
        moved.map(drop).map_err(|not_put| match not_put {
            NotPut::Immutable(failure) => failure,
            NotPut::Failed(error) => of_storage(Phase::Push, &format!("move {tag}"), &error),
        })
    }

    /// Reads the copied content back. The hash covers every byte of the manifests and the config.
    async fn confirm(&self, top: &RawManifest) -> Result<(), Failure> {
        let tagged = self.job.arch_tags.are_pushed().then_some(top);
        let read = async {
            for manifest in self.manifests().chain(tagged) {
                let selector = Selector::Digest(manifest.digest().clone());
                self.to.manifest(&selector, FRESH).await?;
            }
            config_of(&self.to, self.child().manifest()).await
        };
        read.await.map(drop).map_err(|error: ConfirmError| {
            let phase = if error.is_refusal() { Phase::Verify } else { Phase::Push };
            let image = self.repository.digest(self.child().manifest().digest().clone());
            failure(phase, &format!("confirm {image}: {}", chain(&error)), error.hint())
        })
    }
}
