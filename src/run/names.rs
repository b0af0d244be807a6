//! Names on engines, where other runs may name images at the same moment.
//!
//! An image that a run builds has a name of the run's own until the run ends. Whoever moves the image's other name,
//! nothing takes the image away. If the other name shows another image, polyarch gives that name again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;

use super::failure::chain;
use super::job::JobRun;
use crate::engine::{Engine, EngineError, EngineNames, Part};
use crate::oci::{Digest, Repository, Tag, TagRef};
use crate::registry::Backoff;

/// How often polyarch gives a name that other runs move, and repeats what depends on it. This is enough for eight runs
/// of one plan at once.
pub(super) const CONTENDED: Backoff = Backoff {
    attempts: 20,
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
    longest_retry_after: Duration::ZERO,
    deadline: Duration::MAX,
};

/// The beginning of tags that are a run's own.
const OWN: &str = "polyarch-run-";
/// The age, in seconds, from which a run's own name is one that a killed run left: no build takes a week.
const LEFT: u64 = 7 * 24 * 60 * 60;

/// The names of the image that a job builds: `shared` is its arch tag.
pub(super) fn of_job(repository: &Repository, shared: &Tag) -> EngineNames {
    #[expect(clippy::expect_used, reason = "letters, digits and dashes, and fewer than 128 of them")]
    let own = format!("{OWN}{:x}-{:016x}", now(), random()).parse().expect("it is a tag");
    EngineNames { own: repository.tag(own), shared: repository.tag(shared.clone()) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A number that another run does not meet; it is not a secret.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Whether a killed run left `tag`, as of `now` in seconds since 1970.
fn is_left(tag: &str, now: u64) -> bool {
    let begun = tag.strip_prefix(OWN).and_then(|rest| u64::from_str_radix(rest.split_once('-')?.0, 16).ok());
    begun.is_some_and(|begun| begun.saturating_add(LEFT) < now)
}

/// Names an image, again while other runs give the same name.
pub(super) async fn name_image(engine: &Engine, id: &Digest, repository: &str, tag: &Tag) -> Result<(), EngineError> {
    let mut attempt = 1;
    loop {
        match engine.name_image(id, repository, tag.as_str()).await {
            Ok(()) => return Ok(()),
            Err(error) => wait_after(&mut attempt, error).await?,
        }
    }
}

/// Names an index of images, again while other runs give the same name.
pub(super) async fn name_index(
    engine: &Engine,
    parts: &[Part],
    repository: &str,
    tag: &Tag,
) -> Result<Digest, EngineError> {
    let mut attempt = 1;
    loop {
        match engine.name_index(parts, repository, tag.as_str()).await {
            Ok(id) => return Ok(id),
            Err(error) => wait_after(&mut attempt, error).await?,
        }
    }
}

/// Waits until a name is given again, where that may help.
async fn wait_after(attempt: &mut u32, error: EngineError) -> Result<(), EngineError> {
    let wait = CONTENDED.wait(*attempt).filter(|_| error.is_of_another_naming());
    let Some(wait) = wait else { return Err(error) };
    tracing::debug!("named again: {}", chain(&error));
    tokio::time::sleep(wait).await;
    *attempt += 1;
    Ok(())
}

/// The names that are a run's own, until they are removed.
#[derive(Default)]
pub(super) struct OwnNames(Vec<(Arc<Engine>, TagRef)>);

impl OwnNames {
    /// Notes the name of a job that begins: from now on the engine may have it.
    pub(super) fn begun(&mut self, job: &JobRun) {
        self.0.extend(job.own_name().map(|name| (job.engine.clone(), name.clone())));
    }

    /// Removes the names, and those that killed runs left beside them. A name that stays harms nobody: the next run, a
    /// week later, removes it.
    pub(super) async fn remove(&mut self) {
        let own = std::mem::take(&mut self.0);
        let mut repositories: BTreeMap<(usize, String), &Arc<Engine>> = BTreeMap::new();
        for (engine, name) in &own {
            repositories.insert((Arc::as_ptr(engine).addr(), name.repository.familiar()), engine);
        }
        let removing = own.iter().map(async |(engine, name)| removed(engine, &name.to_string()).await);
        let left = repositories.iter().map(async |((_, repository), engine)| remove_left(engine, repository).await);
        tokio::join!(join_all(removing), join_all(left));
    }
}

async fn removed(engine: &Engine, name: &str) {
    if let Err(error) = engine.remove_name(name).await {
        tracing::debug!("a name stays: {}", chain(&error));
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
    fn a_name_is_a_runs_own_and_left_after_a_week() {
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
