//! Describes events in lines, for the plain display and for the lines above the rows of the live view.

use std::fmt::Write as _;

use polyarch::run::{Copied, Event, Execution, Failure, ImageEvent, JobEvent, Phase, PlannedJob, Warning};
use polyarch::text::Text;

use super::view::Lost;
use crate::cli::terminal::diagnostic;
use crate::cli::terminal::line::Line;
use crate::cli::terminal::style::{Tone, columns, count, duration, pad, shorten, size};

/// Columns for the words after the name of a step.
const AFTER_STEP: usize = 20;
/// Columns of a step's name that even a narrow terminal shows.
const LEAST_OF_STEP: usize = 12;

/// Writes events as lines with an aligned prefix: `hello linux/arm64 │ built in 1.2s`.
#[derive(Debug, Default)]
pub(crate) struct LineFormatter {
    /// Width of the longest prefix.
    width: usize,
    /// Columns of the terminal, if there is one. The names of ended steps are cut to them.
    columns: Option<usize>,
}

impl LineFormatter {
    /// Sets the width of the terminal.
    pub(crate) fn fit(&mut self, columns: usize) {
        self.columns = Some(columns);
    }

    fn step(&self, step: &Text) -> String {
        let room = self.columns.map(|columns| columns.saturating_sub(self.width + AFTER_STEP).max(LEAST_OF_STEP));
        shorten(step, room.unwrap_or(usize::MAX))
    }

    /// The lines of an event, if it has any.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<Line> {
        match event {
            Event::Started { jobs, .. } => {
                self.plan(jobs);
                Vec::new()
            }
            Event::Job { job, what } => {
                self.job(what).map(|line| self.prefixed(&job.to_string(), line)).into_iter().collect()
            }
            Event::Image { image, what } => {
                image_line(what).map(|line| self.prefixed(image, line)).into_iter().collect()
            }
            // The ending shows each warning of an image once.
            Event::Warning(told) if told.image.is_none() => warning(told),
            Event::Stopping { reason } => vec![Line::new().toned(Tone::Warning, format!("stopping: {reason}"))],
            // The ending shows other warnings and all failures. A test has every kind.
            _ => Vec::new(),
        }
    }

    fn plan(&mut self, jobs: &[PlannedJob]) {
        self.width = jobs.iter().map(|job| columns(&job.job.to_string())).max().unwrap_or(0);
    }

    fn prefixed(&self, prefix: &str, line: Line) -> Line {
        let prefix = format!("{} │", pad(prefix, self.width));
        Line::new().toned(Tone::Faint, prefix).then(" ").and(line)
    }

    fn job(&self, what: &JobEvent) -> Option<Line> {
        let line = match what {
            JobEvent::BuildStarted { engine, execution: Execution::Native } => format!("building on {engine}"),
            JobEvent::BuildStarted { engine, execution: Execution::Emulated } => {
                format!("building on {engine}, emulated")
            }
            JobEvent::Moved { from, reason } => {
                let moved = Line::new().toned(Tone::Warning, format!("moved away from engine {from}:"));
                return Some(moved.then(format!(" {reason}")));
            }
            JobEvent::StepStarted { step } => return Some(Line::new().toned(Tone::Strong, step)),
            // The ending shows the reason.
            JobEvent::StepEnded { step, error: Some(_), .. } => {
                return Some(Line::from(self.step(step)).then(" ").toned(Tone::Error, "failed"));
            }
            JobEvent::StepEnded { step, cached: true, .. } => format!("{} cached", self.step(step)),
            JobEvent::StepEnded { step, seconds, .. } => {
                format!("{} done in {}", self.step(step), duration(*seconds))
            }
            JobEvent::Log { line } => return Some(line.into()),
            JobEvent::Built { seconds, cached_steps, steps, context_bytes, .. } => {
                let sent = size(*context_bytes);
                let built = format!("built in {}", duration(*seconds));
                // BuildKit 0.8 reports a step that two platforms share to one of them only.
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
            JobEvent::Chosen { image, .. } => format!("importing {image}"),
            JobEvent::CopyStarted { to } => format!("copying to {to}"),
            JobEvent::Copied { copied, .. } => self::copied(copied, "the image"),
            JobEvent::Confirmed { image, bytes } => {
                let confirmed = Line::new().toned(Tone::Good, "confirmed");
                return Some(confirmed.then(format!(" {}, {}", image.digest, size(*bytes))));
            }
            JobEvent::Retried { doing, attempt, wait, error } => {
                format!("{doing}: attempt {attempt} failed, next one in {}: {error}", duration(*wait))
            }
            JobEvent::StillRunning { doing, seconds } => format!("still {doing} after {}", duration(*seconds)),
            JobEvent::Failed(Failure { phase: Phase::Build, .. }) => {
                return Some(Line::new().toned(Tone::Error, "failed"));
            }
            JobEvent::Failed(failure) => return Some(failed(failure)),
            JobEvent::NotBuilt { reason } => format!("not built: {reason}"),
            JobEvent::Cancelled => "cancelled".to_owned(),
            // The rows show the progress. A test has every kind.
            _ => return None,
        };
        Some(line.into())
    }
}

