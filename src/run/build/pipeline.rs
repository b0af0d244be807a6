//! Runs `polyarch build` in a straight line: schedule → jobs → join → publish → verify. One owner has all tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::bases;
use super::end::JobEnd;
use super::image::{ImageState, Step};
use super::import::{self, Chosen};
use super::names::OwnNames;
use super::order::{self, Order};
use super::prepare::{self, Prepared, Shared};
use crate::run::build::schedule;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, EventSink, Failure, ImageEvent, JobEvent, JobId, Phase};
use crate::run::listen::{RunContext, listen};
use crate::run::preflight::agents::Agents;
use crate::run::preflight::assign::Schedule;
use crate::run::preflight::cautions;
use crate::run::preflight::goal::Goal;
use crate::run::preflight::repositories;
use crate::run::preflight::request::{BuildRun, OnFailure, Outline};
use crate::run::preflight::secrets::Secrets;
use crate::run::preflight::warnings;
use crate::run::preflight::withheld;
use crate::run::publish::atomic::{AtomicPublish, Next};
use crate::run::publish::publication::{self, NotMoved};
use crate::run::publish::remove_arch_tags;
use crate::run::publish::stage::StagedIndex;
use crate::run::publish::target::Target;
use crate::run::storage::registry::{Registry, while_served};

/// How many events may wait for the listener.
const EVENTS: usize = 1024;
/// How long engines may take to remove the run's own names, if the user did not stop the run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long engines may take to remove the run's own names, if the user stopped the run.
const PATIENCE_OF_STOPPED: Duration = Duration::from_secs(2);

/// Returns the outline of `run` and starts nothing.
///
/// # Errors
/// Fails for each job that no engine may build, and for each job that its engine cannot build. Also fails if the name
/// of a repository is too long.
pub fn outline(run: &BuildRun) -> Result<Outline, Vec<Failure>> {
    let schedule = schedule::schedule(&run.plan, &run.engines, run.goal)?;
    let targets = prepare::targets(&run.plan, &run.registries).map_err(|failure| vec![failure])?;
    Ok(prepare::outline(&targets, &schedule, &Order::of(&schedule), &run.engines))
}

/// Runs a build to its end. The events report everything that happened. The caller folds them into the outcome.
///
/// This function owns every task, and all tasks have ended when it returns. A stop ends builds and pushes at once. A
/// registry has 2 s to answer a tag request that polyarch sent before the stop.
pub async fn build(run: BuildRun, around: RunContext, sink: &mut dyn EventSink) {
    let (events, heard) = mpsc::channel(EVENTS);
    let RunContext { server, notices, shutdown } = around;
    // `conduct` owns the last sender of events, so `listen` ends after it.
    tokio::join!(while_served(server, conduct(run, events, shutdown)), listen(sink, heard, notices));
}

async fn conduct(run: BuildRun, events: mpsc::Sender<Event>, shutdown: Shutdown) {
    let schedule = schedule::schedule(&run.plan, &run.engines, run.goal);
    let prepared =
        schedule.and_then(|schedule| Conductor::new(&run, schedule, events.clone()).map_err(|failure| vec![failure]));
    match prepared {
        Ok(mut conductor) => conductor.conduct(shutdown).await,
        Err(failures) => {
            for failure in failures {
                drop(events.send(Event::Failed(failure)).await);
            }
        }
    }
}

/// How a task of the run ended.
enum Done {
    Job {
        place: usize,
        end: JobEnd,
    },
    /// polyarch named the image on its engines, or failed to.
    Loaded {
        image: usize,
        result: Result<(), Failure>,
    },
    /// Every repository has the images that the index lists, or copying failed.
    StagedIndex {
        image: usize,
        placed: Result<Box<StagedIndex>, Failure>,
    },
    /// The final tags of the images moved, or did not.
    Published {
        images: Vec<(usize, Result<(), NotMoved>)>,
    },
}

/// The results of the checks before the start.
struct Ready {
    secrets: Secrets,
    agents: Agents,
    chosen: BTreeMap<usize, Chosen>,
    /// Events of the checks, for the user.
    told: Vec<Event>,
}

/// The owner of a run: its tasks, and the state of each image.
struct Conductor<'a> {
    run: &'a BuildRun,
    schedule: Schedule,
    order: Order,
    images: Vec<ImageState>,
    /// The jobs that have not begun, in the schedule's order.
    waiting: Vec<Option<Prepared>>,
    /// The tasks of the jobs that run, in the schedule's order.
    running: Vec<Option<AbortHandle>>,
    tasks: JoinSet<Done>,
    together: AtomicPublish<Box<StagedIndex>>,
    /// Ends all builds.
    builds: CancellationToken,
    /// The run's own names on engines.
    own_names: OwnNames,
    events: mpsc::Sender<Event>,
}

