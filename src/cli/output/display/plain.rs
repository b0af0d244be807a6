//! Shows a run in a log: one line for each event, and no line changes later.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polyarch::run::{Event, EventSink, JobSource, Report};

use super::ending::ending;
use super::lines::{LineFormatter, lost};
use super::view::{Display, Lost};
use crate::cli::terminal::line::Line;
use crate::cli::terminal::screen::Groups;
use crate::cli::terminal::style::{Color, count};
use crate::cli::terminal::writer::Lines;

/// Prints a line for each event that has one.
#[derive(Debug)]
pub(crate) struct Plain<W> {
    out: Lines<W>,
    color: Color,
    words: LineFormatter,
    groups: Groups,
    workspace: Option<PathBuf>,
    /// Whether a group of lines is open.
    folding: bool,
}

impl<W: Write + Send> Plain<W> {
    pub(crate) fn new(out: W, color: Color, groups: Groups) -> Self {
        Self { out: Lines::new(out), color, words: LineFormatter::default(), groups, workspace: None, folding: false }
    }

    /// Names files relative to `workspace` in annotations. GitHub finds no other files.
    pub(crate) fn within(self, workspace: Option<PathBuf>) -> Self {
        Self { workspace, ..self }
    }

    /// Groups all lines before the ending, so that the ending stays in view. The heading is polyarch's own text.
    fn fold(&mut self, event: &Event) {
        if let (Groups::GitHub, Event::Started { images, jobs }) = (self.groups, event) {
            let (builds, copies): (Vec<_>, Vec<_>) =
                jobs.iter().partition(|job| matches!(job.by, JobSource::Engine { .. }));
            let mut heading = format!("polyarch: {}", count(images.len(), "image"));
            for (jobs, what) in [(builds, "build"), (copies, "import")] {
                if !jobs.is_empty() {
                    heading = format!("{heading}, {}", count(jobs.len(), what));
                }
            }
            self.out.group(&Line::from(heading));
            self.folding = true;
        }
    }
}

impl<W: Write + Send> EventSink for Plain<W> {
    fn event(&mut self, _at: Duration, event: &Event) {
        self.fold(event);
        for line in self.words.lines(event) {
            self.out.line(&line, self.color);
        }
    }
}

impl<W: Write + Send> Display for Plain<W> {
    fn lost(&mut self, _at: Duration, events: Lost) {
        self.out.line(&lost(events), self.color);
    }

    fn finish(&mut self, report: &Report) {
        if self.folding {
            self.out.end_group();
        }
        for line in ending(report, None) {
            self.out.line(&line, self.color);
        }
        if self.groups == Groups::GitHub {
            for failure in report.failures() {
                if let Some(at) = &failure.source {
                    let file = self.workspace.as_ref().and_then(|workspace| relative(&at.file, workspace));
                    self.out.annotation(file.as_deref().unwrap_or(&at.file), at, &failure.message);
                }
            }
        }
    }
}

/// The path of `file` relative to `workspace`, if the file exists there.
fn relative(file: &str, workspace: &Path) -> Option<String> {
    let path = Path::new(file);
    let name = path.file_name().filter(|_| path.is_file())?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = directory.canonicalize().ok()?.join(name);
    Some(path.strip_prefix(workspace.canonicalize().ok()?).ok()?.to_str()?.to_owned())
}

/// The display of `--progress quiet`: only failures, at the end.
#[derive(Debug)]
pub(crate) struct Quiet<W> {
    out: Lines<W>,
    color: Color,
}

impl<W: Write + Send> Quiet<W> {
    pub(crate) fn new(out: W, color: Color) -> Self {
        Self { out: Lines::new(out), color }
    }
}

impl<W: Write + Send> EventSink for Quiet<W> {
    fn event(&mut self, _at: Duration, _event: &Event) {}
}

impl<W: Write + Send> Display for Quiet<W> {
    /// This display shows no logs.
    fn lost(&mut self, _at: Duration, _lost: Lost) {}

