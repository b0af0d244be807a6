//! Turns a schedule into jobs that can run, with their names, slots and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::common::{self, CommonKey};
use super::end::JobEnd;
use super::import::ImportRun;
use super::job::JobRun;
use super::names;
use super::session_group::SessionGroup;
use crate::auth::{BuildProxies, CredentialSource};
use crate::context::AddedStages;
use crate::engine::{BaseImage, EngineFacts, SessionSpec, cache_directories, directories, given_dockerfile};
use crate::oci::Platform;
use crate::plan::{ArchTags, Context, Dockerfile, ImageName, ImageNumber, SecretSpec, SshSpec};
use crate::run::event::job_events::JobReporter;
use crate::run::event::{Destination, Event, JobSource, PlannedJob};
use crate::run::preflight::agents::Agents;
use crate::run::preflight::request::Outline;
use crate::run::preflight::secrets::Secrets;
use crate::run::preflight::sources::Chosen;
use crate::run::publish::target::Target;
use crate::run::schedule::assign::{JobNumber, Schedule, ScheduledBuild, ScheduledImport, ScheduledJob};
use crate::run::schedule::engines::Engines;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::order::Order;
use crate::run::storage::Storage;
use crate::run::storage::registry::Registry;

/// The parts that all jobs of a run share.
pub(in crate::run) struct Shared<'a> {
    pub(in crate::run) engines: &'a Engines,
    pub(in crate::run) registry: &'a Registry,
    pub(in crate::run) credentials: &'a Arc<dyn CredentialSource>,
    pub(in crate::run) goal: Goal,
    pub(in crate::run) events: &'a mpsc::Sender<Event>,
    pub(in crate::run) secrets: &'a Secrets,
    pub(in crate::run) agents: &'a Agents,
    pub(in crate::run) proxies: &'a BuildProxies,
}

impl Shared<'_> {
    fn credentials_on(&self, engine: usize) -> Arc<dyn CredentialSource> {
        self.engines.list()[engine].credentials(self.credentials)
    }

    /// The build, with the proxies of its engine as arguments.
    fn behind_proxies(&self, scheduled: &ScheduledBuild) -> ScheduledBuild {
        let mut scheduled = scheduled.clone();
        let host = self.engines.list()[scheduled.engine].spec.host.to_string();
        self.proxies.add_to(&mut scheduled.job.work.spec.args, &host);
        scheduled
    }
}

/// The builds of the schedule, in its order. A token of `builds` ends the builds of one image.
pub(in crate::run) fn builds(
    schedule: &Schedule,
    targets: &[Target],
    builds: &[CancellationToken],
    shared: &Shared<'_>,
) -> Vec<JobRun> {
    let slots: Vec<_> =
        shared.engines.list().iter().map(|e| Arc::new(Semaphore::new(e.spec.slots.get().into()))).collect();
    let common = common::keys(schedule, shared.engines);
    let sessions = sessions(schedule, shared, &common);
    let contexts = common::contexts(&common, &sessions);
    let redactor = Arc::new(shared.secrets.redactor(&shared.proxies.secrets()));
    let job = |((scheduled, session), context): ((&ScheduledBuild, Arc<SessionGroup>), _)| JobRun {
        reporter: JobReporter { job: scheduled.id.clone(), events: shared.events.clone(), secrets: redactor.clone() },
        engine: shared.engines.list()[scheduled.engine].engine.clone(),
        slots: slots[scheduled.engine].clone(),
        session,
        context,
        bases: BTreeMap::new(),
        names: names::of_job(&targets[scheduled.image.0].storage, &scheduled.job.arch_tag),
        first_tag: targets[scheduled.image.0].tags.first().cloned(),
        attestations: targets[scheduled.image.0].attestations,
        registry: shared.registry.clone(),
        credentials: shared.registry.pushes_as(&shared.credentials_on(scheduled.engine)),
        goal: shared.goal,
        cancel: builds[scheduled.image.0].clone(),
        scheduled: shared.behind_proxies(scheduled),
    };
    schedule.builds().zip(sessions).zip(contexts).map(job).collect()
}

/// A job that can begin.
pub(in crate::run) enum Prepared {
    Build(Box<JobRun>),
    Import(Box<ImportRun>),
}

impl Prepared {
    /// Runs the job to its end. The job builds on `bases`.
    pub(in crate::run) async fn run(self, bases: BTreeMap<ImageName, BaseImage>) -> JobEnd {
        match self {
            Self::Build(job) => JobRun { bases, ..*job }.run().await,
            Self::Import(job) => job.run().await,
        }
    }
}

