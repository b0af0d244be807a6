//! The run as a whole, and what events do to its report.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{ImageReport, Leftover, PlatformReport};
use crate::oci::DigestRef;
use crate::run::{Event, EventSink, Failure, JobId, Phase, Warning};

/// The version of the report's JSON. Fields may be added in one version; what is there keeps its meaning.
pub const REPORT_VERSION: u32 = 1;
/// Warnings that are kept; more are counted.
pub const MAX_WARNINGS: usize = 1000;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The run as a whole.
    pub run: Run,
    /// The images, in the plan's order.
    pub images: Vec<ImageReport>,
    /// Each warning once an image, in the order in which they came.
    pub warnings: Vec<Warning>,
    /// Warnings beyond [`MAX_WARNINGS`].
    pub warnings_dropped: usize,
    /// What an unfinished run left in registries; filled by [`Report::finish`].
    pub leftovers: Vec<Leftover>,
}

/// The run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The version of polyarch.
    pub polyarch: &'static str,
    /// When it began: RFC 3339, UTC.
    pub started: String,
    /// How long it took, in seconds, by a clock that does not jump.
    pub seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code of the process.
    pub exit_code: u8,
    /// Why it stopped before its end, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Failures that belong to no image.
    pub failures: Vec<Failure>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not.
    Running,
    /// All that was asked for was done and verified.
    Succeeded,
    /// Something failed.
    Failed,
    /// A signal ended it.
    Interrupted,
}

impl Phase {
    /// The exit code of a failure in this phase.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Plan => 2,
            Self::Preflight => 3,
            Self::Build => 4,
            Self::Push => 5,
            Self::Publish => 6,
            Self::Verify => 7,
            Self::Timeout => 124,
            Self::Internal => 70,
        }
    }
}

impl Report {
    /// The report of a run that begins at `started`.
    #[must_use]
    pub fn new(started: SystemTime) -> Self {
        let started = time::OffsetDateTime::from(started);
        let started = started.replace_nanosecond(0).unwrap_or(started);
        let run = Run {
            polyarch: env!("CARGO_PKG_VERSION"),
            // A year beyond 9999 has no RFC 3339 form; such a clock says nothing.
            started: started.format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
            seconds: 0.0,
            outcome: Outcome::Running,
            exit_code: 0,
            stopped: None,
            failures: Vec::new(),
        };
        let (images, warnings, leftovers) = (Vec::new(), Vec::new(), Vec::new());
        Self { version: REPORT_VERSION, run, images, warnings, warnings_dropped: 0, leftovers }
    }

    /// All failures: of the run, then image by image, platforms first.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.run.failures.iter().chain(self.images.iter().flat_map(ImageReport::failures))
    }

    /// The exit code that the events call for: of several failures the earliest phase's; 1 where nothing failed and
    /// yet not all was verified; else 0. A signal's code (129, 130, 143) is the caller's business.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.failures().map(|failure| failure.phase).min() {
            Some(phase) => phase.exit_code(),
            None if self.run.stopped.is_some() || !self.images.iter().all(ImageReport::is_done) => 1,
            None => 0,
        }
    }

    /// Ends the report: `at` is the length of the run, `exit_code` what the process will exit with. A second call
    /// overwrites what the first one said.
    pub fn finish(&mut self, at: Duration, exit_code: u8) {
        self.run.seconds = seconds(at);
        self.run.exit_code = exit_code;
        self.run.outcome = match exit_code {
            0 => Outcome::Succeeded,
            129 | 130 | 143 => Outcome::Interrupted,
            _ => Outcome::Failed,
        };
        self.images.iter_mut().flat_map(|image| &mut image.platforms).for_each(PlatformReport::finish);
        self.leftovers = self.images.iter().flat_map(ImageReport::leftovers).collect();
    }

    /// The indexes that were read back, image by image: the result of the run.
    pub fn verified(&self) -> impl Iterator<Item = &DigestRef> {
        self.images.iter().flat_map(|image| &image.verified)
    }

    fn warn(&mut self, warning: &Warning) {
        let same = |known: &Warning| known.image == warning.image && known.message == warning.message;
        if self.warnings.iter().any(same) {
            return;
        }
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning.clone());
        } else {
            self.warnings_dropped += 1;
        }
    }

    fn image(&mut self, name: &str) -> Option<&mut ImageReport> {
        self.images.iter_mut().find(|image| image.image == name)
    }

    fn platform(&mut self, job: &JobId) -> Option<&mut PlatformReport> {
        self.image(&job.image)?.platforms.iter_mut().find(|platform| platform.platform == job.platform)
    }
}

impl EventSink for Report {
    fn event(&mut self, at: Duration, event: &Event) {
        self.run.seconds = seconds(at);
        match event {
            Event::Started { images, jobs } => {
                self.images = images.iter().map(|image| ImageReport::new(image, jobs)).collect();
            }
            Event::Job { job, what } => {
                if let Some(platform) = self.platform(job) {
                    platform.event(what);
                }
            }
            Event::Image { image, what } => {
                if let Some(image) = self.image(image) {
                    image.event(what);
                }
            }
            Event::Warning(warning) => self.warn(warning),
            Event::Failed(failure) => self.run.failures.push(failure.clone()),
            Event::Stopping { reason } => self.run.stopped = Some(reason.clone()),
        }
    }
}

/// Seconds to the millisecond: more digits say nothing and make reports differ.
#[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
fn seconds(at: Duration) -> f64 {
    at.as_millis() as f64 / 1000.0
}
