//! Runs `polyarch build`: schedule → checks → jobs → publications. The `Conductor` owns the tasks of the jobs, and its
//! `Publisher` owns the tasks of the publications.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::end::JobEnd;
use super::image::{ImageState, Step};
use super::names::OwnNames;
use super::prepare::{self, Prepared, Shared};
use crate::plan::ImageNumber;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, EventSink, Failure, ImageEvent, JobEvent, JobId};
use crate::run::listen::{RunContext, listen};
use crate::run::preflight::command::{self as preflight, Ready};
use crate::run::preflight::request::{BuildRun, OnFailure, Outline};
use crate::run::publish::publisher::{self, Publisher};
use crate::run::publish::target::{Target, targets};
use crate::run::schedule::assign::{JobNumber, Schedule};
use crate::run::schedule::create;
use crate::run::schedule::order::Order;
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
    /// polyarch named the image on its engines, or failed to.
    Loaded {
        image: ImageNumber,
        result: Result<(), Failure>,
    },
    /// A publication made a step.
    Publisher(publisher::Done),
}

/// The state of a job of the schedule.
enum JobState {
    /// The job has not begun.
    Waiting(Prepared),
    /// The task of the job runs.
    Running(AbortHandle),
    Ended,
}

impl JobState {
    /// The job, if it has not begun. It leaves this state.
    fn take_waiting(&mut self) -> Option<Prepared> {
        match std::mem::replace(self, Self::Ended) {
            Self::Waiting(job) => Some(job),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// The owner of a run: its tasks, and the state of each job and image.
struct Conductor<'a> {
    run: &'a BuildRun,
    schedule: Schedule,
    order: Order,
    images: Vec<ImageState>,
    /// The jobs, in the schedule's order.
    jobs: Vec<JobState>,
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
        let own_names = OwnNames::default();
        Ok(Self { run, schedule, order, images, jobs, tasks, publisher, builds, own_names, events })
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
        tokio::select! {
            biased;
            Some(done) = self.tasks.join_next() => Some(done),
            Some(done) = self.publisher.next() => Some(done.map(Done::Publisher)),
            else => None,
        }
    }

    async fn start(&mut self, targets: &[Target], Ready { secrets, agents, chosen, events }: Ready) {
        let Outline { images, jobs } = prepare::outline(targets, &self.schedule, &self.order, &self.run.engines);
        self.emit(Event::Started { images, jobs }).await;
        for event in events {
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
        let jobs = prepare::jobs(&self.schedule, targets, &builds, chosen, &shared).into_iter();
        self.jobs = jobs.map(|job| job.map_or(JobState::Ended, JobState::Waiting)).collect();
        (0..self.jobs.len()).for_each(|number| self.begin_if_ready(JobNumber(number)));
    }

    /// Begins a waiting job if all of its base images exist. A waiting job holds no slot.
    fn begin_if_ready(&mut self, number: JobNumber) {
        let Some(bases) = self.order.ready(number) else { return };
        let Some(job) = self.jobs[number.0].take_waiting() else { return };
        if let Prepared::Build(job) = &job {
            self.own_names.begun(number, job);
        }
        let task = self.tasks.spawn(async move { Done::Job { number, end: job.run(bases).await } });
        self.jobs[number.0] = JobState::Running(task);
    }

    /// Takes the result of a task, and starts the next steps.
    async fn take(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Job { number, end }) => {
                self.jobs[number.0] = JobState::Ended;
                self.job_ended(number, end).await;
            }
            Ok(Done::Loaded { result: Ok(()), .. }) => {}
            Ok(Done::Loaded { image, result: Err(failure) }) => self.not_loaded(image, failure).await,
            Ok(Done::Publisher(done)) => self.publication_went_on(done).await,
            Err(error) => self.task_broke(&error).await,
        }
    }

    /// Takes the end of a job. If the job failed, the jobs that build on it end as well.
    async fn job_ended(&mut self, number: JobNumber, end: JobEnd) {
        let mut ended = vec![(number, end)];
        while let Some((number, end)) = ended.pop() {
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
                let job = self.schedule[dependant].id().clone();
                self.emit(Event::Job { job, what: JobEvent::NotBuilt { reason: reason.clone().into() } }).await;
                lost.push((dependant, JobEnd::Cancelled));
            }
        }
        lost
    }

    async fn image_goes_on(&mut self, number: JobNumber, end: JobEnd) {
        let image = self.schedule[number].image();
        if matches!(end, JobEnd::Failed(_) | JobEnd::Cancelled) {
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
            if matches!(job, JobState::Waiting(_) | JobState::Running(_)) {
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
}