fn image_line(what: &ImageEvent) -> Option<Line> {
    let line = match what {
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
            ..1.0 => format!("waiting for {}", listed(missing)),
            seconds => format!("after {} still waiting for {}", duration(seconds), listed(missing)),
        },
        ImageEvent::Copying { to, bytes, total } => {
            format!("copying to {to}: {} of at most {}", size(*bytes), size(*total))
        }
        ImageEvent::Copied(copied) => self::copied(copied, "all images"),
        ImageEvent::Tagging { tag } => format!("moving {tag}"),
        ImageEvent::TagRefused { tag } => format!("not moved {tag}"),
        ImageEvent::NotChecked { platforms, reason } => {
            let names: Vec<_> = platforms.iter().map(ToString::to_string).collect();
            format!("programs of {} not checked: {reason}", names.join(", "))
        }
        ImageEvent::Tagged { tag, unchanged } | ImageEvent::ArchTagCopied { tag, unchanged } => {
            format!("{} {tag}", if *unchanged { "unchanged" } else { "moved" })
        }
        ImageEvent::ArchTagRemoved { tag } => format!("removed {tag}"),
        ImageEvent::Verified { index } => {
            return Some(Line::new().toned(Tone::Good, "verified").then(format!(" {index}")));
        }
        ImageEvent::TaggedOnEngine { name } => format!("on the engine as {name}"),
        ImageEvent::Loaded { engine, name, platforms, .. } => {
            format!("loaded on {engine} as {name}, {}", count(platforms.len(), "platform"))
        }
        ImageEvent::NotJoined { reason } => format!("not joined: {reason}"),
        ImageEvent::Withheld { reason } => format!("not moved: {reason}"),
        ImageEvent::Failed(failure) => return Some(failed(failure)),
        // A test has every kind.
        _ => return None,
    };
    Some(line.into())
}

fn listed(texts: &[Text]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
}

fn failed(failure: &Failure) -> Line {
    Line::new().toned(Tone::Error, "failed:").then(format!(" {}", failure.message))
}

/// The line about events that were not shown because the reader is too slow.
pub(crate) fn lost(Lost { lines, events }: Lost) -> Line {
    let logs = (lines > 0).then(|| format!("{} of logs", count(lines, "line")));
    let others = (events > 0).then(|| count(events, "other event"));
    let all: Vec<_> = logs.into_iter().chain(others).collect();
    let were = if lines + events == 1 { "was" } else { "were" };
    let text = format!("{} {were} not shown: the reader is too slow", all.join(" and "));
    Line::new().toned(Tone::Warning, text)
}

/// `copied 1 manifest to HOST/REPOSITORY, 2 blobs sent (1.2 MB), 3 already there`, or `already there: …` for the
/// `whole`.
fn copied(Copied { to, manifests, blobs, blobs_mounted, blobs_present, bytes, .. }: &Copied, whole: &str) -> String {
    if *manifests == 0 {
        return format!("already there: {whole} in {to}");
    }
    let mut blobs = format!("{} sent ({})", count(*blobs, "blob"), size(*bytes));
    for (number, state) in [(blobs_mounted, "mounted"), (blobs_present, "already there")] {
        if *number > 0 {
            write!(blobs, ", {number} {state}").unwrap_or_default();
        }
    }
    format!("copied {} to {to}, {blobs}", count(*manifests, "manifest"))
}

/// `warning: hello linux/arm64: …`, and the hint.
pub(crate) fn warning(warning: &Warning) -> Vec<Line> {
    let about = [warning.image.clone(), warning.platform.as_ref().map(ToString::to_string)];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let about = if about.is_empty() { String::new() } else { format!("{}: ", about.join(" ")) };
    let line = Line::new().toned(Tone::Warning, "warning:").then(format!(" {about}{}", warning.message));
    let hint = warning.hint.as_deref().map(diagnostic::hint);
    [line].into_iter().chain(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::super::hostile;
    use super::super::script::{begun, job, started};
    use super::*;
    use crate::cli::terminal::style::Color;

    #[test]
    fn every_kind_of_event_has_a_line_or_is_silent() {
        let mut words = LineFormatter::default();
        for event in hostile::events("text") {
            let of_image = matches!(&event, Event::Warning(warning) if warning.image.is_some());
            let is_silent = of_image
                || matches!(
                    event,
                    Event::Started { .. } | Event::Failed(_) | Event::Job { what: JobEvent::Progress { .. }, .. }
                );
            assert_eq!(words.lines(&event).is_empty(), is_silent, "{event:?}");
        }
    }

    #[test]
    fn lines_align_wide_characters() {
        let mut words = LineFormatter::default();
        let Event::Started { images, mut jobs } = started() else { panic!("it is the start") };
        jobs[1].job = job("部品", "linux/arm64");
        let begin = |one: &PlannedJob| (one.job.clone(), begun(one.job.platform.architecture()));
        let events = jobs.iter().map(begin).collect::<Vec<_>>();
        words.lines(&Event::Started { images, jobs });
        let lines = events.into_iter().flat_map(|(job, what)| words.lines(&Event::Job { job, what }));
        let lines: Vec<_> = lines.map(|line| line.render(Color::Off)).collect();
        assert_eq!(
            lines,
            ["hello linux/amd64 │ building on default", "部品 linux/arm64  │ building on default, emulated"]
        );
    }
}
