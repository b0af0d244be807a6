//! `verify --pull`: what engines get when they pull an index is what was verified of it.

use std::sync::Arc;

use futures::future::join_all;
use serde::Serialize;

use super::access::Registry;
use super::event::{Failure, Phase};
use super::failure::{chain, failure, of_engine};
use super::preflight::{Engines, Reached};
use super::shutdown::Shutdown;
use super::verify::{Expected, VerifiedEntry, VerifiedIndex};
use crate::auth::CredentialSource;
use crate::engine::{Before, EngineError, EngineErrorKind, HeldImage, ImageStore, PullRequest};
use crate::oci::{Digest, DigestRef, Platform};

/// What engines pull of one index, and as whom.
pub struct Pulling<'a> {
    /// The engines.
    pub engines: &'a Engines,
    /// The registry that they pull from.
    pub registry: &'a Registry,
    /// Who we are there.
    pub credentials: &'a Arc<dyn CredentialSource>,
    /// The index there.
    pub image: DigestRef,
    /// What is known of it.
    pub index: &'a VerifiedIndex,
    /// What the plan says of it.
    pub expected: &'a Expected,
}

/// An image that an engine pulled, and that is the one of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PulledImage {
    /// The engine.
    pub engine: String,
    /// The platform.
    pub platform: Platform,
    /// What the engine calls the image: its config's digest with a graph driver, its manifest's with containerd's store.
    pub image: Digest,
    /// Whether it is still there.
    pub kept: Kept,
}

/// What became of a pulled image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The engine had it before, and has it.
    WasThere,
    /// It was removed again.
    Removed,
}

/// An image that one engine is to pull.
struct Task<'a> {
    reached: &'a Reached,
    credentials: Arc<dyn CredentialSource>,
    image: &'a DigestRef,
    entry: &'a VerifiedEntry,
    /// Whether the plan overrides what the index says of the platform: then the config says another one.
    is_believed: bool,
}

impl Pulling<'_> {
    /// Lets every engine pull the image of its own processor's platform, or of those that the plan lists for it, by the
    /// index's digest. Engines work at once, each on one image after the other. What an engine did not have before is
    /// removed again, also after a failure or a stop.
    pub async fn run(&self, shutdown: &Shutdown) -> (Vec<PulledImage>, Vec<Failure>) {
        let tasks = |reached| self.tasks(reached);
        let by_engine: Vec<Vec<Task<'_>>> = self.engines.list().iter().map(tasks).collect();
        if by_engine.iter().all(Vec::is_empty) {
            return (Vec::new(), vec![self.nobody()]);
        }
        let working = by_engine.iter().map(async |tasks| {
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.run(&mut shutdown.clone()).await);
            }
            results
        });
        let (mut pulled, mut failures) = (Vec::new(), Vec::new());
        for result in join_all(working).await.into_iter().flatten() {
            match result {
                Ok(image) => pulled.push(image),
                Err(failure) => failures.push(failure),
            }
        }
        (pulled, failures)
    }

    fn tasks<'a>(&'a self, reached: &'a Reached) -> Vec<Task<'a>> {
        let credentials = self.registry.pushes_as(&reached.credentials(self.credentials));
        let task = |entry: &'a VerifiedEntry| Task {
            reached,
            credentials: credentials.clone(),
            image: &self.image,
            entry,
            is_believed: self.believes(&entry.entry.platform),
        };
        chosen(reached, &self.index.entries).into_iter().map(task).collect()
    }

    fn believes(&self, platform: &Platform) -> bool {
        let planned = self.expected.platforms.iter().flatten().find(|(planned, _)| planned.covers(platform));
        planned.is_some_and(|(_, entry)| entry.platform.is_some())
    }

    fn nobody(&self) -> Failure {
        let held: Vec<_> = self.index.entries.iter().map(|entry| entry.entry.platform.to_string()).collect();
        let engines = self.engines.list().iter();
        let engines: Vec<_> = engines.map(|one| format!("{} ({})", one.spec.name, one.facts().platform)).collect();
        let message = format!(
            "{}: it holds {}, and no engine is of such a platform: {}",
            self.image,
            held.join(", "),
            engines.join(", ")
        );
        let hint = "`platforms:` of an engine in the plan names others that it is to pull";
        failure(Phase::Verify, &message, Some(hint.into()))
    }
}

