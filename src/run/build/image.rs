//! The state of an image while its jobs run.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::end::JobEnd;
use super::engine_tags::{self, BuiltPlatform, ImageToName};
use crate::engine::Engine;
use crate::oci::Digest;
use crate::plan::Image;
use crate::run::event::Execution;
use crate::run::fetch::found::Found;
use crate::run::preflight::request::BuildRun;
use crate::run::publish::publication::Publication;
use crate::run::publish::target::Target;
use crate::run::schedule::goal::Goal;
use crate::run::schedule::scheduled::ScheduledJob;
use crate::run::storage::registry::Registry;

/// The state of an image and its jobs.
pub(super) struct ImageState {
    target: Target,
    /// Platforms that the command line left out, as text.
    left_out: Option<String>,
    builds: CancellationToken,
    /// The number of jobs that have not ended.
    open: usize,
    failed: bool,
    found: Vec<Found>,
    /// The images that have their engine's own platform.
    native: Vec<(Arc<Engine>, Digest)>,
    /// The images that get names on their engine.
    built: Vec<BuiltPlatform>,
}

/// The next step after a job ended.
pub(in crate::run) enum Step {
    /// Other jobs are still open, or the image has failed.
    Wait,
    /// All jobs ended, and the run does not join the image. The text gives the reason.
    NotJoined(String),
    /// Every platform is confirmed.
    Publish(Box<Publication>),
    /// Every platform is built, and gets a name on its engine.
    Load(Box<ImageToName>),
}

impl ImageState {
    pub(in crate::run) fn new(image: &Image, target: Target, builds: CancellationToken) -> Self {
        let left_out: Vec<_> = image.left_out.iter().map(ToString::to_string).collect();
        let left_out = (!left_out.is_empty()).then(|| format!("{} was left out", left_out.join(", ")));
        let open = image.jobs.len();
        Self { target, left_out, builds, open, failed: false, found: Vec::new(), native: Vec::new(), built: Vec::new() }
    }

    pub(in crate::run) fn target(&self) -> &Target {
        &self.target
    }

    pub(in crate::run) fn builds(&self) -> &CancellationToken {
        &self.builds
    }

    /// Whether a job of the image has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Records the end of one of the image's jobs.
    pub(super) fn job_ended(&mut self, scheduled: &ScheduledJob, end: JobEnd, run: &BuildRun) -> Step {
        self.open -= 1;
        match (end, scheduled) {
            (JobEnd::Confirmed { found, id }, ScheduledJob::Build(build)) => {
                self.found.push(*found);
                let engine = &run.engines.list()[build.engine].engine;
                let kept = build.job.arch_tags.are_pushed();
                let native = engine.facts().platform == build.job.platform;
                let keeps_images = !engine.is_buildkit_alone();
                if kept && native && keeps_images && build.execution == Execution::Native {
                    self.native.push((engine.clone(), id));
                }
            }
            (JobEnd::Built { id, own }, ScheduledJob::Build(build)) => {
                let engine = run.engines.list()[build.engine].engine.clone();
                self.built.push(BuiltPlatform {
                    engine,
                    arch_tag: build.job.arch_tag.clone(),
                    part: engine_tags::part(&own, build, id),
                });
            }
            (JobEnd::Imported { found }, _) => self.found.push(*found),
            (JobEnd::Chosen { .. }, _) => {}
            (
                JobEnd::Failed(_)
                | JobEnd::EngineLost { .. }
                | JobEnd::Cancelled
                | JobEnd::Confirmed { .. }
                | JobEnd::Built { .. },
                _,
            ) => {
                self.failed = true;
            }
        }
        if self.open > 0 {
            return Step::Wait;
        }
        if self.failed {
            return run.goal.keeps_tags().map_or(Step::Wait, |option| Step::NotJoined(option.to_owned()));
        }
        let option = match run.goal {
            Goal::Load if self.built.is_empty() => Some("--load does not load imported images"),
            Goal::Load => return Step::Load(Box::new(self.loading())),
            goal => goal.keeps_tags(),
        };
        let reasons: Vec<_> = option.into_iter().chain(self.left_out.as_deref()).collect();
        if reasons.is_empty() {
            return Step::Publish(Box::new(self.publication(run)));
        }
        Step::NotJoined(reasons.join(", "))
    }

    fn loading(&mut self) -> ImageToName {
        ImageToName::new(self.target.clone(), std::mem::take(&mut self.built))
    }

    fn publication(&mut self, run: &BuildRun) -> Publication {
        let registry = &run.registries.first;
        let local = matches!(registry, Registry::Embedded { .. });
        let names = if local { std::mem::take(&mut self.native) } else { Vec::new() };
        let mut publication = Publication::new(self.target.clone(), std::mem::take(&mut self.found), registry);
        publication.names = names;
        publication
    }
}
