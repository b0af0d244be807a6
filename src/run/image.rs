//! What is known of an image while its jobs run, and its publication once all of them are confirmed.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::access::Registry;
use super::assign::ScheduledJob;
use super::attestations;
use super::confirm::Found;
use super::event::{Event, Execution, Failure, ImageEvent};
use super::failure::of_engine;
use super::gates::Gates;
use super::job::{Goal, JobEnd};
use super::load::{self, Loading};
use super::publish::{self, Target};
use super::request::BuildRun;
use super::shutdown::Shutdown;
use super::{Phase, Warning};
use crate::engine::{Engine, Part};
use crate::oci::{Digest, Tag};
use crate::plan::{ArchTags, Image};
use crate::registry::Client;

/// An image and how far its jobs are.
pub(super) struct ImageState {
    target: Target,
    /// Platforms that were left out on the command line, in words.
    left_out: Option<String>,
    builds: CancellationToken,
    /// Jobs that have not ended.
    open: usize,
    failed: bool,
    found: Vec<Found>,
    /// The images that are of their engine's own platform.
    native: Vec<(Arc<Engine>, Digest)>,
    /// What is to get names on its engine.
    built: Vec<(Arc<Engine>, Part)>,
}

/// What follows from a job's end.
pub(super) enum Step {
    /// Others are still open, or the image is lost.
    Wait,
    /// All is done that was asked for, and it was not asked to be joined.
    NotJoined(String),
    /// Every platform is confirmed.
    Publish(Box<Publication>),
    /// Every platform is built, to be named on its engine.
    Load(Box<Loading>),
}

impl ImageState {
    pub(super) fn new(image: &Image, target: Target, builds: CancellationToken) -> Self {
        let left_out: Vec<_> = image.left_out.iter().map(ToString::to_string).collect();
        let left_out = (!left_out.is_empty()).then(|| format!("{} was left out", left_out.join(", ")));
        let open = image.jobs.len();
        Self { target, left_out, builds, open, failed: false, found: Vec::new(), native: Vec::new(), built: Vec::new() }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn builds(&self) -> &CancellationToken {
        &self.builds
    }

    /// Takes the end of one of its jobs.
    pub(super) fn job_ended(&mut self, scheduled: &ScheduledJob, end: JobEnd, run: &BuildRun) -> Step {
        self.open -= 1;
        match (end, scheduled) {
            (JobEnd::Confirmed { found, id }, ScheduledJob::Build(build)) => {
                self.found.push(*found);
                let engine = &run.engines.list()[build.engine].engine;
                let kept = build.job.arch_tags == ArchTags::Keep;
                let native = engine.facts().platform == build.job.platform;
                if kept && native && build.execution == Execution::Native {
                    self.native.push((engine.clone(), id));
                }
            }
            (JobEnd::Built { id }, ScheduledJob::Build(build)) => {
                let engine = run.engines.list()[build.engine].engine.clone();
                self.built.push((engine, load::part(&self.target, build, id)));
            }
            (JobEnd::Adopted { found }, _) => self.found.push(*found),
            (JobEnd::Chosen { .. }, _) => {}
            (JobEnd::Failed(_) | JobEnd::Cancelled | JobEnd::Confirmed { .. } | JobEnd::Built { .. }, _) => {
                self.failed = true;
            }
        }
        if self.open > 0 || self.failed {
            return Step::Wait;
        }
        let asked = match run.goal {
            Goal::Build => Some("--no-push"),
            Goal::Load if self.built.is_empty() => Some("--load leaves what is adopted where it is"),
            Goal::Load => return Step::Load(Box::new(self.loading())),
            Goal::Push => Some("--no-join"),
            Goal::Publish => None,
        };
        let reasons: Vec<_> = asked.into_iter().chain(self.left_out.as_deref()).collect();
        if reasons.is_empty() {
            return Step::Publish(Box::new(self.publication(run)));
        }
        Step::NotJoined(reasons.join(", "))
    }

    fn loading(&mut self) -> Loading {
        Loading::new(self.target.clone(), std::mem::take(&mut self.built))
    }

    fn publication(&mut self, run: &BuildRun) -> Publication {
        let local = matches!(run.registry, Registry::Embedded { .. });
        Publication {
            target: self.target.clone(),
            found: std::mem::take(&mut self.found),
            client: run.registry.client().clone(),
            gates: run.gates,
            names: if local { std::mem::take(&mut self.native) } else { Vec::new() },
        }
    }
}

/// An image whose every platform is confirmed, on its way to its final tags.
pub(super) struct Publication {
    target: Target,
    found: Vec<Found>,
    client: Client,
    gates: Gates,
    /// Images that get the final names on their engine, so that `docker run NAME:TAG` works.
    names: Vec<(Arc<Engine>, Digest)>,
}

impl Publication {
    /// Of children that were found in the registry: no engine has them for sure.
    pub(super) fn of_registry(target: Target, found: Vec<Found>, registry: &Registry, gates: Gates) -> Self {
        Self { target, found, client: registry.client().clone(), gates, names: Vec::new() }
    }

    pub(super) async fn run(self, events: &mpsc::Sender<Event>, shutdown: &Shutdown) -> Result<(), Failure> {
        let Self { mut target, found, client, gates, names } = self;
        target.read_here = found.iter().map(|found| found.child.manifest().digest().clone()).collect();
        attestations::warn(&target.image, &found, events).await;
        let pushed = publish::pushed(&target, &found);
        let index = publish::join(&target, found)?;
        publish::publish(&client, &target, &index, &pushed, gates, events, shutdown).await?;
        for (engine, id) in &names {
            for tag in &target.tags {
                name_on_engine(&target, engine, id, tag, events).await;
            }
        }
        Ok(())
    }
}

/// A convenience that fails nothing: the image is published.
async fn name_on_engine(target: &Target, engine: &Engine, id: &Digest, tag: &Tag, events: &mpsc::Sender<Event>) {
    let name = target.repository.path().as_str();
    let event = match engine.name_image(id, name, tag.as_str()).await {
        Ok(()) => {
            let what = ImageEvent::TaggedOnEngine { name: format!("{name}:{tag}") };
            Event::Image { image: target.image.clone(), what }
        }
        Err(error) => {
            let Failure { message, hint, .. } = of_engine(Phase::Publish, &error);
            Event::Warning(Warning { image: Some(target.image.clone()), platform: None, message, hint })
        }
    };
    drop(events.send(event).await);
}
