//! The sessions of a run: one for the jobs that need the same files on the same engine.
//!
//! polyarch knows the engine of a job only when the job begins. So a session exists from its first job until no other job
//! may use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::common::{self, CommonContext, CommonKey, SessionGroup};
use crate::auth::{BuildProxies, CredentialSource};
use crate::context::AddedStages;
use crate::engine::{EngineFacts, SessionSpec, cache_directories, directories, given_dockerfile};
use crate::oci::Platform;
use crate::plan::{Context, Dockerfile, ImageNumber, SecretSpec, SshSpec};
use crate::run::preflight::agents::Agents;
use crate::run::preflight::secrets::Secrets;
use crate::run::schedule::engines::Engines;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::{JobNumber, Schedule, ScheduledBuild};
use crate::run::storage::registry::Registry;

/// The parts that all jobs of a run share.
pub(in crate::run) struct Shared<'a> {
    pub(in crate::run) engines: &'a Engines,
    pub(super) registry: &'a Registry,
    pub(super) credentials: &'a Arc<dyn CredentialSource>,
    pub(super) goal: Goal,
    pub(super) proxies: &'a BuildProxies,
    pub(in crate::run) secrets: Secrets,
    pub(in crate::run) agents: Agents,
}

impl Shared<'_> {
    pub(super) fn credentials_on(&self, engine: usize) -> Arc<dyn CredentialSource> {
        self.engines.list()[engine].credentials(self.credentials)
    }

    /// The build, with the proxies of its engine as arguments.
    pub(super) fn behind_proxies(&self, scheduled: &ScheduledBuild) -> ScheduledBuild {
        let mut scheduled = scheduled.clone();
        let host = self.engines.list()[scheduled.engine].spec.host.to_string();
        self.proxies.add_to(&mut scheduled.job.work.spec.args, &host);
        scheduled
    }
}

/// The sessions and the common contexts of a run.
#[derive(Default)]
pub(super) struct Sessions {
    /// The keys of each job that has not ended, for each engine that may do it.
    keys: BTreeMap<(JobNumber, usize), Keys>,
    groups: BTreeMap<SessionKey, Arc<SessionGroup>>,
    contexts: BTreeMap<CommonKey, Arc<CommonContext>>,
}

/// The keys of a job on an engine.
struct Keys {
    session: SessionKey,
    context: Option<CommonKey>,
    /// The job's own cache directories. All jobs of a session share them.
    caches: BTreeSet<PathBuf>,
}

impl Sessions {
    /// The sessions of `schedule`. polyarch reads the Dockerfiles and opens no session yet.
    pub(super) fn of(schedule: &Schedule, shared: &Shared<'_>) -> Self {
        let common = common::keys(schedule, shared.engines);
        let mut keys = BTreeMap::new();
        for (number, build) in schedule.numbered_builds() {
            for build in build.at_all_places() {
                let reached = &shared.engines.list()[build.engine];
                let context = common::key(&build, reached).filter(|key| common.contains(key));
                let caches = cache_directories(&build.job.work.spec).collect();
                let session = SessionKey::of(&build, reached.facts());
                keys.insert((number, build.engine), Keys { session, context, caches });
            }
        }
        Self { keys, ..Self::default() }
    }