/// The jobs of the schedule, in its order. A token of `builds` ends the jobs of one image. `chosen` has the images to
/// import.
pub(in crate::run) fn jobs(
    schedule: &Schedule,
    targets: &[Target],
    builds: &[CancellationToken],
    mut chosen: BTreeMap<JobNumber, Chosen>,
    shared: &Shared<'_>,
) -> Vec<Option<Prepared>> {
    let mut built = self::builds(schedule, targets, builds, shared).into_iter();
    let redactor = Arc::new(shared.secrets.redactor(&shared.proxies.secrets()));
    let mut job = |(number, scheduled): (JobNumber, &ScheduledJob)| match scheduled {
        ScheduledJob::Build(_) => built.next().map(|job| Prepared::Build(Box::new(job))),
        ScheduledJob::Import(ScheduledImport { id, image, job }) => {
            let reporter = JobReporter { job: id.clone(), events: shared.events.clone(), secrets: redactor.clone() };
            let (registry, repository) = (shared.registry.clone(), targets[image.0].storage.clone());
            let to = Storage::Repository { registry, repository: repository.clone() };
            let (chosen, cancel) = (chosen.remove(&number)?, builds[image.0].clone());
            let (job, first_tag, goal) = (job.clone(), targets[image.0].tags.first().cloned(), shared.goal);
            let job = ImportRun { reporter, job, chosen, to, repository, first_tag, goal, cancel };
            Some(Prepared::Import(Box::new(job)))
        }
    };
    schedule.numbered().map(&mut job).collect()
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

/// The session of each job, in the schedule's order.
fn sessions(schedule: &Schedule, shared: &Shared<'_>, common: &[Option<CommonKey>]) -> Vec<Arc<SessionGroup>> {
    let key = |job: &ScheduledBuild| SessionKey::of(job, shared.engines.list()[job.engine].facts());
    let keys: Vec<_> = schedule.builds().map(key).collect();
    let mut caches: BTreeMap<SessionKey, BTreeSet<PathBuf>> = BTreeMap::new();
    for (key, job) in keys.iter().zip(schedule.builds()) {
        caches.entry(key.clone()).or_default().extend(cache_directories(&job.job.work.spec));
    }
    let mut groups = BTreeMap::new();
    let session = |((key, job), common): ((SessionKey, &ScheduledBuild), &Option<CommonKey>)| {
        let spec = SessionSpec {
            context: key.context.directory().map(Path::to_owned),
            dockerfile: given_dockerfile(&key.dockerfile),
            // polyarch knows the stages only when the base images exist.
            stages: AddedStages::new(),
            directories: key.directories.clone(),
            // Each job of the session asks for its own cache directories.
            caches: caches.get(&key).cloned().unwrap_or_default(),
            // BuildKit before 0.9 may ask any session of a build for the common context, so each session has its key.
            shared_key: common.as_ref().map_or_else(|| shared_key(&key, job), CommonKey::shared_key),
            credentials: shared.credentials_on(key.engine),
            secrets: shared.secrets.of(&key.secrets),
            agents: shared.agents.of(&key.ssh),
        };
        let group = groups.entry(key).or_insert_with(|| Arc::new(SessionGroup { spec, opened: OnceCell::new() }));
        group.clone()
    };
    keys.into_iter().zip(schedule.builds()).zip(common).map(session).collect()
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

/// Where a job's image is pushed.
pub(in crate::run) fn destination(target: &Target, scheduled: &ScheduledJob) -> Destination {
    let (tag, arch_tags) = scheduled.arch_tag();
    match arch_tags {
        ArchTags::Keep | ArchTags::Remove => Destination::ArchTag(target.storage.tag(tag.clone())),
        ArchTags::None => Destination::Repository(target.storage.clone()),
    }
}

/// The images and the jobs of a run, before anything starts.
pub(super) fn outline(targets: &[Target], schedule: &Schedule, order: &Order, engines: &Engines) -> Outline {
    let images = targets.iter().map(Target::planned);
    let by = |scheduled: &ScheduledJob| match scheduled {
        ScheduledJob::Build(build) => {
            let engine = engines.list()[build.engine].engine.name().to_string();
            JobSource::Engine { engine: engine.into(), execution: build.execution }
        }
        ScheduledJob::Import(import) => JobSource::Copy { from: import.job.work.from.to_string().into() },
    };
    let jobs = schedule.numbered().map(|(number, scheduled)| PlannedJob {
        job: scheduled.id().clone(),
        by: by(scheduled),
        destination: destination(&targets[scheduled.image().0], scheduled),
        builds_on: order.bases(number).map(|base| schedule[base].id().clone()).collect(),
    });
    Outline { images: images.collect(), jobs: jobs.collect() }
}