    fn finish(&mut self, report: &Report) {
        for line in super::ending::failures(report) {
            self.out.line(&line, self.color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{
        Script, WIDE, failed, half_published, interrupted, not_joined, refused, success, unchanged, wide, written,
    };
    use super::*;

    fn plain(script: &Script, exit_code: Option<u8>) -> String {
        written(script, exit_code, |out| Plain::new(out, Color::Off, Groups::None))
    }

    fn quiet(script: &Script, exit_code: Option<u8>) -> String {
        written(script, exit_code, |out| Quiet::new(out, Color::Off))
    }

    #[test]
    fn plain_output_of_a_successful_run_matches() {
        assert_eq!(plain(&success(), None), include_str!("expected/success.txt"));
    }

    #[test]
    fn plain_output_does_not_shorten_steps_and_lines() {
        let shown = plain(&wide(), None);
        let whole = ["{} cached", "{} done in 1.0s", "{} failed", "1 | > {}"].map(|words| words.replace("{}", WIDE));
        assert!(whole.iter().all(|words| shown.contains(words)), "{shown}");
        assert!(quiet(&wide(), None).contains(&whole[3]));
    }

    #[test]
    fn plain_output_of_a_second_run_reports_no_change() {
        assert_eq!(plain(&unchanged(), None), include_str!("expected/unchanged.txt"));
    }

    #[test]
    fn plain_output_of_a_failure_shows_its_log_and_leftovers() {
        assert_eq!(plain(&failed(), None), include_str!("expected/failed.txt"));
    }

    #[test]
    fn plain_output_of_an_interrupt_lists_possible_leftovers() {
        assert_eq!(plain(&interrupted(), Some(130)), include_str!("expected/interrupted.txt"));
    }

    #[test]
    fn plain_output_lists_tags_that_moved_before_a_failure() {
        assert_eq!(plain(&half_published(), None), include_str!("expected/half_published.txt"));
    }

    #[test]
    fn plain_output_of_an_unjoined_image_is_not_a_failure() {
        assert_eq!(plain(&not_joined(), None), include_str!("expected/not_joined.txt"));
    }

    #[test]
    fn plain_output_of_a_refused_run_gives_the_reason() {
        assert_eq!(plain(&refused(), None), include_str!("expected/refused.txt"));
    }

    #[test]
    fn quiet_output_shows_only_failures() {
        for script in [success(), unchanged(), not_joined()] {
            assert_eq!(quiet(&script, None), "");
        }
        assert_eq!(quiet(&failed(), None), include_str!("expected/quiet_failed.txt"));
    }

    #[test]
    fn quiet_output_gives_the_reason_of_a_stop() {
        let stopped = quiet(&interrupted(), Some(130));
        assert!(stopped.ends_with("\ninterrupted, ended after 2.7s (exit code 130)\n"), "{stopped}");
    }

    #[test]
    fn github_log_is_one_group_followed_by_the_ending() {
        let folded = written(&failed(), None, |out| Plain::new(out, Color::Off, Groups::GitHub));
        let (group, ending) = folded.split_once("::endgroup::\n").unwrap();
        let log = group.strip_prefix("::group::polyarch: 1 image, 2 builds\n").unwrap();
        let (ending, annotations) = ending.split_once("::error ").unwrap();
        assert_eq!(format!("{log}{ending}"), plain(&failed(), None));
        assert!(ending.contains("error: "), "what failed is in view");
        assert_eq!(
            annotations,
            "file=app/Dockerfile,line=3,endLine=4::engine default: step [2/3] ended with exit code 2\n"
        );
        // A job that never began has no log.
        let refused_there = written(&refused(), None, |out| Plain::new(out, Color::Off, Groups::GitHub));
        assert_eq!(refused_there, plain(&refused(), None));
    }

    #[test]
    fn annotation_names_the_file_relative_to_the_workspace() {
        // Tests run in the directory of the package.
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(relative("src/main.rs", package).as_deref(), Some("src/main.rs"));
        assert_eq!(relative("Cargo.toml", &package.join("src/..")).as_deref(), Some("Cargo.toml"));
        let above = format!("{}/Cargo.toml", package.file_name().unwrap().to_str().unwrap());
        assert_eq!(relative("Cargo.toml", package.parent().unwrap()), Some(above));
        assert_eq!(relative("Cargo.toml", &package.join("src")), None);
        assert_eq!(relative("Dockerfile of hello", package), None);
    }

    #[test]
    fn plain_output_in_colour_differs_only_in_colour() {
        let colored = written(&failed(), None, |out| Plain::new(out, Color::On, Groups::None));
        assert!(colored.contains("\x1b[1;31merror:\x1b[0m"));
        let codes = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
        // A colour code may follow only the padding of a coloured prefix.
        assert_eq!(codes.replace_all(&colored, ""), plain(&failed(), None));
    }
}