impl<'a> Conductor<'a> {
    fn new(run: &'a BuildRun, schedule: Schedule, events: mpsc::Sender<Event>) -> Result<Self, Failure> {
        let builds = CancellationToken::new();
        let targets = prepare::targets(&run.plan, &run.registries)?;
        let images = run.plan.images.iter().zip(targets);
        let images = images.map(|(image, target)| ImageState::new(image, target, builds.child_token())).collect();
        let (order, tasks) = (Order::of(&schedule), JoinSet::new());
        let together = AtomicPublish::new(run.moving, run.plan.images.len());
        let (waiting, running) = (Vec::new(), Vec::new());
        let own_names = OwnNames::default();
        Ok(Self { run, schedule, order, images, waiting, running, tasks, together, builds, own_names, events })
    }

    /// Runs to the end, and then removes the run's own names from the engines.
    async fn conduct(&mut self, mut shutdown: Shutdown) {
        self.work(shutdown.clone()).await;
        // The run does not wait for an engine that froze. A later run removes a name that stays.
        let patience = if shutdown.reason().is_some() { PATIENCE_OF_STOPPED } else { PATIENCE };
        tokio::select! {
            biased;
            _ = shutdown.now() => {}
            _ = tokio::time::timeout(patience, self.own_names.remove()) => {}
        }
    }

    async fn work(&mut self, mut shutdown: Shutdown) {
        let ready = tokio::select! {
            biased;
            // Nothing was started, so there is nothing to end.
            reason = shutdown.stopping() => return self.emit(Event::Stopping { reason: reason.into() }).await,
            ready = self.preflight() => ready,
        };
        match ready {
            Ok(ready) => self.start(ready).await,
            Err(failures) => {
                for failure in failures {
                    self.emit(Event::Failed(failure)).await;
                }
                return;
            }
        }
        let mut heard = shutdown.clone();
        loop {
            tokio::select! {
                biased;
                reason = shutdown.stopping() => return self.stop(reason, heard).await,
                done = self.tasks.join_next() => match done {
                    Some(done) => self.take(done, &heard).await,
                    None => return,
                },
            }
            heard = shutdown.clone();
        }
    }

