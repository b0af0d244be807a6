//! Refuses builds whose engine needs a login that polyarch must not send to it. The check runs before any build.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::request::BuildRun;
use super::secrets::hidden_of_cache;
use crate::auth::{CredentialSource, Withheld};
use crate::oci::Repository;
use crate::plan::{CacheExport, CachePlace};
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::publish::target::Target;
use crate::run::schedule::engines::Reached;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

impl Reached {
    /// The user's credentials that the engine may get. Anyone on the network can listen to unencrypted TCP to another
    /// machine.
    pub(in crate::run) fn credentials(&self, all: &Arc<dyn CredentialSource>) -> Arc<dyn CredentialSource> {
        if self.spec.host.is_private() {
            return all.clone();
        }
        let channel = format!("engine {} at {}", self.spec.name, self.spec.host);
        Arc::new(Withheld { source: all.clone(), channel })
    }
}

/// The builds whose engine needs a withheld login to push an image or to export a cache.
pub(in crate::run) async fn refusals(run: &BuildRun, schedule: &Schedule, targets: &[Target]) -> Vec<Failure> {
    let (mut seen, mut failures) = (BTreeSet::new(), Vec::new());
    for build in schedule.builds_at_equal_places() {
        let reached = &run.engines.list()[build.engine];
        if reached.spec.host.is_private() {
            continue;
        }
        if has_hidden_cache(&build) && seen.insert((build.engine, "use a cache", String::new())) {
            let (name, host) = (&reached.spec.name, &reached.spec.host);
            let message = format!("{} has a cache with secrets, and {name} at {host} is unencrypted TCP", build.id);
            failures.push(failure(Phase::Preflight, &message, Some("reach the engine over ssh".into())));
        }
        let target = &targets[build.image.0].storage;
        let builds_as = reached.credentials(&run.credentials);
        let pushes_as = run.registries.first.pushes_as(&builds_as);
        let pushed = run.goal.pushes().then_some(("push to", target, &pushes_as));
        // With `--load`, polyarch exports caches only to directories.
        let cache = cache(&build, target).filter(|_| run.goal != Goal::Load);
        let cache = cache.map(|repository| ("export its cache to", repository, &builds_as));
        for (doing, repository, credentials) in pushed.into_iter().chain(cache) {
            if !seen.insert((build.engine, doing, repository.to_string())) {
                continue;
            }
            if let Err(error) = credentials.credential(repository.host(), Some(repository.path())).await {
                let message = format!("{} cannot {doing} {repository}: {}", build.id, chain(&error));
                failures.push(failure(Phase::Preflight, &message, Some(error.hint())));
            }
        }
    }
    failures
}

/// Whether a build would send the secrets of a cache in a storage service to its engine.
fn has_hidden_cache(build: &ScheduledBuild) -> bool {
    hidden_of_cache(&build.job.work.spec.cache).next().is_some()
}

/// The repository that a build exports its cache to.
fn cache<'a>(build: &'a ScheduledBuild, target: &'a Repository) -> Option<&'a Repository> {
    match &build.job.work.spec.cache.to {
        Some(CacheExport::Registry { place: CachePlace::Own(_), .. }) => Some(target),
        Some(CacheExport::Registry { place: CachePlace::Reference(reference), .. }) => Some(&reference.repository),
        Some(CacheExport::Inline | CacheExport::Directory { .. } | CacheExport::Service { .. }) | None => None,
    }
}
