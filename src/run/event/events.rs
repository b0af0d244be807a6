//! The events of a run. The displays and the report know a run only by its events.
//!
//! Texts from outside come from engines, registries and file names. Each of them is a [`Text`], which only the
//! sanitiser makes. Names of images and engines come from the plan. They contain only letters, digits, `-` and `_`.

use std::time::Duration;

use serde::Serialize;

use super::cause::{Cause, Reason};
use super::phase::Phase;
use crate::oci::{Digest, DigestRef, Entry, Location, Platform, Repository, TagRef};
use crate::text::Text;

/// One platform of one image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct JobId {
    /// The image's name in the plan.
    pub image: String,
    /// The platform.
    pub platform: Platform,
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.image, self.platform)
    }
}

/// An event of a run. Events are emitted in the order in which they happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The run begins. polyarch has only asked the engines for their facts.
    Started {
        /// The images, in the plan's order.
        images: Vec<PlannedImage>,
        /// The jobs: images and their platforms in the plan's order.
        jobs: Vec<PlannedJob>,
    },
    /// An event of one platform of an image.
    Job {
        /// The job of the event.
        #[serde(flatten)]
        job: JobId,
        /// The event.
        #[serde(flatten)]
        what: JobEvent,
    },
    /// An event of an image as a whole.
    Image {
        /// The image's name in the plan.
        image: String,
        /// The event.
        #[serde(flatten)]
        what: ImageEvent,
    },
    /// A warning for the user. The run continues.
    Warning(Warning),
    /// The run failed as a whole: its plan, an engine or a registry cannot be used.
    Failed(Failure),
    /// The run is stopping early.
    Stopping {
        /// The reason: `interrupted`, `timed out after 10m`.
        reason: Text,
    },
}

/// An image of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedImage {
    /// The image's name in the plan.
    pub image: String,
    /// Its final tags in every target registry.
    pub tags: Vec<TagRef<Location>>,
    /// The repositories that get copies of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Location>,
}

/// A job of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedJob {
    /// The job.
    #[serde(flatten)]
    pub job: JobId,
    /// The origin of its image: an engine or a copy.
    #[serde(flatten)]
    pub by: JobSource,
    /// The push destination of its image.
    #[serde(flatten)]
    pub destination: Destination,
    /// The jobs that it builds on. It begins when they are confirmed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub builds_on: Vec<JobId>,
}

/// The origin of a platform's image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum JobSource {
    /// An engine builds the image.
    Engine {
        /// The name of the engine.
        engine: Text,
        /// Whether the engine's processor runs the platform, or the engine emulates it.
        execution: Execution,
    },
    /// polyarch copies the image.
    Copy {
        /// The source from the plan's `from`.
        from: Text,
    },
}

/// The push destination of a platform's image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Destination {
    /// A tag of its own.
    ArchTag(TagRef),
    /// This repository, by digest and without a tag.
    Repository(Repository),
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ArchTag(tag) => write!(f, "{tag}"),
            Self::Repository(repository) => write!(f, "{repository} by digest"),
        }
    }
}

/// The way in which an engine runs the programs of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// The engine's processor runs the programs.
    Native,
    /// binfmt and QEMU run the programs.
    Emulated,
}