    /// Checks that the contexts, the secrets, the ssh agents and the images to import exist. Also checks that each
    /// engine that builds reaches the registry.
    async fn preflight(&self) -> Result<Ready, Vec<Failure>> {
        let mut faults = prepare::context_faults(&self.schedule);
        let secrets = Secrets::read(&self.schedule, &self.run.environment).unwrap_or_else(|missing| {
            faults.extend(missing);
            Secrets::default()
        });
        let agents = Agents::find(&self.schedule, &self.run.environment).await.unwrap_or_else(|missing| {
            faults.extend(missing);
            Agents::default()
        });
        if faults.is_empty() {
            faults = prepare::stage_faults(&self.schedule, &self.run.engines);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let targets: Vec<_> = self.images.iter().map(|image| image.target().clone()).collect();
        let (chosen, lacking) = tokio::join!(self.reach(&targets), bases::refusals(self.run, &self.schedule));
        if !lacking.is_empty() {
            return Err(lacking.into_iter().chain(chosen.err().into_iter().flatten()).collect());
        }
        let chosen = chosen?;
        let told = if self.run.goal.pushes() {
            // polyarch creates repositories last, so that it leaves nothing behind if another check fails.
            repositories::check(&self.run.plan, &targets, &self.run.registries.first).await?.create().await?
        } else {
            Vec::new()
        };
        Ok(Ready { secrets, agents, chosen, told })
    }

    /// Checks that the images to import exist, that tags may move, and that the engines reach the registry.
    async fn reach(&self, targets: &[Target]) -> Result<BTreeMap<usize, Chosen>, Vec<Failure>> {
        let first = &self.run.registries.first;
        let chosen = import::choose(&self.schedule, &self.run.sources, (first, targets)).await?;
        let builds = |place: &usize| self.schedule.builds().any(|job| job.engine == *place);
        let engines = self.run.engines.list().iter().enumerate().filter(|(place, _)| builds(place));
        let engines: Vec<_> = engines.map(|(_, reached)| reached.engine.clone()).collect();
        let mut faults = Vec::new();
        if self.run.goal == Goal::Publish {
            faults = remove_arch_tags::refusals(&self.run.plan, targets, first).await;
        }
        faults.extend(withheld::refusals(self.run, &self.schedule, targets).await);
        if !faults.is_empty() {
            return Err(faults);
        }
        if self.run.goal.pushes() && !engines.is_empty() {
            first.prove_reachable(&engines).await?;
        }
        Ok(chosen)
    }

    async fn start(&mut self, Ready { secrets, agents, chosen, told }: Ready) {
        let targets: Vec<_> = self.images.iter().map(|image| image.target().clone()).collect();
        let Outline { images, jobs } = prepare::outline(&targets, &self.schedule, &self.order, &self.run.engines);
        self.emit(Event::Started { images, jobs }).await;
        let warnings = warnings::warnings(&self.schedule, &self.run.engines);
        let cautions = cautions::cautions(&self.schedule, &self.run.engines, &self.run.plan.silence);
        let unjoined = warnings::without_arch_tags(&self.run.plan, self.run.goal);
        for warning in warnings.into_iter().chain(unjoined).chain(secrets.warnings()).chain(cautions) {
            self.emit(Event::Warning(warning)).await;
        }
        for event in told {
            self.emit(event).await;
        }
        let builds: Vec<_> = self.images.iter().map(|image| image.builds().clone()).collect();
        let shared = Shared {
            engines: &self.run.engines,
            registry: &self.run.registries.first,
            credentials: &self.run.credentials,
            goal: self.run.goal,
            events: &self.events,
            secrets: &secrets,
            agents: &agents,
            proxies: &self.run.proxies,
        };
        self.waiting = prepare::jobs(&self.schedule, &targets, &builds, chosen, &shared);
        self.running = self.waiting.iter().map(|_| None).collect();
        (0..self.waiting.len()).for_each(|place| self.begin_if_ready(place));
    }

    /// Begins a waiting job if all of its base images exist. A waiting job holds no slot.
    fn begin_if_ready(&mut self, place: usize) {
        let Some(bases) = self.order.ready(place) else { return };
        let Some(job) = self.waiting[place].take() else { return };
        if let Prepared::Build(job) = &job {
            self.own_names.begun(place, job);
        }
        self.running[place] = Some(self.tasks.spawn(async move { Done::Job { place, end: job.run(bases).await } }));
    }

    /// Takes the result of a task, and starts the next steps.
    async fn take(&mut self, done: Result<Done, JoinError>, shutdown: &Shutdown) {
        match done {
            Ok(Done::Job { place, end }) => {
                self.running[place] = None;
                self.job_ended(place, end).await;
            }
            Ok(Done::Loaded { result: Ok(()), .. }) => {}
            Ok(Done::Loaded { image, result: Err(failure) } | Done::StagedIndex { image, placed: Err(failure) }) => {
                self.image_failed(image, failure).await;
            }
            Ok(Done::StagedIndex { image, placed: Ok(placed) }) => self.image_ready(image, placed, shutdown).await,
            Ok(Done::Published { images }) => self.images_published(images).await,
            Err(error) => self.task_broke(&error).await,
        }
    }

    /// Takes the end of a job. If the job failed, the jobs that build on it end as well.
    async fn job_ended(&mut self, place: usize, end: JobEnd) {
        let mut ended = vec![(place, end)];
        while let Some((place, end)) = ended.pop() {
            // With the embedded registry, the image gets its final names on the engine later. Until then the image
            // keeps the run's own name.
            let is_local = matches!(self.run.registries.first, Registry::Embedded { .. });
            if matches!(end, JobEnd::Confirmed { .. }) && !is_local {
                self.own_names.ended(place);
            }
            ended.extend(self.go_on_after(place, &end).await);
            self.image_goes_on(place, end).await;
        }
    }

    /// Begins the jobs that build on `place`. If `place` has no image, these jobs end before they began.
    async fn go_on_after(&mut self, place: usize, end: &JobEnd) -> Vec<(usize, JobEnd)> {
        let scheduled = &self.schedule.jobs[place];
        let dependants = self.order.dependants(place).to_vec();
        let reason = match order::image_of(end, scheduled, self.images[scheduled.image()].target()) {
            Ok(image) => {
                self.order.is_there(place, image);
                for dependant in dependants {
                    self.begin_if_ready(dependant);
                }
                return Vec::new();
            }
            Err(reason) => reason,
        };
        let mut lost = Vec::new();
        for dependant in dependants {
            if self.waiting[dependant].take().is_some() {
                let job = self.schedule.jobs[dependant].id().clone();
                self.emit(Event::Job { job, what: JobEvent::NotBuilt { reason: reason.clone().into() } }).await;
                lost.push((dependant, JobEnd::Cancelled));
            }
        }
        lost
    }

    async fn image_goes_on(&mut self, place: usize, end: JobEnd) {
        let image = self.schedule.jobs[place].image();
        if matches!(end, JobEnd::Failed(_) | JobEnd::Cancelled) {
            self.end_builds(image);
            self.lose(image, "failed").await;
        }
        match self.images[image].job_ended(&self.schedule.jobs[place], end, self.run) {
            Step::Wait => {}
            Step::NotJoined(reason) => {
                self.of_image(image, ImageEvent::NotJoined { reason: reason.into() }).await;
                self.lose(image, "was not joined").await;
            }
            Step::Load(loading) => {
                let events = self.events.clone();
                self.tasks.spawn(async move { Done::Loaded { image, result: loading.run(&events).await } });
            }
            Step::Publish(publication) => {
                let events = self.events.clone();
                let place = async move { publication.stage(&events).await.map(Box::new) };
                self.tasks.spawn(async move { Done::StagedIndex { image, placed: place.await } });
            }
        }
    }

    /// Moves the tags of an image that is ready, alone or with other images. Otherwise waits for the other images.
    async fn image_ready(&mut self, image: usize, placed: Box<StagedIndex>, shutdown: &Shutdown) {
        match self.together.ready(image, placed) {
            Next::Wait => {}
            Next::Withhold(reason) => self.of_image(image, ImageEvent::Withheld { reason: reason.into() }).await,
            Next::Publish(ready) => {
                let (gates, events, shutdown) = (self.run.gates, self.events.clone(), shutdown.clone());
                let (images, placed): (Vec<_>, Vec<_>) =
                    ready.into_iter().map(|(image, placed)| (image, *placed)).unzip();
                self.tasks.spawn(async move {
                    let ended = publication::publish(placed, gates, &events, &shutdown).await;
                    Done::Published { images: images.into_iter().zip(ended).collect() }
                });
            }
        }
    }

    async fn images_published(&mut self, images: Vec<(usize, Result<(), NotMoved>)>) {
        for (image, ended) in images {
            if let Err(not_moved) = ended {
                self.end_builds(image);
                self.of_image(image, not_moved.event()).await;
            }
        }
    }

    async fn image_failed(&mut self, image: usize, failure: Failure) {
        self.end_builds(image);
        self.of_image(image, ImageEvent::Failed(failure)).await;
        self.lose(image, "failed").await;
    }

    /// Notes that an image will not be ready. polyarch withholds the images whose tags would move with its tags.
    async fn lose(&mut self, image: usize, how: &str) {
        let what = format!("{} {how}", self.images[image].target().image);
        for (image, reason) in self.together.lose(&what) {
            self.of_image(image, ImageEvent::Withheld { reason: reason.into() }).await;
        }
    }

    async fn of_image(&self, image: usize, what: ImageEvent) {
        ImageReporter { image: &self.images[image].target().image, events: &self.events }.emit(what).await;
    }

    fn end_builds(&self, image: usize) {
        match self.run.on_failure {
            OnFailure::EndImage => self.images[image].builds().cancel(),
            OnFailure::EndRun => self.builds.cancel(),
        }
    }

    /// Reports that a task panicked. This is a fault of polyarch. The run must not look like a success, and must not
    /// hang.
    async fn task_broke(&mut self, error: &JoinError) {
        if error.is_cancelled() {
            return;
        }
        self.builds.cancel();
        let hint = Some("report this fault of polyarch, with the lines above".to_owned());
        self.emit(Event::Failed(failure(Phase::Internal, &format!("internal error: {error}"), hint))).await;
    }

    /// Ends jobs at once. Registries get a moment to answer tag requests that polyarch sent.
    async fn stop(&mut self, reason: String, mut shutdown: Shutdown) {
        self.emit(Event::Stopping { reason: reason.into() }).await;
        let waiting: Vec<bool> = self.waiting.drain(..).map(|job| job.is_some()).collect();
        let running = std::mem::take(&mut self.running);
        // polyarch aborts tasks before it cancels builds. Otherwise a task would report its end a second time.
        running.iter().flatten().for_each(AbortHandle::abort);
        self.builds.cancel();
        for (place, task) in running.into_iter().enumerate() {
            if task.is_none() && !waiting[place] {
                continue;
            }
            let job: JobId = self.schedule.jobs[place].id().clone();
            self.emit(Event::Job { job, what: JobEvent::Cancelled }).await;
        }
        if let Some(option) = self.run.goal.keeps_tags() {
            for image in (0..self.images.len()).filter(|image| self.images[*image].is_open()) {
                self.of_image(image, ImageEvent::NotJoined { reason: option.into() }).await;
            }
        }
        let answered = async {
            while let Some(done) = self.tasks.join_next().await {
                match done {
                    Ok(
                        Done::Loaded { image, result: Err(failure) }
                        | Done::StagedIndex { image, placed: Err(failure) },
                    ) => {
                        self.image_failed(image, failure).await;
                    }
                    Ok(Done::Published { images }) => self.images_published(images).await,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = answered => {}
            () = shutdown.grace() => {}
        }
        self.tasks.shutdown().await;
    }

    async fn emit(&self, event: Event) {
        drop(self.events.send(event).await);
    }
}
