//! Makes the jobs of a run when their engines are known, with their names and sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::import::ImportRun;
use super::job::JobRun;
use super::names;
use super::sessions::{Sessions, Shared};
use super::slots::Slot;
use crate::engine::BaseImage;
use crate::plan::{ArchTags, ImageName};
use crate::run::event::job_events::JobReporter;
use crate::run::event::{Destination, Event, JobId, JobSource, PlannedJob};
use crate::run::preflight::agents::Agents;
use crate::run::preflight::request::{BuildRun, Outline};
use crate::run::preflight::secrets::Secrets;
use crate::run::preflight::sources::Chosen;
use crate::run::publish::target::Target;
use crate::run::schedule::engines::Engines;
use crate::run::schedule::order::Order;
use crate::run::schedule::scheduled::{JobNumber, Schedule, ScheduledBuild, ScheduledImport, ScheduledJob};
use crate::run::storage::Storage;
use crate::text::Redactor;

/// Makes the jobs of a run.
pub(in crate::run) struct JobMaker<'a> {
    shared: Shared<'a>,
    sessions: Sessions,
    redactor: Arc<Redactor>,
    events: mpsc::Sender<Event>,
}

/// The parts of a job that depend on the moment at which it begins.
pub(super) struct Beginning<'a> {
    pub(super) target: &'a Target,
    /// The images that the job builds on.
    pub(super) bases: BTreeMap<ImageName, BaseImage>,
    /// The slot of its engine. A check needs none.
    pub(super) slot: Option<Slot>,
    /// Ends the job.
    pub(super) cancel: CancellationToken,
}

impl<'a> JobMaker<'a> {
    pub(super) fn new(
        run: &'a BuildRun,
        schedule: &Schedule,
        (secrets, agents): (Secrets, Agents),
        events: mpsc::Sender<Event>,
    ) -> Self {
        let redactor = Arc::new(secrets.redactor(&run.proxies.secrets()));
        let shared = Shared {
            engines: &run.engines,
            registry: &run.registries.first,
            credentials: &run.credentials,
            goal: run.goal,
            proxies: &run.proxies,
            secrets,
            agents,
        };
        let sessions = Sessions::of(schedule, &shared);
        Self { shared, sessions, redactor, events }
    }

    /// Sends the events of a job.
    pub(super) fn reporter(&self, job: &JobId) -> JobReporter {
        JobReporter { job: job.clone(), events: self.events.clone(), secrets: self.redactor.clone() }
    }

    /// A build that begins on the engine of `scheduled`.
    pub(super) fn build(
        &mut self,
        number: JobNumber,
        scheduled: &ScheduledBuild,
        Beginning { target, bases, slot, cancel }: Beginning<'_>,
    ) -> Option<JobRun> {
        let (session, context) = self.sessions.begin(number, scheduled, &self.shared)?;
        let Shared { engines, registry, goal, .. } = &self.shared;
        Some(JobRun {
            reporter: self.reporter(&scheduled.id),
            engine: engines.list()[scheduled.engine].engine.clone(),
            slot,
            session,
            context,
            bases,
            names: names::of_job(&target.storage, &scheduled.job.arch_tag),
            first_tag: target.tags.first().cloned(),
            attestations: target.attestations,
            registry: (*registry).clone(),
            credentials: registry.pushes_as(&self.shared.credentials_on(scheduled.engine)),
            goal: *goal,
            cancel,
            scheduled: self.shared.behind_proxies(scheduled),
        })
    }

    /// An import of the image `chosen`.
    pub(super) fn import(
        &self,
        ScheduledImport { id, job, .. }: &ScheduledImport,
        target: &Target,
        chosen: Chosen,
        cancel: CancellationToken,
    ) -> ImportRun {
        let (registry, repository) = (self.shared.registry.clone(), target.storage.clone());
        let to = Storage::Repository { registry, repository: repository.clone() };
        let (job, first_tag, goal) = (job.clone(), target.tags.first().cloned(), self.shared.goal);
        ImportRun { reporter: self.reporter(id), job, chosen, to, repository, first_tag, goal, cancel }
    }

    /// Ends the sessions that only this job could still use.
    pub(super) fn ended(&mut self, number: JobNumber) {
        self.sessions.ended(number);
    }
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
