//! What the outside hears of a run: the only vocabulary of the displays and of the report.
//!
//! Every text in an event that came from outside (an engine, a registry, a file name) is a [`Text`], which only the
//! sanitiser makes. Names of images and engines are the plan's, and hold letters, digits, `-` and `_` only.

use std::time::Duration;

use serde::Serialize;

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

/// Something that happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins; nothing was asked of an engine yet but who it is.
    Started {
        /// The images, in the plan's order.
        images: Vec<PlannedImage>,
        /// The jobs: images and their platforms in the plan's order.
        jobs: Vec<PlannedJob>,
    },
    /// Something about one platform of an image.
    Job {
        /// Whose event this is.
        #[serde(flatten)]
        job: JobId,
        /// What happened.
        #[serde(flatten)]
        what: JobEvent,
    },
    /// Something about an image as a whole.
    Image {
        /// The image's name in the plan.
        image: String,
        /// What happened.
        #[serde(flatten)]
        what: ImageEvent,
    },
    /// Something that the user should know and that stops nothing.
    Warning(Warning),
    /// The run failed as a whole: its plan, an engine or a registry cannot be used.
    Failed(Failure),
    /// The run is stopping before its end.
    Stopping {
        /// Why, in words: `interrupted`, `timed out after 10m`.
        reason: Text,
    },
}

/// An image as the schedule has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedImage {
    /// The image's name in the plan.
    pub image: String,
    /// Its final tags, in every registry that it is for.
    pub tags: Vec<TagRef<Location>>,
    /// The repositories that get copies of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Location>,
}

/// A job as the schedule has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedJob {
    /// The job.
    #[serde(flatten)]
    pub job: JobId,
    /// Who does it.
    #[serde(flatten)]
    pub by: By,
    /// Where its image is pushed.
    #[serde(flatten)]
    pub destination: Destination,
    /// The jobs that it builds on: it begins when they are confirmed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub builds_on: Vec<JobId>,
}

/// Where the image of a platform comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum By {
    /// An engine builds it.
    Engine {
        /// Which.
        engine: Text,
        /// Whether that engine's processor runs the platform, or emulates it.
        execution: Execution,
    },
    /// It is copied.
    Copy {
        /// What the plan says that it is adopted from.
        from: Text,
    },
}

/// Where the image of a platform is pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Under a tag of its own.
    ArchTag(TagRef),
    /// To this repository, by digest alone.
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

/// How an engine runs the programs of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// The engine's processor is of the platform.
    Native,
    /// Through binfmt and QEMU.
    Emulated,
}

/// What happens to a job, roughly in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum JobEvent {
    /// A slot of its engine is free: the build begins.
    BuildStarted,
    /// A step of the build began.
    StepStarted {
        /// BuildKit's name of the step: `[2/5] RUN make`.
        step: Text,
    },
    /// A step of the build ended.
    StepEnded {
        /// BuildKit's name of the step.
        step: Text,
        /// Whether the cache had it.
        cached: bool,
        /// How long it took, in seconds.
        seconds: f64,
        /// BuildKit's error, where it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Text>,
    },
    /// A line that a step wrote.
    Log {
        /// The line, without its end.
        line: Text,
    },
    /// Bytes that moved: context or layers, totals so far.
    Progress {
        /// The content that moves.
        of: Transfer,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all, where known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// The image is on the engine, inspected, of the planned platform.
    Built {
        /// The engine's id of the image.
        id: Digest,
        /// How long the build took, in seconds.
        seconds: f64,
        /// Steps that the cache had.
        cached_steps: usize,
        /// All steps.
        steps: usize,
        /// Bytes of files that the engine asked of the context.
        context_bytes: u64,
    },
    /// The push began.
    PushStarted {
        /// Where to.
        to: TagRef,
    },
    /// The engine says that it pushed.
    Pushed {
        /// How long it took, in seconds.
        seconds: f64,
        /// Layers that the registry did not have.
        layers_pushed: usize,
    },
    /// The source has an image of the platform: it was fetched and hashed.
    Chosen {
        /// The image by digest, where it comes from.
        #[serde(rename = "reference")]
        image: DigestRef,
        /// Config and layers, in bytes.
        bytes: u64,
    },
    /// The copy began.
    CopyStarted {
        /// Where to.
        to: Repository,
    },
    /// The repository has all of the image, and its tag, if it has one.
    Copied {
        /// How long it took, in seconds.
        seconds: f64,
        /// What was brought, and what was there.
        #[serde(flatten)]
        copied: Copied,
    },
    /// The registry returned what was built or copied: manifest and config were fetched, hashed and compared.
    Confirmed {
        /// The image by digest.
        #[serde(rename = "reference")]
        image: DigestRef,
        /// Config and layers in the registry, in bytes.
        bytes: u64,
    },
    /// A request failed in a way that may pass, and is made again.
    Retried {
        /// The step that polyarch repeats.
        doing: Repeated,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Until the next one, in seconds.
        wait: f64,
        /// What went wrong: one line.
        error: Text,
    },
    /// Nothing was heard for a while, and it is still running.
    StillRunning {
        /// The step under way.
        doing: Doing,
        /// For how long, in seconds.
        seconds: f64,
    },
    /// The job failed.
    Failed(Failure),
    /// The job was never begun, because one that it builds on did not end well.
    NotBuilt {
        /// Why: `base linux/arm64 failed`.
        reason: Text,
    },
    /// The job was stopped because of another one, or of the user.
    Cancelled,
}

/// Content that moves between this machine, an engine and a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// Files of the context, to the engine.
    Context,
    /// An image of another repository.
    Copy,
}

