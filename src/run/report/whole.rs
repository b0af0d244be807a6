//! Reports the run as a whole, and applies events to the report.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::ImageReport;
use super::Leftover;
use super::PlatformReport;
use crate::oci::{DigestRef, Location};
use crate::run::Event;
use crate::run::EventSink;
use crate::run::Failure;
use crate::run::JobId;
use crate::run::Phase;
use crate::run::Warning;
use crate::run::report::failure_of::FailureOf;
use crate::text::Text;

/// The version of the report's JSON. The version may get new fields, but existing fields keep their meaning.
pub const REPORT_VERSION: u32 = 1;
/// The JSON Schema (draft 2020-12) of the report: `polyarch schema report`.
pub const REPORT_SCHEMA: &str = include_str!("schema.json");
/// How many warnings the report keeps. Further warnings are only counted.
pub const MAX_WARNINGS: usize = 1000;

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The run as a whole.
    pub run: Run,
    /// The images, in the plan's order.
    pub images: Vec<ImageReport>,
    /// Each warning once for each image, in the order of the events.
    pub warnings: Vec<Warning>,
    /// The number of warnings beyond [`MAX_WARNINGS`].
    pub warnings_dropped: usize,
    /// Everything that an unfinished run left in registries. [`Report::finish`] fills this list.
    pub leftovers: Vec<Leftover>,
}