/// The events of a job, roughly in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobEvent {
    /// An engine has a free slot, and the build begins there.
    BuildStarted {
        /// The name of the engine. It may be another one than the planned engine.
        engine: Text,
        /// Whether the engine's processor runs the platform, or the engine emulates it.
        execution: Execution,
    },
    /// The engine was lost before the registry had the image. The job waits for another engine.
    Moved {
        /// The name of the lost engine.
        from: Text,
        /// Why the job failed there, in one line.
        reason: Text,
    },
    /// A step of the build began.
    StepStarted {
        /// BuildKit's name of the step: `[2/5] RUN make`.
        step: Text,
    },
    /// A step of the build ended.
    StepEnded {
        /// BuildKit's name of the step.
        step: Text,
        /// Whether the result came from the cache.
        cached: bool,
        /// The duration in seconds.
        seconds: f64,
        /// BuildKit's error, if the step failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Text>,
    },
    /// A line of output from a step.
    Log {
        /// The line without its line break.
        line: Text,
    },
    /// The number of bytes that moved so far.
    Progress {
        /// The content that moves.
        of: Transfer,
        /// The bytes so far.
        bytes: u64,
        /// The total of bytes, if known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// The engine has the image. polyarch inspected the image and found the planned platform.
    Built {
        /// The engine's id of the image.
        id: Digest,
        /// The duration of the build in seconds.
        seconds: f64,
        /// The number of steps from the cache.
        cached_steps: usize,
        /// The number of all steps.
        steps: usize,
        /// The bytes of context files that the engine requested.
        context_bytes: u64,
    },
    /// The push began.
    PushStarted {
        /// The target of the push.
        to: TagRef,
    },
    /// The engine reported that the push succeeded.
    Pushed {
        /// The duration in seconds.
        seconds: f64,
        /// The number of layers that the registry did not have.
        layers_pushed: usize,
    },
    /// The source has an image of the platform. polyarch fetched its manifest and checked the hash.
    Chosen {
        /// The image by digest, in its source.
        #[serde(rename = "reference")]
        image: DigestRef,
        /// The size of config and layers in bytes.
        bytes: u64,
    },
    /// The copy began.
    CopyStarted {
        /// The target of the copy.
        to: Repository,
    },
    /// The repository has the whole image, and its arch tag if the job pushes one.
    Copied {
        /// The duration in seconds.
        seconds: f64,
        /// The counts of copied and existing content.
        #[serde(flatten)]
        copied: Copied,
    },
    /// The registry has the image that was built or copied. polyarch fetched manifest and config, hashed them, and
    /// compared the digests.
    Confirmed {
        /// The image by digest.
        #[serde(rename = "reference")]
        image: DigestRef,
        /// The size of config and layers in the registry, in bytes.
        bytes: u64,
    },
    /// A request failed, but the fault may pass. polyarch tries again.
    Retried {
        /// The step that polyarch repeats.
        doing: Repeated,
        /// The number of the failed attempt, from 1.
        attempt: u32,
        /// The wait before the next attempt, in seconds.
        wait: f64,
        /// The error, in one line.
        error: Text,
    },
    /// A step is still running, although it reported nothing for a while.
    StillRunning {
        /// The step in progress.
        doing: Doing,
        /// The duration of the step so far, in seconds.
        seconds: f64,
    },
    /// The job failed.
    Failed(Failure),
    /// The job never began, because a job that it builds on failed.
    NotBuilt {
        /// The reason: `base linux/arm64 failed`.
        reason: Text,
    },
    /// The job was stopped, because another job failed or the user stopped the run.
    Cancelled,
}

/// Content that moves between this machine, an engine and a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transfer {
    /// Files of the context, to the engine.
    Context,
    /// An image from another repository.
    Copy,
}

/// A step that polyarch repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repeated {
    /// A build: another run took its name on the engine.
    Build,
    /// A push by the engine.
    Push,
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Build => "build",
            Self::Push => "push",
        })
    }
}

/// A step of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Doing {
    /// The engine builds the image.
    Building,
    /// The engine pushes the image.
    Pushing,
    /// polyarch copies the image.
    Copying,
    /// polyarch reads the image back from the registry.
    Confirming,
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Building => "building",
            Self::Pushing => "pushing",
            Self::Copying => "copying",
            Self::Confirming => "confirming",
        })
    }
}

