//! Chooses the third-party images of `from:` in their sources, before anything starts.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use crate::oci::{EntryOverride, Platform, RawManifest, Reference, Repository};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::fetch::confirm;
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::publish::target::Target;
use crate::run::schedule::scheduled::{JobNumber, Schedule, ScheduledImport, ScheduledJob};
use crate::run::storage::Storage;
use crate::run::storage::registry::Registry;

/// The number of sources that polyarch reads at once.
const AT_ONCE: usize = 8;

/// The image of a platform in its source. polyarch reads it once, so a tag that moves in the source later has no
/// effect.
#[derive(Debug, Clone)]
pub(in crate::run) struct Chosen {
    pub(in crate::run) from: Storage,
    /// The repository of the source.
    pub(in crate::run) repository: Repository,
    pub(in crate::run) found: Found,
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
    failure(phase, &format!("{id}: its source {from}: {}", chain(error)), error.hint()).because(error)
}
