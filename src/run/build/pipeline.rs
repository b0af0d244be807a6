//! Runs `polyarch build`: schedule → checks → jobs → publications. The `Conductor` owns the tasks of the jobs, and its
//! `Publisher` owns the tasks of the publications.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::end::JobEnd;
use super::image::{ImageState, Step};
use super::job_state::{JobState, LostJob, Pending};
use super::names::OwnNames;
use super::prepare::{self, Beginning, JobMaker};
use super::slots::Slot;
use crate::plan::ImageNumber;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, EventSink, Failure, ImageEvent, JobEvent, JobId, Warning};
use crate::run::listen::{RunContext, listen};
use crate::run::preflight::command::{self as preflight, Ready};
use crate::run::preflight::request::{BuildRun, OnFailure, Outline};
use crate::run::publish::publisher::{self, Publisher};
use crate::run::publish::target::{Target, targets};
use crate::run::schedule::create;
use crate::run::schedule::dispatcher::Dispatcher;
use crate::run::schedule::order::Order;
use crate::run::schedule::scheduled::{JobNumber, Place, Schedule, ScheduledJob};
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
    let schedule = create::schedule(&run.plan, &run.engines, run.goal)?;
    let targets = targets(&run.plan, &run.registries).map_err(|failure| vec![failure])?;
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
    let schedule = create::schedule(&run.plan, &run.engines, run.goal);
    let prepared = schedule.and_then(|schedule| {
        Conductor::new(&run, schedule, events.clone(), &shutdown).map_err(|failure| vec![failure])
    });
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
        number: JobNumber,
        end: JobEnd,
    },
    /// A slot of this engine is free.
    SlotFree(usize),
    /// polyarch asked the engine of a job for a sign of life, because the job lost the engine.
    Asked {
        number: JobNumber,
        lost: LostJob,
        is_alive: bool,
    },
    /// polyarch named the image on its engines, or failed to.
    Loaded {
        image: ImageNumber,
        result: Result<(), Failure>,
    },
    /// A publication made a step.
    Publisher(publisher::Done),
}

/// The owner of a run: its tasks, and the state of each job and image.
struct Conductor<'a> {
    run: &'a BuildRun,
    schedule: Schedule,
    order: Order,
    images: Vec<ImageState>,
    /// The jobs, in the schedule's order.
    jobs: Vec<JobState>,
    /// The jobs that moved to another engine.
    moved: BTreeSet<JobNumber>,
    /// Makes the jobs. The checks before the start provide the secrets for it.
    maker: Option<JobMaker<'a>>,
    /// The slots of the engines, and the jobs that wait for them.
    dispatcher: Dispatcher,
    /// The engines whose slots are free again.
    freed: (UnboundedSender<usize>, UnboundedReceiver<usize>),
    tasks: JoinSet<Done>,
    publisher: Publisher,
    /// Ends all builds.
    builds: CancellationToken,
    /// The run's own names on engines.
    own_names: OwnNames,
    events: mpsc::Sender<Event>,
}

impl<'a> Conductor<'a> {
    fn new(
        run: &'a BuildRun,
        schedule: Schedule,
        events: mpsc::Sender<Event>,
        shutdown: &Shutdown,
    ) -> Result<Self, Failure> {
        let builds = CancellationToken::new();
        let targets = targets(&run.plan, &run.registries)?;
        let images = run.plan.images.iter().zip(targets);
        let images = images.map(|(image, target)| ImageState::new(image, target, builds.child_token())).collect();
        let (order, jobs, tasks) = (Order::of(&schedule), Vec::new(), JoinSet::new());
        let names = run.plan.images.iter().map(|image| image.name.to_string()).collect();
        let publisher = Publisher::new(names, (run.moving, run.gates), events.clone(), shutdown.clone());
        let dispatcher = Dispatcher::new(run.engines.list().iter().map(|reached| reached.spec.slots.get()));
        Ok(Self {
            run,
            schedule,
            order,
            images,
            jobs,
            moved: BTreeSet::new(),
            maker: None,
            dispatcher,
            freed: unbounded_channel(),
            tasks,
            publisher,
            builds,
            own_names: OwnNames::default(),
            events,
        })
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
        let targets: Vec<_> = self.images.iter().map(|image| image.target().clone()).collect();
        let ready = tokio::select! {
            biased;
            // Nothing was started, so there is nothing to end.
            reason = shutdown.stopping() => return self.emit(Event::Stopping { reason: reason.into() }).await,
            ready = preflight::build(self.run, &self.schedule, &targets) => ready,
        };
        match ready {
            Ok(ready) => self.start(&targets, ready).await,
            Err(failures) => {
                for failure in failures {
                    self.emit(Event::Failed(failure)).await;
                }
                return;
            }
        }
        loop {
            tokio::select! {
                biased;
                reason = shutdown.stopping() => return self.stop(reason, shutdown.clone()).await,
                done = self.next() => match done {
                    Some(done) => self.take(done).await,
                    None => return,
                },
            }
        }
    }