/// The image that is of the engine's platform, else the first that it runs natively; and what the plan lists for it.
fn chosen<'a>(reached: &Reached, entries: &'a [VerifiedEntry]) -> Vec<&'a VerifiedEntry> {
    let facts = reached.facts();
    let platform = |at: usize| &entries[at].entry.platform;
    let own = (0..entries.len()).find(|at| platform(*at).is_based_on(&facts.platform));
    let own = own.or_else(|| (0..entries.len()).find(|at| facts.is_native(platform(*at))));
    let listed = |at: &usize| reached.spec.platforms.iter().flatten().any(|listed| listed.covers(platform(*at)));
    (0..entries.len()).filter(|at| own == Some(*at) || listed(at)).map(|at| &entries[at]).collect()
}

impl Task<'_> {
    async fn run(&self, shutdown: &mut Shutdown) -> Result<PulledImage, Failure> {
        let Self { reached, image, entry, .. } = self;
        if let Some(reason) = shutdown.reason() {
            return Err(self.stopped(&reason));
        }
        let before = reached.engine.had(image, &entry.config).await.map_err(|error| failed(&error))?;
        let compared = tokio::select! {
            compared = self.pull_and_compare() => compared,
            reason = shutdown.stopping() => Err(self.stopped(&reason)),
        };
        if before == Before::There {
            return compared.map(|id| self.pulled(id, Kept::WasThere));
        }
        let removed = self.remove().await;
        let id = compared?;
        removed?;
        Ok(self.pulled(id, Kept::Removed))
    }

    async fn pull_and_compare(&self) -> Result<Digest, Failure> {
        let Self { reached, image, entry, .. } = self;
        let platform = &entry.entry.platform;
        let repository = &image.repository;
        let credential = self.credentials.credential(repository.host(), Some(repository.path())).await;
        let credential = credential.map_err(|error| failure(Phase::Preflight, &chain(&error), Some(error.hint())))?;
        let request = PullRequest { image, platform, credential: &credential };
        reached.engine.pull(&request).await.map_err(|error| failed(&error))?;
        let held = reached.engine.held(image, platform).await.map_err(|error| failed(&error))?;
        self.compare(held)
    }

    /// What the engine has is what the registry has.
    fn compare(&self, held: Option<HeldImage>) -> Result<Digest, Failure> {
        let Self { reached, image, entry, .. } = self;
        let platform = &entry.entry.platform;
        let expected = match reached.facts().store {
            ImageStore::GraphDriver => &entry.config,
            ImageStore::Containerd => &entry.entry.digest,
        };
        let differs = |what: String| {
            let message = format!("engine {} pulled {platform} of {image}, and has {what}", reached.spec.name);
            Err(failure(Phase::Verify, &message, None))
        };
        match held {
            None => differs("no such image afterwards".to_owned()),
            Some(held) if held.id != *expected => differs(format!("{}: the registry's is {expected}", held.id)),
            Some(held) if !held.platform.is_based_on(platform) && !self.is_believed => {
                differs(format!("an image of {}", held.platform))
            }
            Some(held) => Ok(held.id),
        }
    }

    /// What was pulled goes again. That nothing came is no failure of this.
    async fn remove(&self) -> Result<(), Failure> {
        match self.reached.engine.remove(self.image).await {
            Err(EngineError { kind: EngineErrorKind::Refused { status: 404, .. }, .. }) | Ok(()) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn pulled(&self, image: Digest, kept: Kept) -> PulledImage {
        let (engine, platform) = (self.reached.spec.name.to_string(), self.entry.entry.platform.clone());
        PulledImage { engine, platform, image, kept }
    }

    fn stopped(&self, reason: &str) -> Failure {
        let Self { reached, image, entry, .. } = self;
        let platform = &entry.entry.platform;
        let message = format!("{reason}: engine {} did not pull {platform} of {image}", reached.spec.name);
        failure(Phase::Verify, &message, None)
    }
}

/// An engine that cannot be used is one thing, one that cannot pull what was published another.
fn failed(error: &EngineError) -> Failure {
    let phase = match &error.kind {
        EngineErrorKind::Pull(_) => Phase::Verify,
        _ => Phase::Preflight,
    };
    of_engine(phase, error)
}