/// The events of an image, in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageEvent {
    /// Images of other runs are still missing (`join --wait`). Emitted when the list changes, and every 30 s.
    Waiting {
        /// The missing images.
        missing: Vec<Text>,
        /// The waiting time so far, in seconds.
        seconds: f64,
    },
    /// A missing repository was created (`ecr: { create: true }`). No build has started yet.
    RepositoryCreated {
        /// The repository.
        repository: Repository,
        /// Whether this run created the repository. Otherwise another run created it at the same time.
        by_us: bool,
    },
    /// A final tag exists and is immutable. The run succeeds only if it produces the same digest.
    Fixed {
        /// The tag.
        tag: TagRef,
        /// The digest that the tag names.
        digest: Digest,
    },
    /// Every planned platform is confirmed, and the index is made.
    Joined {
        /// The digest of the index.
        digest: Digest,
        /// The media type of the index.
        media_type: Text,
        /// The entries of the index, in order.
        entries: Vec<Entry>,
    },
    /// polyarch is copying images to another repository.
    Copying {
        /// The repository.
        to: Text,
        /// The bytes sent so far.
        bytes: u64,
        /// The total of bytes. Blobs that exist in the target, or that the registry mounts, are not sent.
        total: u64,
    },
    /// polyarch copied images to another repository. No tag names them there yet.
    Copied(Copied),
    /// An arch tag names the image in a registry that gets copies.
    ArchTagCopied {
        /// The tag.
        tag: TagRef<Location>,
        /// Whether the tag named the image before, so that polyarch did not move it.
        unchanged: bool,
    },
    /// An arch tag was removed (`arch_tags: remove`). The manifest that it named still exists.
    ArchTagRemoved {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// polyarch sent the index with a final tag. The position of the tag is unknown until the registry answers.
    Tagging {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// The registry refused the push, and the tag did not move.
    TagRefused {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// polyarch could not check the programs of these platforms' images.
    NotChecked {
        /// The platforms.
        platforms: Vec<Platform>,
        /// The reason.
        reason: Text,
    },
    /// A final tag names the index.
    Tagged {
        /// The tag.
        tag: TagRef<Location>,
        /// Whether the tag named the index before, so that polyarch did not move it.
        unchanged: bool,
    },
    /// polyarch read the index back by tag and each child by digest. Everything matches the plan.
    Verified {
        /// The index by digest.
        index: DigestRef<Location>,
    },
    /// The engine has the image under its own tags (`registry: local`).
    TaggedOnEngine {
        /// The name for `docker run`.
        name: Text,
    },
    /// A name on an engine now names the image that was built there (`--load`).
    Loaded {
        /// The engine.
        engine: Text,
        /// The name for `docker run`.
        name: Text,
        /// The engine's id of the named image.
        id: Digest,
        /// The platforms under that name.
        platforms: Vec<Platform>,
    },
    /// The image was built, and perhaps pushed. It was not joined, because the user asked for that.
    NotJoined {
        /// The reason: `--no-join`, `--load`, `linux/arm64 was left out`.
        reason: Text,
    },
    /// The tags of the image did not move, because another image failed (`--atomic`).
    Withheld {
        /// The reason: `--atomic, and web failed`.
        reason: Text,
    },
    /// The image failed as a whole: during the join, the publication or the verification.
    Failed(Failure),
}

/// The counts of a copy to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The repository.
    pub to: Text,
    /// The number of manifests that were pushed.
    pub manifests: usize,
    /// The number of manifests that existed in the repository.
    pub manifests_present: usize,
    /// The number of blobs that were sent.
    pub blobs: usize,
    /// The number of blobs that the registry mounted from another of its repositories.
    pub blobs_mounted: usize,
    /// The number of blobs that existed in the repository.
    pub blobs_present: usize,
    /// The bytes that were sent.
    pub bytes: u64,
}

/// A warning for the user. The run continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The image that the warning concerns, if it concerns one image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The platform that the warning concerns, if it concerns one platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The text of the warning.
    pub message: Text,
    /// The next step for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Text>,
}

/// The reason why a job, an image or a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The phase of the failure. It decides the exit code.
    pub phase: Phase,
    /// The event and the image, engine or registry that it concerns, in one line.
    pub message: Text,
    /// The next step for the user, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Text>,
    /// The lines of a file that failed, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<FailedLines>>,
    /// The cause, for programs that decide by it. It is not in JSON.
    #[serde(skip)]
    pub cause: Cause,
}

impl Failure {
    /// A failure of `phase` with the usual cause of this phase.
    #[doc(hidden)]
    #[must_use]
    pub fn new(phase: Phase, message: Text, hint: Option<Text>) -> Self {
        Self { phase, message, hint, source: None, cause: phase.into() }
    }

    /// The same failure with another cause.
    #[doc(hidden)]
    #[must_use]
    pub fn because(self, cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), ..self }
    }

    /// Whether the engine broke off, so that another engine may do the job. A push without progress may be the fault of
    /// the registry, so it is not such a failure.
    pub(in crate::run) fn is_of_lost_engine(&self) -> bool {
        match self.cause {
            Cause::Engine(Reason::Unreachable) => true,
            Cause::Engine(Reason::Timeout) => self.phase == Phase::Build,
            _ => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message.fmt(f)
    }
}

impl std::error::Error for Failure {}

/// Lines of a file that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedLines {
    /// The path of the file as the plan spells it, or a description.
    pub file: Text,
    /// The number of the first failed line, counted from 1.
    pub line: usize,
    /// The number of the last failed line.
    pub end_line: usize,
    /// The number of the first line of `text`.
    pub first: usize,
    /// The failed lines, with some lines before and after them. The list has at most 16 lines of at most 4 KiB each.
    /// A mark shows where a line was cut.
    pub text: Vec<Text>,
}

/// Receives events: a display, the report.
///
/// `at` is the time since the run began.
pub trait EventSink: Send {
    /// Receives one event.
    fn event(&mut self, at: Duration, event: &Event);
}