/// A step that polyarch repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeated {
    /// A build: another run took its name on the engine.
    Build,
    /// A push of the engine.
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
pub enum Doing {
    /// The engine builds the image.
    Building,
    /// The engine pushes it.
    Pushing,
    /// polyarch copies it.
    Copying,
    /// polyarch reads it back from the registry.
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

/// What happens to an image, in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum ImageEvent {
    /// Others have not pushed all that is to be joined (`join --wait`): said when it changes, and every 30 s.
    Waiting {
        /// What is missing.
        missing: Vec<Text>,
        /// For how long it was waited, in seconds.
        seconds: f64,
    },
    /// A repository that was not there is (`ecr: { create: true }`); nothing was built yet.
    RepositoryCreated {
        /// The repository.
        repository: Repository,
        /// Whether this run created it; else another one did meanwhile.
        by_us: bool,
    },
    /// A final tag has something, and may not move: only a run that makes the same can succeed.
    Fixed {
        /// The tag.
        tag: TagRef,
        /// What it has.
        digest: Digest,
    },
    /// Every planned platform is confirmed; this is the index.
    Joined {
        /// Its digest.
        digest: Digest,
        /// Its media type.
        media_type: Text,
        /// Its entries, in order.
        entries: Vec<Entry>,
    },
    /// Images are on their way to another repository: bytes that were sent so far.
    Copying {
        /// The repository.
        to: Text,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all; what turns out to be there, or is mounted, is not sent.
        total: u64,
    },
    /// Images were brought into a repository that did not have all of them; no tag shows them yet.
    Copied(Copied),
    /// The arch tag of a platform was put in a registry that gets copies, or had this image already.
    ArchTagCopied {
        /// The tag.
        tag: TagRef<Location>,
        /// Whether the registry had it there already, and nothing was put.
        unchanged: bool,
    },
    /// An arch tag is gone, and what it named is there as before (`arch_tags: remove`).
    ArchTagRemoved {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// The index is sent under a final tag: until that is answered, nobody knows where the tag is.
    Tagging {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// The registry refused: the tag is where it was.
    TagRefused {
        /// The tag.
        tag: TagRef<Location>,
    },
    /// Nothing can be said of programs of these platforms' images.
    NotChecked {
        /// The platforms.
        platforms: Vec<Platform>,
        /// Why.
        reason: Text,
    },
    /// A final tag was put, or had this index already.
    Tagged {
        /// The tag.
        tag: TagRef<Location>,
        /// Whether the registry had it there already, and nothing was put.
        unchanged: bool,
    },
    /// The index was read back by tag, each child by digest, and all is as planned.
    Verified {
        /// The index by digest.
        index: DigestRef<Location>,
    },
    /// The image's own tags were set on the engine (`registry: local`).
    TaggedOnEngine {
        /// The name that `docker run` takes.
        name: Text,
    },
    /// A name on an engine was set, and shows what was built there (`--load`).
    Loaded {
        /// The engine.
        engine: Text,
        /// The name that `docker run` takes.
        name: Text,
        /// The engine's id of what it shows.
        id: Digest,
        /// The platforms that are under it.
        platforms: Vec<Platform>,
    },
    /// Built and perhaps pushed, not joined, as was asked.
    NotJoined {
        /// Why: `--no-join`, `--load`, `linux/arm64 was left out`.
        reason: Text,
    },
    /// Its tags were not moved, because of another image (`--atomic`).
    Withheld {
        /// Why: `--atomic, and web failed`.
        reason: Text,
    },
    /// The image failed as a whole: at the join, when published, when verified.
    Failed(Failure),
}

/// What of images was brought into a repository, and what it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The repository.
    pub to: Text,
    /// Manifests that were put.
    pub manifests: usize,
    /// Manifests that were there already, with all that they name.
    pub manifests_present: usize,
    /// Blobs that were sent.
    pub blobs: usize,
    /// Blobs that the registry took from another of its repositories.
    pub blobs_mounted: usize,
    /// Blobs that were there already.
    pub blobs_present: usize,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// Something that the user should know and that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The image that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The platform that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What.
    pub message: Text,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Text>,
}

/// Why a job, an image or a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// In which phase; it decides the exit code.
    pub phase: Phase,
    /// What happened, to what, where: one line.
    pub message: Text,
    /// What to do next: one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Text>,
    /// Where in a file, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<FailedLines>>,
}

/// Lines of a file at which something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedLines {
    /// The path of the file, as the plan has it, or a name in words.
    pub file: Text,
    /// The number of the first line, counted from 1.
    pub line: usize,
    /// The number of the last line.
    pub end_line: usize,
    /// The number of the first line of `text`.
    pub first: usize,
    /// The lines, with some before and after them: at most 16, each of at most 4 KiB and a mark where it was cut.
    pub text: Vec<Text>,
}

/// The phases of a run. The earliest phase among several failures decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Usage, plan or context (exit code 2).
    Plan,
    /// An engine, a registry or a credential cannot be used; nothing was started (3).
    Preflight,
    /// A build failed (4).
    Build,
    /// A push failed (5).
    Push,
    /// Join or publish failed (6).
    Publish,
    /// Verification or a security refusal (7).
    Verify,
    /// A timeout of ours (124).
    Timeout,
    /// A fault of polyarch (70).
    Internal,
}

/// Hears events: a display, the report.
///
/// The library's only trait for the outside; `at` is the time since the run began.
pub trait EventSink: Send {
    /// Takes one event.
    fn event(&mut self, at: Duration, event: &Event);
}