    /// Waits for the next task that ends. `None` if no task is in progress.
    async fn next(&mut self) -> Option<Result<Done, JoinError>> {
        // A task frees its slot before it ends, so no slot is lost after the last task.
        let may_be_freed = !self.tasks.is_empty() || !self.freed.1.is_empty();
        tokio::select! {
            biased;
            Some(engine) = self.freed.1.recv(), if may_be_freed => Some(Ok(Done::SlotFree(engine))),
            Some(done) = self.tasks.join_next() => Some(done),
            Some(done) = self.publisher.next() => Some(done.map(Done::Publisher)),
            else => None,
        }
    }

    async fn start(&mut self, targets: &[Target], Ready { secrets, agents, mut chosen, events }: Ready) {
        let Outline { images, jobs } = prepare::outline(targets, &self.schedule, &self.order, &self.run.engines);
        self.emit(Event::Started { images, jobs }).await;
        for event in events {
            self.emit(event).await;
        }
        let maker = JobMaker::new(self.run, &self.schedule, (secrets, agents), self.events.clone());
        for (number, scheduled) in self.schedule.numbered() {
            let pending = match scheduled {
                ScheduledJob::Build(_) => Some(Pending::Build),
                ScheduledJob::Import(import) => chosen.remove(&number).map(|chosen| {
                    let image = &self.images[import.image.0];
                    Pending::Import(Box::new(maker.import(import, image.target(), chosen, image.builds().clone())))
                }),
            };
            self.jobs.push(pending.map_or(JobState::Ended, JobState::Waiting));
        }
        self.maker = Some(maker);
        (0..self.jobs.len()).for_each(|number| self.begin_if_ready(JobNumber(number)));
        self.dispatch();
    }

    /// Begins a waiting import, or queues a waiting build, if all of its base images exist.
    fn begin_if_ready(&mut self, number: JobNumber) {
        if self.order.ready(number).is_none() {
            return;
        }
        match (self.jobs[number.0].take_waiting(), &self.schedule[number]) {
            (Some(Pending::Import(import)), _) => {
                let task = self.tasks.spawn(async move { Done::Job { number, end: import.run().await } });
                self.jobs[number.0] = JobState::Running(task);
            }
            (Some(Pending::Build), ScheduledJob::Build(build)) => {
                self.dispatcher.wait(number, build.places.clone());
                self.jobs[number.0] = JobState::Queued;
            }
            (Some(Pending::Build), ScheduledJob::Import(_)) | (None, _) => {}
        }
    }

    /// Begins the queued builds for which an engine has a free slot.
    fn dispatch(&mut self) {
        let Some(maker) = &mut self.maker else { return };
        while let Some((number, place)) = self.dispatcher.next() {
            let slot = Some(Slot::of(place.engine, self.freed.0.clone()));
            let (Some(bases), Some(build)) = (self.order.ready(number), self.schedule.place(number, place)) else {
                continue;
            };
            let image = &self.images[build.image.0];
            let beginning = Beginning { target: image.target(), bases, slot, cancel: image.builds().clone() };
            let Some(job) = maker.build(number, build, beginning) else { continue };
            self.own_names.begun(number, &job);
            let task = self.tasks.spawn(async move { Done::Job { number, end: job.run().await } });
            self.jobs[number.0] = JobState::Running(task);
        }
    }

    /// Ends the queued builds of images whose builds are cancelled.
    async fn cancel_queued(&mut self) {
        loop {
            let is_over = |number| self.images[self.schedule[number].image().0].builds().is_cancelled();
            let over = self.dispatcher.take_waiting(is_over);
            if over.is_empty() {
                return;
            }
            for number in over {
                self.emit_of(number, JobEvent::Cancelled).await;
                self.job_ended(number, JobEnd::Cancelled).await;
            }
        }
    }