    /// The session and the common context of a job that begins.
    pub(super) fn begin(
        &mut self,
        number: JobNumber,
        job: &ScheduledBuild,
        shared: &Shared<'_>,
    ) -> Option<(Arc<SessionGroup>, Option<Arc<CommonContext>>)> {
        let Keys { session: key, context: common, .. } = self.keys.get(&(number, job.engine))?;
        let of_session = self.keys.values().filter(|keys| keys.session == *key);
        let spec = || SessionSpec {
            context: key.context.directory().map(Path::to_owned),
            dockerfile: given_dockerfile(&key.dockerfile),
            // polyarch knows the stages only when the base images exist.
            stages: AddedStages::new(),
            directories: key.directories.clone(),
            // Each job of the session asks for its own cache directories.
            caches: of_session.flat_map(|keys| keys.caches.iter().cloned()).collect(),
            // BuildKit before 0.9 may ask any session of a build for the common context, so each session has its key.
            shared_key: common.as_ref().map_or_else(|| shared_key(key, job), CommonKey::shared_key),
            credentials: shared.credentials_on(key.engine),
            secrets: shared.secrets.of(&key.secrets),
            agents: shared.agents.of(&key.ssh),
        };
        let group = self
            .groups
            .entry(key.clone())
            .or_insert_with(|| Arc::new(SessionGroup { spec: spec(), opened: OnceCell::new() }))
            .clone();
        let context = common.as_ref().map(|common| {
            let context = || Arc::new(common.context(&group.spec));
            self.contexts.entry(common.clone()).or_insert_with(context).clone()
        });
        Some((group, context))
    }

    /// Ends the sessions that only this job could still use.
    pub(super) fn ended(&mut self, number: JobNumber) {
        for (_, ended) in self.keys.extract_if(.., |(of, _), _| *of == number).collect::<Vec<_>>() {
            if self.keys.values().all(|keys| keys.session != ended.session) {
                self.groups.remove(&ended.session);
            }
            if let Some(context) = ended.context
                && self.keys.values().all(|keys| keys.context.as_ref() != Some(&context))
            {
                self.contexts.remove(&context);
            }
        }
    }
}

/// Two jobs with the same key share a session, because they need the same files of the same context. polyarch sends the
/// context once, and the engine keeps one copy. BuildKit keeps one copy for each shared key. With one key for all,
/// platforms that need different files would evict each other's copy. Secrets and ssh agents are part of the key,
/// because the engine asks for them by name only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SessionKey {
    engine: usize,
    image: ImageNumber,
    context: Context,
    dockerfile: Dockerfile,
    directories: BTreeMap<String, PathBuf>,
    target: Option<String>,
    secrets: Vec<SecretSpec>,
    ssh: Vec<SshSpec>,
    /// The job's platform, if the files to copy or the base images depend on it.
    platform: Option<Platform>,
}

impl SessionKey {
    fn of(job: &ScheduledBuild, facts: &EngineFacts) -> Self {
        let build = &job.job.work.spec;
        let dockerfile = given_dockerfile(&build.dockerfile);
        let alone = dockerfile.is_some_and(|dockerfile| dockerfile.copies_by_platform())
            || !facts.stage_names(build).is_empty();
        Self {
            engine: job.engine,
            image: job.image,
            context: build.context.clone(),
            dockerfile: build.dockerfile.clone(),
            directories: directories(build),
            target: build.target.clone(),
            secrets: build.secrets.clone(),
            ssh: build.ssh.clone(),
            platform: alone.then(|| job.id.platform.clone()),
        }
    }
}

/// A key that is the same in every run of the same plan from the same directory. The engine finds its copy of the
/// context by this key, and polyarch sends only changed files.
fn shared_key(key: &SessionKey, job: &ScheduledBuild) -> String {
    let context = match &key.context {
        Context::Directory(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
        Context::Remote(remote) => remote.to_string(),
    };
    let platform = key.platform.as_ref().map(ToString::to_string).unwrap_or_default();
    let dockerfile = match &key.dockerfile {
        Dockerfile::File(path) => path.display().to_string(),
        // The engine keeps no copy of these Dockerfiles: the engine fetches the file, or polyarch sends the whole text.
        Dockerfile::InContext(_) | Dockerfile::Inline(_) | Dockerfile::StandardInput => String::new(),
    };
    let target = key.target.as_deref().unwrap_or_default();
    let directories = key.directories.iter().map(|(name, path)| format!("\n{name}={}", path.display()));
    let directories: String = directories.collect();
    format!("{context}\n{}\n{dockerfile}\n{target}\n{platform}{directories}", job.id.image)
}
