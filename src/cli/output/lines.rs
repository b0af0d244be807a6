//! Events in words: the lines that the plain display prints, and that the live one prints above its bars.

use std::collections::HashMap;
use std::fmt::Write as _;

use polyarch::run::{By, Copied, Event, Execution, ImageEvent, JobEvent, JobId, PlannedJob, Warning};

use super::style::{Color, Tone, count, duration, shorten, size};

/// Steps are named in full where they begin, and so far where they end.
const STEP_WIDTH: usize = 60;

/// Writes events as lines with an aligned prefix: `hello linux/arm64 │ built in 1.2s`.
#[derive(Debug)]
pub(crate) struct Words {
    color: Color,
    /// Width of the longest prefix.
    width: usize,
    jobs: HashMap<JobId, By>,
}

impl Words {
    pub(crate) fn new(color: Color) -> Self {
        Self { color, width: 0, jobs: HashMap::new() }
    }

    /// The line of an event, if it has one.
    pub(crate) fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Started { jobs, .. } => {
                self.plan(jobs);
                None
            }
            Event::Job { job, what } => Some(self.prefixed(&job.to_string(), &self.job(job, what)?)),
            Event::Image { image, what } => Some(self.prefixed(image, &self.image(what))),
            // Those of an image are shown once, at the end.
            Event::Warning(told) => told.image.is_none().then(|| warning(told, self.color)),
            // Shown at the end.
            Event::Failed(_) => None,
            Event::Stopping { reason } => Some(self.color.paint(Tone::Warning, &format!("stopping: {reason}"))),
        }
    }

    fn plan(&mut self, jobs: &[PlannedJob]) {
        self.width = jobs.iter().map(|job| job.job.to_string().chars().count()).max().unwrap_or(0);
        self.jobs = jobs.iter().map(|job| (job.job.clone(), job.by.clone())).collect();
    }

    fn prefixed(&self, prefix: &str, text: &str) -> String {
        let prefix = format!("{prefix:width$} │", width = self.width);
        format!("{} {text}", self.color.paint(Tone::Faint, &prefix)).trim_end().to_owned()
    }

    fn job(&self, job: &JobId, what: &JobEvent) -> Option<String> {
        let color = self.color;
        Some(match what {
            JobEvent::BuildStarted => match self.jobs.get(job) {
                Some(By::Engine { engine, execution: Execution::Native }) => format!("building on {engine}"),
                Some(By::Engine { engine, execution: Execution::Emulated }) => {
                    format!("building on {engine}, emulated")
                }
                Some(By::Copy { .. }) | None => "building".to_owned(),
            },
            JobEvent::StepStarted { step } => color.paint(Tone::Strong, step),
            JobEvent::StepEnded { step, error: Some(error), .. } => {
                format!("{} {} {error}", shorten(step, STEP_WIDTH), color.paint(Tone::Error, "failed:"))
            }
            JobEvent::StepEnded { step, cached: true, .. } => format!("{} cached", shorten(step, STEP_WIDTH)),
            JobEvent::StepEnded { step, seconds, .. } => {
                format!("{} done in {}", shorten(step, STEP_WIDTH), duration(*seconds))
            }
            JobEvent::Log { line } => line.clone(),
            JobEvent::Progress { .. } => return None,
            JobEvent::Built { seconds, cached_steps, steps, context_bytes, .. } => {
                let sent = size(*context_bytes);
                let built = format!("built in {}", duration(*seconds));
                // BuildKit 0.8 tells a step that two platforms share to one of them only.
                let cached = match steps {
                    0 => String::new(),
                    steps => format!(", {cached_steps} of {} cached", count(*steps, "step")),
                };
                format!("{built}{cached}, {sent} of context sent")
            }
            JobEvent::PushStarted { to } => format!("pushing {to}"),
            JobEvent::Pushed { seconds, layers_pushed } => {
                format!("pushed in {}, {}", duration(*seconds), count(*layers_pushed, "new layer"))
            }
            JobEvent::Chosen { image, .. } => format!("adopting {image}"),
            JobEvent::CopyStarted { to } => format!("copying to {to}"),
            JobEvent::Copied { copied, .. } => self::copied(copied, "the image"),
            JobEvent::Confirmed { image, bytes } => {
                let confirmed = color.paint(Tone::Good, "confirmed");
                format!("{confirmed} {}, {}", image.digest, size(*bytes))
            }
            JobEvent::Retried { doing, attempt, wait, error } => {
                format!("{doing}: attempt {attempt} failed, next one in {}: {error}", duration(*wait))
            }
            JobEvent::StillRunning { doing, seconds } => format!("still {doing} after {}", duration(*seconds)),
            JobEvent::Failed(failure) => format!("{} {}", color.paint(Tone::Error, "failed:"), failure.message),
            JobEvent::NotBuilt { reason } => format!("not built: {reason}"),
            JobEvent::Cancelled => "cancelled".to_owned(),
        })
    }

    fn image(&self, what: &ImageEvent) -> String {
        match what {
            ImageEvent::Joined { digest, entries, .. } => {
                let attestations: usize = entries.iter().map(|entry| entry.attestations.len()).sum();
                let attested = match attestations {
                    0 => String::new(),
                    some => format!(" and {}", count(some, "attestation")),
                };
                format!("joined {}{attested} as {digest}", count(entries.len(), "platform"))
            }
            ImageEvent::RepositoryCreated { repository, by_us: true } => format!("created repository {repository}"),
            ImageEvent::RepositoryCreated { repository, by_us: false } => {
                format!("another run created repository {repository}")
            }
            ImageEvent::Fixed { tag, digest } => format!("{tag} is immutable and has {digest}"),
            ImageEvent::Waiting { missing, seconds } => match *seconds {
                ..1.0 => format!("waiting for {}", missing.join(", ")),
                seconds => format!("after {} still waiting for {}", duration(seconds), missing.join(", ")),
            },
            ImageEvent::Copying { to, bytes, total } => {
                format!("copying to {to}: {} of at most {}", size(*bytes), size(*total))
            }
            ImageEvent::Copied(copied) => self::copied(copied, "all images"),
            ImageEvent::Tagging { tag } => format!("putting {tag}"),
            ImageEvent::TagRefused { tag } => format!("not put {tag}"),
            ImageEvent::NotChecked { platforms, reason } => {
                let names: Vec<_> = platforms.iter().map(ToString::to_string).collect();
                format!("programs of {} not checked: {reason}", names.join(", "))
            }
            ImageEvent::Tagged { tag, unchanged } | ImageEvent::ArchTagCopied { tag, unchanged } => {
                format!("{} {tag}", if *unchanged { "unchanged" } else { "put" })
            }
            ImageEvent::ArchTagRemoved { tag } => format!("removed {tag}"),
            ImageEvent::Verified { index } => format!("{} {index}", self.color.paint(Tone::Good, "verified")),
            ImageEvent::TaggedOnEngine { name } => format!("on the engine as {name}"),
            ImageEvent::Loaded { engine, name, platforms, .. } => {
                format!("loaded on {engine} as {name}, {}", count(platforms.len(), "platform"))
            }
            ImageEvent::NotJoined { reason } => format!("not joined: {reason}"),
            ImageEvent::Withheld { reason } => format!("not moved: {reason}"),
            ImageEvent::Failed(failure) => {
                format!("{} {}", self.color.paint(Tone::Error, "failed:"), failure.message)
            }
        }
    }
}

/// `copied 1 manifest to HOST/REPOSITORY, 2 blobs sent (1.2 MB), 3 already there`; or that all of `what` was.
fn copied(Copied { to, manifests, blobs, blobs_mounted, blobs_present, bytes, .. }: &Copied, what: &str) -> String {
    if *manifests == 0 {
        return format!("already there: {what} in {to}");
    }
    let mut blobs = format!("{} sent ({})", count(*blobs, "blob"), size(*bytes));
    for (number, what) in [(blobs_mounted, "mounted"), (blobs_present, "already there")] {
        if *number > 0 {
            write!(blobs, ", {number} {what}").unwrap_or_default();
        }
    }
    format!("copied {} to {to}, {blobs}", count(*manifests, "manifest"))
}

/// `warning: hello linux/arm64: …`, and its hint.
pub(crate) fn warning(warning: &Warning, color: Color) -> String {
    let about = [warning.image.clone(), warning.platform.as_ref().map(ToString::to_string)];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let about = if about.is_empty() { String::new() } else { format!("{}: ", about.join(" ")) };
    let label = color.paint(Tone::Warning, "warning:");
    let hint = warning.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
    format!("{label} {about}{}{}", warning.message, hint.unwrap_or_default())
}
