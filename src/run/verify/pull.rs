//! `verify --pull`: proves that engines pull exactly the images that polyarch verified.

use std::sync::Arc;

use futures::future::join_all;
use serde::Serialize;

use super::index::{Expected, VerifiedEntry, VerifiedIndex};
use crate::auth::CredentialSource;
use crate::engine::{EngineError, EngineErrorKind, HeldImage, ImageStore, PriorImage, PullRequest};
use crate::oci::{Digest, DigestRef, Platform};
use crate::run::event::cause::Cause;
use crate::run::event::failure::{chain, failure, of_engine};
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Failure, Phase};
use crate::run::schedule::engines::{Engines, Reached};
use crate::run::storage::registry::Registry;

/// The index that engines pull, and their access to it.
pub struct Pulling<'a> {
    /// The engines.
    pub engines: &'a Engines,
    /// The registry that the engines pull from.
    pub registry: &'a Registry,
    /// The user's credentials for the registry.
    pub credentials: &'a Arc<dyn CredentialSource>,
    /// The index in the registry.
    pub image: DigestRef,
    /// The facts that polyarch verified about the index.
    pub index: &'a VerifiedIndex,
    /// The facts that the plan specifies for the index.
    pub expected: &'a Expected,
}

/// An image that an engine pulled. It matches the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PulledImage {
    /// The engine.
    pub engine: String,
    /// The platform.
    pub platform: Platform,
    /// The engine's ID of the image. With a graph driver the ID is the config's digest, with containerd's store the
    /// manifest's.
    pub image: Digest,
    /// Whether the engine still has the image.
    pub kept: Kept,
}

/// How polyarch left an image on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The engine had the image before the pull and still has it.
    WasThere,
    /// polyarch removed the image again.
    Removed,
}

/// An image that one engine has to pull.
struct Task<'a> {
    reached: &'a Reached,
    credentials: Arc<dyn CredentialSource>,
    image: &'a DigestRef,
    entry: &'a VerifiedEntry,
    /// Whether the plan overrides the platform of the entry. The config then has another platform.
    is_believed: bool,
}

impl Pulling<'_> {
    /// Lets every engine pull by the digest of the index. Each engine pulls the image of its own platform. It also
    /// pulls the images of the platforms that the plan lists for it. Engines work at the same time, and each pulls one
    /// image after the other. polyarch removes an image that the engine did not have before, also after a failure or a
    /// stop.
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
            "{}: no engine can pull any of its platforms ({}); the engines are {}",
            self.image,
            held.join(", "),
            engines.join(", ")
        );
        let hint = "list a platform of the index under `platforms:` of an engine in the plan";
        failure(Phase::Verify, &message, Some(hint.into()))
    }
}

/// The entry of the engine's own platform, or else the first entry that the engine runs natively. The entries that the
/// plan lists for the engine follow.
fn chosen<'a>(reached: &Reached, entries: &'a [VerifiedEntry]) -> Vec<&'a VerifiedEntry> {
    let facts = reached.facts();
    let platform = |at: usize| &entries[at].entry.platform;
    let own = (0..entries.len()).find(|at| platform(*at).is_based_on(&facts.platform));
    let own = own.or_else(|| (0..entries.len()).find(|at| facts.is_native(platform(*at))));
    let listed = |at: &usize| reached.spec.platforms.listed().iter().any(|listed| listed.covers(platform(*at)));
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
        if before == PriorImage::Present {
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

    /// Compares the image on the engine with the image in the registry.
    fn compare(&self, held: Option<HeldImage>) -> Result<Digest, Failure> {
        let Self { reached, image, entry, .. } = self;
        let platform = &entry.entry.platform;
        let expected = match reached.facts().store {
            ImageStore::GraphDriver => &entry.config,
            ImageStore::Containerd | ImageStore::None => &entry.entry.digest,
        };
        let differs = |fault: String| {
            let message = format!("engine {} pulled {platform} of {image}, but {fault}", reached.spec.name);
            Err(failure(Phase::Verify, &message, None))
        };
        match held {
            None => differs("does not have the image now".to_owned()),
            Some(held) if held.id != *expected => differs(format!("has {}, and the registry has {expected}", held.id)),
            Some(held) if !held.platform.is_based_on(platform) && !self.is_believed => {
                differs(format!("has an image of {}", held.platform))
            }
            Some(held) => Ok(held.id),
        }
    }

    /// Removes the pulled image. An engine without this image is not an error.
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
        failure(Phase::Verify, &message, None).because(Cause::Cancelled)
    }
}

/// The failure of an engine. An engine that cannot pull the published image fails the verification. Any other error
/// means that polyarch cannot use the engine.
fn failed(error: &EngineError) -> Failure {
    let phase = match &error.kind {
        EngineErrorKind::Pull(_) => Phase::Verify,
        _ => Phase::Preflight,
    };
    of_engine(phase, error)
}
