//! Publishes the images of a run, for `build` and `join` alike. It owns the tasks that publish, and reports the images
//! that are not published.

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::atomic::{AtomicPublish, Next, PublishMode};
use super::options::Gates;
use super::publication::{self, NotMoved, Publication};
use super::stage::StagedIndex;
use crate::plan::ImageNumber;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent, Phase};

/// The owner of all publications of a run.
pub(in crate::run) struct Publisher {
    /// The names of the images, in the plan's order.
    names: Vec<String>,
    gates: Gates,
    events: mpsc::Sender<Event>,
    shutdown: Shutdown,
    atomic: AtomicPublish<Box<StagedIndex>>,
    /// Whether more tags may move.
    state: State,
    tasks: JoinSet<Done>,
}

#[derive(PartialEq, Eq)]
enum State {
    Running,
    /// The run ends. Only the tags of publications in progress move.
    Closed,
}

/// How a task of the publisher ended.
pub(in crate::run) enum Done {
    /// Every repository has the images that the index lists, or copying failed.
    Staged(ImageNumber, Result<Box<StagedIndex>, Failure>),
    /// The final tags of the images moved, or did not.
    Published(Vec<(ImageNumber, Result<(), NotMoved>)>),
}

impl Done {
    /// The images that were not published.
    pub(in crate::run) fn failed(&self) -> Vec<ImageNumber> {
        match self {
            Self::Staged(image, Err(_)) => vec![*image],
            Self::Staged(_, Ok(_)) => Vec::new(),
            Self::Published(images) => {
                images.iter().filter(|(_, ended)| ended.is_err()).map(|(image, _)| *image).collect()
            }
        }
    }
}

impl Publisher {
    /// Creates the publisher of the images with these names, in the plan's order.
    pub(in crate::run) fn new(
        names: Vec<String>,
        (mode, gates): (PublishMode, Gates),
        events: mpsc::Sender<Event>,
        shutdown: Shutdown,
    ) -> Self {
        let atomic = AtomicPublish::new(mode, names.len());
        Self { names, gates, events, shutdown, atomic, state: State::Running, tasks: JoinSet::new() }
    }

    /// Begins to publish an image.
    pub(in crate::run) fn begin(&mut self, image: ImageNumber, publication: Publication) {
        let events = self.events.clone();
        self.tasks.spawn(async move { Done::Staged(image, publication.stage(&events).await.map(Box::new)) });
    }

    /// Waits for the next task that ends. `None` if no task is in progress.
    pub(in crate::run) async fn next(&mut self) -> Option<Result<Done, JoinError>> {
        self.tasks.join_next().await
    }

    /// Continues after a task ended.
    pub(in crate::run) async fn take(&mut self, done: Done) {
        match done {
            Done::Staged(_, Ok(_)) if self.state == State::Closed => {}
            Done::Staged(image, Ok(staged)) => self.publish(image, staged).await,
            Done::Staged(image, Err(failure)) => self.fail(image, failure).await,
            Done::Published(images) => {
                for (image, ended) in images {
                    if let Err(not_moved) = ended {
                        self.emit(image, not_moved.event()).await;
                    }
                }
            }
        }
    }

    /// Moves the tags of a staged image, alone or with other images. Otherwise waits for the other images.
    async fn publish(&mut self, image: ImageNumber, staged: Box<StagedIndex>) {
        match self.atomic.ready(image, staged) {
            Next::Wait => {}
            Next::Withhold(reason) => self.emit(image, ImageEvent::Withheld { reason: reason.into() }).await,
            Next::Publish(ready) => {
                let (gates, events, shutdown) = (self.gates, self.events.clone(), self.shutdown.clone());
                let (images, staged): (Vec<_>, Vec<_>) =
                    ready.into_iter().map(|(image, staged)| (image, *staged)).unzip();
                self.tasks.spawn(async move {
                    let ended = publication::publish(staged, gates, &events, &shutdown).await;
                    Done::Published(images.into_iter().zip(ended).collect())
                });
            }
        }
    }

    /// Reports that an image failed before its tags could move.
    pub(in crate::run) async fn fail(&mut self, image: ImageNumber, failure: Failure) {
        self.emit(image, ImageEvent::Failed(failure)).await;
        self.lose(image, "failed").await;
    }

    /// Reports that the run does not join an image.
    pub(in crate::run) async fn leave_out(&mut self, image: ImageNumber, reason: String) {
        self.emit(image, ImageEvent::NotJoined { reason: reason.into() }).await;
        self.lose(image, "was not joined").await;
    }

    /// Notes that an image will not be ready. polyarch withholds the images whose tags would move with its tags.
    pub(in crate::run) async fn lose(&mut self, image: ImageNumber, how: &str) {
        let event = format!("{} {how}", self.names[image.0]);
        for (image, reason) in self.atomic.lose(&event) {
            self.emit(image, ImageEvent::Withheld { reason: reason.into() }).await;
        }
    }

    /// Moves no tags of further images.
    pub(in crate::run) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Ends all tasks.
    pub(in crate::run) async fn end(&mut self) {
        self.tasks.shutdown().await;
    }

    pub(in crate::run) async fn emit(&self, image: ImageNumber, what: ImageEvent) {
        ImageReporter { image: &self.names[image.0], events: &self.events }.emit(what).await;
    }
}

/// The failure of a task that panicked. This is a fault of polyarch, and the run must not look like a success. `None` if
/// the task was cancelled.
pub(in crate::run) fn of_panic(error: &JoinError) -> Option<Failure> {
    let hint = "report this fault of polyarch, with the lines above";
    (!error.is_cancelled())
        .then(|| failure(Phase::Internal, &format!("internal error: {error}"), Some(hint.to_owned())))
}