/// The run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// The version of polyarch.
    pub polyarch: &'static str,
    /// The start of the run: RFC 3339, UTC.
    pub started: String,
    /// The duration of the run in seconds, by a clock that does not jump.
    pub seconds: f64,
    /// How the run ended.
    pub outcome: Outcome,
    /// The exit code of the process.
    pub exit_code: u8,
    /// Why the run stopped before its end, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Text>,
    /// Failures that do not concern one image.
    #[serde(skip)]
    pub failures: Vec<Failure>,
    /// Every failure of the run, with its image and its platform. [`Report::finish`] fills this list.
    #[serde(rename = "failures")]
    pub all_failures: Vec<FailureOf>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The run has not ended.
    Running,
    /// The run did and verified everything that the user asked for.
    Succeeded,
    /// A step failed.
    Failed,
    /// A signal ended the run.
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
            // A year beyond 9999 has no RFC 3339 form, and a clock with such a year is wrong.
            started: started.format(&time::format_description::well_known::Rfc3339).unwrap_or_default(),
            seconds: 0.0,
            outcome: Outcome::Running,
            exit_code: 0,
            stopped: None,
            failures: Vec::new(),
            all_failures: Vec::new(),
        };
        let (images, warnings, leftovers) = (Vec::new(), Vec::new(), Vec::new());
        Self { version: REPORT_VERSION, run, images, warnings, warnings_dropped: 0, leftovers }
    }

    /// All failures: first the failures of the run, and then the failures of each image. The failures of an image's
    /// platforms come before the image's own.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.run.failures.iter().chain(self.images.iter().flat_map(ImageReport::failures))
    }

    /// The exit code that the events require. If there are several failures, the earliest phase decides. If nothing
    /// failed but polyarch did not verify everything, the code is 1. Otherwise the code is 0. The caller handles the
    /// codes of signals (129, 130, 143).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.failures().map(|failure| failure.phase).min() {
            Some(phase) => phase.exit_code(),
            None if self.run.stopped.is_some() || !self.images.iter().all(ImageReport::is_done) => 1,
            None => 0,
        }
    }

    /// Ends the report. `at` is the duration of the run, and `exit_code` is the exit code of the process. A second call
    /// overwrites the results of the first call.
    pub fn finish(&mut self, at: Duration, exit_code: u8) {
        self.run.seconds = seconds(at);
        self.run.exit_code = exit_code;
        self.run.outcome = match exit_code {
            0 => Outcome::Succeeded,
            129 | 130 | 143 => Outcome::Interrupted,
            _ => Outcome::Failed,
        };
        self.images.iter_mut().for_each(ImageReport::finish);
        let own = |failure: &Failure| FailureOf { image: None, platform: None, failure: failure.clone() };
        let own = self.run.failures.iter().map(own);
        let of_images = self.images.iter().flat_map(|image| image.all_failures.iter().cloned());
        self.run.all_failures = own.chain(of_images).collect();
        self.leftovers = self.images.iter().flat_map(ImageReport::leftovers).collect();
    }

    /// The indexes that polyarch read back, image by image. These indexes are the result of the run.
    pub fn verified(&self) -> impl Iterator<Item = &DigestRef<Location>> {
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

/// Seconds to the millisecond. More digits mean nothing and make reports differ.
#[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
fn seconds(at: Duration) -> f64 {
    at.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::platform::{LOG_TAIL_BYTES, LOG_TAIL_LINES};
    use super::*;
    use crate::oci::{Digest, Location, Reference, Selector, TagRef};
    use crate::run::Destination;
    use crate::run::Execution;
    use crate::run::ImageEvent;
    use crate::run::JobEvent;
    use crate::run::JobSource;
    use crate::run::LeftoverKind;
    use crate::run::PlannedImage;
    use crate::run::PlannedJob;
    use crate::run::Status;

    fn tag(name: &str) -> TagRef<Location> {
        arch_tag(name).into()
    }

    fn arch_tag(name: &str) -> TagRef {
        let reference: Reference = format!("127.0.0.1:5000/{name}").parse().unwrap();
        let Selector::Tag(tag) = reference.selector else { panic!("{name} is not a tag") };
        reference.repository.tag(tag)
    }

    /// A report of the images `a` and `b`, each for amd64 and arm64.
    fn started() -> Report {
        let mut report = Report::new(SystemTime::UNIX_EPOCH);
        let images = ["a", "b"].map(|name| PlannedImage {
            image: name.to_owned(),
            tags: vec![tag(&format!("{name}:1"))],
            copies: Vec::new(),
        });
        let jobs = ["a", "b"].into_iter().flat_map(|name| ["amd64", "arm64"].map(|arch| job(name, arch)));
        let jobs = jobs.map(|job| PlannedJob {
            destination: Destination::ArchTag(arch_tag(&format!("{}:1-{}", job.image, job.platform.architecture()))),
            builds_on: Vec::new(),
            job,
            by: JobSource::Engine { engine: "default".into(), execution: Execution::Native },
        });
        report.event(Duration::ZERO, &Event::Started { images: images.to_vec(), jobs: jobs.collect() });
        report
    }

    fn job(image: &str, arch: &str) -> JobId {
        JobId { image: image.to_owned(), platform: format!("linux/{arch}").parse().unwrap() }
    }

    fn on(report: &mut Report, image: &str, arch: &str, what: JobEvent) {
        report.event(Duration::from_millis(1234), &Event::Job { job: job(image, arch), what });
    }

    fn of(report: &mut Report, image: &str, what: ImageEvent) {
        report.event(Duration::from_millis(1234), &Event::Image { image: image.to_owned(), what });
    }

    fn publish(report: &mut Report, image: &str) {
        of(report, image, ImageEvent::Tagged { tag: tag(&format!("{image}:1")), unchanged: false });
        let index = tag(&format!("{image}:1")).repository.digest(Digest::of(image.as_bytes()));
        of(report, image, ImageEvent::Verified { index });
    }

    fn failure(phase: Phase) -> Failure {
        Failure::new(phase, format!("{phase:?}").into(), None)
    }

    #[test]
    fn only_verified_images_are_a_success() {
        let mut report = started();
        assert_eq!(report.exit_code(), 1, "nothing was done");
        publish(&mut report, "a");
        assert_eq!(report.exit_code(), 1, "b is missing");
        publish(&mut report, "b");
        assert_eq!(report.exit_code(), 0);
        report.event(Duration::ZERO, &Event::Stopping { reason: "interrupted".into() });
        assert_eq!(report.exit_code(), 1, "the run was stopped");
    }

    #[test]
    fn tag_that_did_not_move_is_a_failure() {
        let mut report = started();
        publish(&mut report, "b");
        let index = tag("a:1").repository.digest(Digest::of(b"a"));
        of(&mut report, "a", ImageEvent::Verified { index });
        assert_eq!(report.exit_code(), 1);
    }

    #[test]
    fn earliest_failed_phase_decides_the_exit_code() {
        let mut report = started();
        of(&mut report, "a", ImageEvent::Failed(failure(Phase::Publish)));
        assert_eq!(report.exit_code(), 6);
        on(&mut report, "b", "arm64", JobEvent::Failed(failure(Phase::Push)));
        assert_eq!(report.exit_code(), 5);
        on(&mut report, "b", "amd64", JobEvent::Failed(failure(Phase::Build)));
        assert_eq!(report.exit_code(), 4);
        report.event(Duration::ZERO, &Event::Failed(failure(Phase::Preflight)));
        assert_eq!(report.exit_code(), 3);
    }

    #[test]
    fn each_phase_has_its_documented_exit_code() {
        use Phase::{Build, Internal, Plan, Preflight, Publish, Push, Timeout, Verify};
        let codes = [Plan, Preflight, Build, Push, Publish, Verify, Timeout, Internal].map(Phase::exit_code);
        assert_eq!(codes, [2, 3, 4, 5, 6, 7, 124, 70]);
    }

    #[test]
    fn leftovers_are_pushed_tags_of_an_unfinished_image() {
        let mut report = started();
        on(&mut report, "a", "amd64", JobEvent::PushStarted { to: arch_tag("a:1-amd64") });
        on(&mut report, "a", "amd64", JobEvent::Pushed { seconds: 1.0, layers_pushed: 1 });
        on(&mut report, "a", "amd64", JobEvent::Cancelled);
        on(&mut report, "a", "arm64", JobEvent::PushStarted { to: arch_tag("a:1-arm64") });
        on(&mut report, "a", "arm64", JobEvent::Failed(failure(Phase::Push)));
        on(&mut report, "b", "amd64", JobEvent::PushStarted { to: arch_tag("b:1-amd64") });
        publish(&mut report, "b");
        report.finish(Duration::from_secs(2), report.exit_code());
        let left: Vec<_> = report.leftovers.iter().map(|left| (left.name.to_string(), left.kind)).collect();
        assert_eq!(
            left,
            [
                ("127.0.0.1:5000/a:1-amd64".to_owned(), LeftoverKind::ArchTag),
                ("127.0.0.1:5000/a:1-arm64".to_owned(), LeftoverKind::PerhapsArchTag),
            ]
        );
    }

    #[test]
    fn final_tag_that_moved_before_a_failure_is_a_leftover() {
        let mut report = started();
        publish(&mut report, "a");
        of(&mut report, "a", ImageEvent::Failed(failure(Phase::Verify)));
        report.finish(Duration::from_secs(2), report.exit_code());
        assert_eq!(report.leftovers[0].kind, LeftoverKind::FinalTag);
        assert_eq!((report.run.exit_code, report.run.outcome), (7, Outcome::Failed));
    }

    #[test]
    fn report_keeps_only_the_end_of_a_failed_log() {
        let mut report = started();
        for arch in ["amd64", "arm64"] {
            for n in 0..1000 {
                on(&mut report, "a", arch, JobEvent::Log { line: n.to_string().into() });
            }
        }
        on(&mut report, "a", "amd64", JobEvent::Failed(failure(Phase::Build)));
        on(&mut report, "a", "arm64", JobEvent::Cancelled);
        for _ in 0..10 {
            on(&mut report, "b", "amd64", JobEvent::Log { line: "x".repeat(LOG_TAIL_BYTES / 4).into() });
        }
        on(&mut report, "b", "amd64", JobEvent::Failed(failure(Phase::Build)));
        report.finish(Duration::ZERO, 4);
        let tail = |image: usize, platform: usize| &report.images[image].platforms[platform].log_tail;
        assert_eq!(tail(0, 0).len(), LOG_TAIL_LINES);
        assert_eq!((tail(0, 0)[0].as_str(), tail(0, 0)[49].as_str()), ("950", "999"));
        assert!(tail(0, 1).is_empty(), "arm64 did not fail");
        assert_eq!(tail(1, 0).len(), 4);
    }

    #[test]
    fn report_keeps_each_warning_once_per_image() {
        let mut report = started();
        let warn = |report: &mut Report, image: &str, arch: &str, message: String| {
            let JobId { image, platform } = job(image, arch);
            let warning = Warning { image: Some(image), platform: Some(platform), message: message.into(), hint: None };
            report.event(Duration::ZERO, &Event::Warning(warning));
        };
        for (image, arch) in [("a", "amd64"), ("a", "arm64"), ("b", "amd64")] {
            warn(&mut report, image, arch, "same".to_owned());
        }
        assert_eq!(report.warnings.len(), 2);
        (0..MAX_WARNINGS).for_each(|n| warn(&mut report, "a", "amd64", n.to_string()));
        assert_eq!((report.warnings.len(), report.warnings_dropped), (MAX_WARNINGS, 2));
    }

    #[test]
    fn events_of_unknown_jobs_change_no_report() {
        let (mut report, before) = (started(), started());
        on(&mut report, "c", "amd64", JobEvent::BuildStarted { engine: "other".into(), execution: Execution::Native });
        of(&mut report, "c", ImageEvent::NotJoined { reason: String::new().into() });
        assert_eq!(report.images, before.images);
    }

    #[test]
    fn report_json_has_a_version_and_the_outcome() {
        let mut report = started();
        on(&mut report, "a", "amd64", JobEvent::BuildStarted { engine: "other".into(), execution: Execution::Native });
        report.finish(Duration::from_millis(1500), 130);
        assert_eq!(report.images[0].platforms[0].status, Status::Building);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(
            json["run"],
            serde_json::json!({
                "polyarch": env!("CARGO_PKG_VERSION"), "started": "1970-01-01T00:00:00Z", "seconds": 1.5,
                "outcome": "interrupted", "exit_code": 130, "failures": [],
            })
        );
        assert_eq!(json["images"][0]["tags"][0]["state"], "not_moved");
    }
}