    /// Takes the result of a task, and starts the next steps.
    async fn take(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Job { number, end: JobEnd::EngineLost { failure, slot } }) => {
                self.engine_lost(number, LostJob { failure, slot }).await;
            }
            Ok(Done::Job { number, end }) => self.job_ended(number, end).await,
            Ok(Done::SlotFree(engine)) => self.dispatcher.free(engine),
            Ok(Done::Asked { number, lost, is_alive }) => self.engine_answered(number, lost, is_alive).await,
            Ok(Done::Loaded { result: Ok(()), .. }) => {}
            Ok(Done::Loaded { image, result: Err(failure) }) => self.not_loaded(image, failure).await,
            Ok(Done::Publisher(done)) => self.publication_went_on(done).await,
            Err(error) => self.task_broke(&error).await,
        }
        self.cancel_queued().await;
        self.dispatch();
    }

    /// Takes the end of a job. If the job failed, the jobs that build on it end as well.
    async fn job_ended(&mut self, number: JobNumber, end: JobEnd) {
        let mut ended = vec![(number, end)];
        while let Some((number, end)) = ended.pop() {
            self.jobs[number.0] = JobState::Ended;
            self.maker.iter_mut().for_each(|maker| maker.ended(number));
            // With the embedded registry, the image gets its final names on the engine later. Until then the image
            // keeps the run's own name.
            let is_local = matches!(self.run.registries.first, Registry::Embedded { .. });
            if matches!(end, JobEnd::Confirmed { .. }) && !is_local {
                self.own_names.ended(number);
            }
            ended.extend(self.go_on_after(number, &end).await);
            self.image_goes_on(number, end).await;
        }
    }

    /// Asks the engine of a job for a sign of life, if another engine may do the job. Otherwise the job fails.
    async fn engine_lost(&mut self, number: JobNumber, lost: LostJob) {
        let Some((engine, others)) = self.places(number) else { return };
        if others.is_empty() || !self.moved.insert(number) {
            drop(lost.slot);
            self.emit_of(number, JobEvent::Failed(lost.failure.clone())).await;
            return self.job_ended(number, JobEnd::Failed(lost.failure)).await;
        }
        self.dispatcher.suspect(engine);
        let asked = self.run.engines.list()[engine].engine.clone();
        let task = self.tasks.spawn(async move { Done::Asked { number, lost, is_alive: asked.is_alive().await } });
        self.jobs[number.0] = JobState::Running(task);
    }

    /// Queues a job that lost its engine for the other engines. A single broken connection does not condemn an engine:
    /// an engine that answers gets further jobs.
    async fn engine_answered(&mut self, number: JobNumber, lost: LostJob, is_alive: bool) {
        let LostJob { failure, slot } = lost;
        let Some((engine, others)) = self.places(number) else { return };
        let reached = &self.run.engines.list()[engine];
        if is_alive {
            self.dispatcher.trust(engine);
        } else if self.dispatcher.lose(engine) {
            self.own_names.lost(&reached.engine);
            let message = format!("engine {} is lost: the other engines take its jobs", reached.engine.name());
            let hint = "read the engine's log to see why the engine stopped".into();
            let warning = Warning { image: None, platform: None, message: message.into(), hint: Some(hint) };
            self.emit(Event::Warning(warning)).await;
        }
        drop(slot);
        let from = reached.engine.name().to_string().into();
        self.emit_of(number, JobEvent::Moved { from, reason: failure.message }).await;
        self.dispatcher.wait_again(number, others);
        self.jobs[number.0] = JobState::Queued;
    }

    /// The engine of a build, and the other engines that may do it.
    fn places(&self, number: JobNumber) -> Option<(usize, Vec<Place>)> {
        let ScheduledJob::Build(build) = &self.schedule[number] else { return None };
        let others = build.places.iter().filter(|place| place.engine != build.engine);
        Some((build.engine, others.copied().collect()))
    }

    /// Begins the jobs that build on this job. If the job has no image, they end before they began.
    async fn go_on_after(&mut self, number: JobNumber, end: &JobEnd) -> Vec<(JobNumber, JobEnd)> {
        let scheduled = &self.schedule[number];
        let dependants = self.order.dependants(number).to_vec();
        let reason = match end.image(scheduled.id(), self.images[scheduled.image().0].target()) {
            Ok(image) => {
                self.order.exists(number, image);
                for dependant in dependants {
                    self.begin_if_ready(dependant);
                }
                return Vec::new();
            }
            Err(reason) => reason,
        };
        let mut lost = Vec::new();
        for dependant in dependants {
            if self.jobs[dependant.0].take_waiting().is_some() {
                self.emit_of(dependant, JobEvent::NotBuilt { reason: reason.clone().into() }).await;
                lost.push((dependant, JobEnd::Cancelled));
            }
        }
        lost
    }

    async fn image_goes_on(&mut self, number: JobNumber, end: JobEnd) {
        let image = self.schedule[number].image();
        if matches!(end, JobEnd::Failed(_) | JobEnd::EngineLost { .. } | JobEnd::Cancelled) {
            self.end_builds(image);
            self.publisher.lose(image, "failed").await;
        }
        match self.images[image.0].job_ended(&self.schedule[number], end, self.run) {
            Step::Wait => {}
            Step::NotJoined(reason) => self.publisher.leave_out(image, reason).await,
            Step::Load(loading) => {
                let events = self.events.clone();
                self.tasks.spawn(async move { Done::Loaded { image, result: loading.run(&events).await } });
            }
            Step::Publish(publication) => self.publisher.begin(image, *publication),
        }
    }

    async fn not_loaded(&mut self, image: ImageNumber, failure: Failure) {
        self.end_builds(image);
        self.publisher.fail(image, failure).await;
    }

    async fn publication_went_on(&mut self, done: publisher::Done) {
        for image in done.failed() {
            self.end_builds(image);
        }
        self.publisher.take(done).await;
    }

    fn end_builds(&self, image: ImageNumber) {
        match self.run.on_failure {
            OnFailure::EndImage => self.images[image.0].builds().cancel(),
            OnFailure::EndRun => self.builds.cancel(),
        }
    }

    /// Reports that a task panicked. The run must not hang.
    async fn task_broke(&mut self, error: &JoinError) {
        if let Some(failure) = publisher::of_panic(error) {
            self.builds.cancel();
            self.emit(Event::Failed(failure)).await;
        }
    }

    /// Ends jobs at once. Registries get a moment to answer tag requests that polyarch sent.
    async fn stop(&mut self, reason: String, mut shutdown: Shutdown) {
        self.emit(Event::Stopping { reason: reason.into() }).await;
        let jobs = std::mem::take(&mut self.jobs);
        // polyarch aborts tasks before it cancels builds. Otherwise a task would report its end a second time.
        for job in &jobs {
            if let JobState::Running(task) = job {
                task.abort();
            }
        }
        self.builds.cancel();
        for (job, (_, scheduled)) in jobs.iter().zip(self.schedule.numbered()) {
            if matches!(job, JobState::Waiting(_) | JobState::Queued | JobState::Running(_)) {
                let job: JobId = scheduled.id().clone();
                self.emit(Event::Job { job, what: JobEvent::Cancelled }).await;
            }
        }
        if let Some(option) = self.run.goal.keeps_tags() {
            for (number, _) in self.images.iter().enumerate().filter(|(_, image)| image.is_open()) {
                self.publisher.emit(ImageNumber(number), ImageEvent::NotJoined { reason: option.into() }).await;
            }
        }
        self.publisher.close();
        let answered = async {
            while let Some(done) = self.next().await {
                match done {
                    Ok(Done::Loaded { image, result: Err(failure) }) => self.not_loaded(image, failure).await,
                    Ok(Done::Publisher(done)) => self.publication_went_on(done).await,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        tokio::select! {
            () = answered => {}
            () = shutdown.grace() => {}
        }
        self.tasks.shutdown().await;
        self.publisher.end().await;
    }

    async fn emit(&self, event: Event) {
        drop(self.events.send(event).await);
    }

    /// Reports an event of a job. The event has no third-party text, or only text without secrets.
    async fn emit_of(&self, number: JobNumber, what: JobEvent) {
        self.emit(Event::Job { job: self.schedule[number].id().clone(), what }).await;
    }
}
