//! Keeps images on engines under names that no other run moves, because several runs may share an engine.
//!
//! An image that a run builds has a name of the run's own until the run ends. Another run may move the image's shared
//! name, but the image stays on the engine. If the shared name shows another image, polyarch names its image again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::job::JobRun;
use crate::engine::{Engine, EngineNames};
use crate::oci::{Repository, Tag, TagRef};
use crate::random;
use crate::run::event::failure::chain;
use crate::run::schedule::scheduled::JobNumber;

/// The prefix of tags that belong to one run.
const OWN: &str = "polyarch-run-";
/// The age in seconds after which polyarch takes a run's own name for the name of a killed run. No build takes a week.
const LEFT: u64 = 7 * 24 * 60 * 60;

/// The names of the image that a job builds. `shared` is the arch tag of the image.
pub(super) fn of_job(repository: &Repository, shared: &Tag) -> EngineNames {
    #[expect(clippy::expect_used, reason = "letters, digits and dashes, and fewer than 128 of them")]
    let own = format!("{OWN}{:x}-{:016x}", now(), random::number()).parse().expect("it is a tag");
    EngineNames { own: repository.tag(own), shared: repository.tag(shared.clone()) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether a killed run left `tag`. `now` is in seconds since 1970.
fn is_left(tag: &str, now: u64) -> bool {
    let begun = tag.strip_prefix(OWN).and_then(|rest| u64::from_str_radix(rest.split_once('-')?.0, 16).ok());
    begun.is_some_and(|begun| begun.saturating_add(LEFT) < now)
}

/// The run's own names, until polyarch removes them. polyarch also removes names that killed runs left beside them.
#[derive(Default)]
pub(super) struct OwnNames {
    /// Each name with its job.
    names: Vec<(JobNumber, Arc<Engine>, TagRef)>,
    /// The repositories on engines where polyarch looked for names of killed runs.
    swept: BTreeSet<(usize, String)>,
    removing: JoinSet<()>,
    /// Ends the removals on an engine.
    lost: BTreeMap<usize, CancellationToken>,
}

impl OwnNames {
    /// Notes the own name of a job, which begins. The engine may have the name from now on.
    pub(in crate::run) fn begun(&mut self, number: JobNumber, job: &JobRun) {
        let Some(name) = job.own_name() else { return };
        let (engine, repository) = (job.engine.clone(), name.repository.familiar());
        self.names.push((number, engine.clone(), name.clone()));
        if self.swept.insert((address(&engine), repository.clone())) {
            let of = engine.clone();
            self.unless_lost(&of, async move { remove_left(&engine, &repository).await });
        }
    }

    /// Gives up all names on `engine`, which is lost. A later run removes them.
    pub(in crate::run) fn lost(&mut self, engine: &Arc<Engine>) {
        self.names.retain(|(_, of, _)| !Arc::ptr_eq(of, engine));
        self.lost.entry(address(engine)).or_default().cancel();
    }

    fn unless_lost(&mut self, engine: &Arc<Engine>, removing: impl Future<Output = ()> + Send + 'static) {
        let lost = self.lost.entry(address(engine)).or_default().clone();
        self.removing.spawn(async move { lost.run_until_cancelled(removing).await.unwrap_or_default() });
    }

    /// Begins to remove the own name of a job. The run no longer needs the image on the engine.
    pub(in crate::run) fn ended(&mut self, number: JobNumber) {
        let ended: Vec<_> = self.names.extract_if(.., |(of, ..)| *of == number).collect();
        for (_, engine, name) in ended {
            let of = engine.clone();
            self.unless_lost(&of, async move { removed(&engine, &name.to_string()).await });
        }
    }

    /// Removes all names. A name that stays is harmless: a run that begins a week later removes it.
    pub(in crate::run) async fn remove(&mut self) {
        while let Some(&(number, ..)) = self.names.first() {
            self.ended(number);
        }
        while self.removing.join_next().await.is_some() {}
    }
}

/// The engine, as a key. The run holds all engines, so no two of them have the same address.
fn address(engine: &Arc<Engine>) -> usize {
    Arc::as_ptr(engine).addr()
}

async fn removed(engine: &Engine, name: &str) {
    if let Err(error) = engine.remove_name(name).await {
        tracing::debug!("cannot remove the name {name}: {}", chain(&error));
    }
}

async fn remove_left(engine: &Engine, repository: &str) {
    let Ok(names) = engine.names(&format!("{repository}:{OWN}*")).await else { return };
    let now = now();
    let left = |name: &&String| name.rsplit_once(':').is_some_and(|(_, tag)| is_left(tag, now));
    join_all(names.iter().filter(left).map(async |name| removed(engine, name).await)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_image_name_is_unique_and_stale_after_a_week() {
        let repository: Repository = "127.0.0.1:5000/hello".parse::<crate::oci::Reference>().unwrap().repository;
        let shared: Tag = "1.0-amd64".parse().unwrap();
        let [one, other] = [(); 2].map(|()| of_job(&repository, &shared));
        assert_ne!(one.own, other.own);
        assert_eq!(one.shared.to_string(), "127.0.0.1:5000/hello:1.0-amd64");
        let tag = one.own.tag.as_str();
        assert!(!is_left(tag, now() + LEFT - 60));
        assert!(is_left(tag, now() + LEFT + 60));
        for foreign in ["latest", "polyarch-run-", "polyarch-run-1", "polyarch-run-x-1", "polyarch-runs-1-1"] {
            assert!(!is_left(foreign, u64::MAX), "{foreign}");
        }
    }
}
