//! Makes the live view's rows, one for each job. The code writes nothing, so tests need no terminal.

use std::collections::VecDeque;
use std::time::Duration;

use polyarch::run::{Event, JobEvent, JobId};
use polyarch::text::Text;

use crate::cli::terminal::line::Line;
use crate::cli::terminal::style::{Tone, columns as wide, duration, pad, shorten, shorten_start, size};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// Columns that a step keeps in a narrow row; polyarch leaves out the bytes before it cuts the step further.
const MIN_DOING: usize = 16;
/// Lines of the log below a job at work; buildx shows six as well.
const LOG: usize = 6;
/// The longest part of a log line that the rows keep, in characters.
const LOG_WIDTH: usize = 400;

/// The jobs of a run and their present work.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    job: JobId,
    /// The job's name as it is shown: an escaped character makes a name longer.
    label: Text,
    state: State,
    /// `[2/5] RUN make`, `pushing`.
    doing: String,
    /// `1.2 MB`, `1.2 / 3.4 MB`.
    bytes: String,
    /// The time at which the job began its present work.
    since: Duration,
    /// The build's steps that have not ended, each with its beginning.
    steps: Vec<(String, Duration)>,
    /// The last lines of the log, until a step ends.
    log: VecDeque<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Active,
    Done,
    Failed,
    Cancelled,
}

impl Rows {
    /// Takes note of an event.
    pub(crate) fn event(&mut self, at: Duration, event: &Event) {
        match event {
            Event::Started { jobs, .. } => {
                let row = |job: &JobId| Row {
                    job: job.clone(),
                    label: Text::line(job.to_string()),
                    state: State::Waiting,
                    doing: String::new(),
                    bytes: String::new(),
                    since: at,
                    steps: Vec::new(),
                    log: VecDeque::new(),
                };
                self.rows = jobs.iter().map(|job| row(&job.job)).collect();
            }
            Event::Job { job, what } => {
                if let Some(row) = self.rows.iter_mut().find(|row| row.job == *job) {
                    row.event(at, what);
                }
            }
            _ => {}
        }
    }

    /// At most `room` lines of at most `columns` columns of the terminal. The jobs at work come in the plan's order, each above the
    /// end of its log if there is room. A count of all jobs follows.
    pub(crate) fn lines(&self, at: Duration, room: usize, columns: usize) -> Vec<Line> {
        let active: Vec<&Row> = self.rows.iter().filter(|row| row.state == State::Active).collect();
        if active.is_empty() {
            return Vec::new();
        }
        let counted = room > 1 && self.rows.len() > 1;
        let room = room.saturating_sub(usize::from(counted)).max(1);
        let shown = active.len().min(room);
        let logged = ((room - shown) / shown).min(LOG);
        // The longest name of all rows: no column moves when a row ends.
        let name = self.rows.iter().map(|row| wide(&row.label)).max().unwrap_or(0).min(columns / 2);
        let mut lines = Vec::new();
        for row in &active[..shown] {
            lines.push(row.line(at, name, columns).into());
            lines.extend(row.log_lines(logged, columns));
        }
        if counted {
            lines.push(shorten(&self.counts(at, active.len() - shown), columns).into());
        }
        lines
    }

    /// `2 at work (1 not shown), 3 waiting, 1 done, 12s`.
    fn counts(&self, at: Duration, hidden: usize) -> String {
        let of = |state| self.rows.iter().filter(|row| row.state == state).count();
        let unseen = if hidden > 0 { format!(" ({hidden} not shown)") } else { String::new() };
        let mut parts = vec![format!("{} at work{unseen}", of(State::Active))];
        let rest = [
            (State::Waiting, "waiting"),
            (State::Done, "done"),
            (State::Failed, "failed"),
            (State::Cancelled, "cancelled"),
        ];
        let some = rest.into_iter().map(|(state, word)| (of(state), word)).filter(|(count, _)| *count > 0);
        parts.extend(some.map(|(count, word)| format!("{count} {word}")));
        parts.push(elapsed(at));
        format!("  {}", parts.join(", "))
    }
}

impl Row {
    fn event(&mut self, at: Duration, what: &JobEvent) {
        match what {
            JobEvent::BuildStarted { .. } => {
                self.state = State::Active;
                self.does("building", at);
            }
            JobEvent::Moved { .. } => {
                self.state = State::Waiting;
                self.steps.clear();
                self.log.clear();
                self.does("moving to another engine", at);
            }
            JobEvent::StepStarted { step } => {
                self.steps.push((step.to_string(), at));
                self.does(step, at);
            }
            JobEvent::StepEnded { step, .. } => self.step_ended(step, at),
            JobEvent::Log { line } => self.logs(line),
            JobEvent::Progress { bytes, total: Some(total), .. } => {
                self.bytes = format!("{} of {}", size(*bytes), size(*total));
            }
            JobEvent::Progress { bytes, total: None, .. } => self.bytes = size(*bytes),
            JobEvent::Built { .. } => self.does("built", at),
            JobEvent::PushStarted { .. } => {
                // polyarch may push a job that this run did not build.
                self.state = State::Active;
                self.does("pushing", at);
            }
            JobEvent::CopyStarted { .. } => {
                self.state = State::Active;
                self.does("copying", at);
            }
            JobEvent::Pushed { .. } | JobEvent::Copied { .. } => self.does("confirming", at),
            JobEvent::Retried { doing, attempt, .. } => self.doing = format!("{doing}, attempt {}", attempt + 1),
            JobEvent::Confirmed { .. } => self.state = State::Done,
            JobEvent::Failed(_) => self.state = State::Failed,
            JobEvent::NotBuilt { .. } | JobEvent::Cancelled => self.state = State::Cancelled,
            // A test has every kind.
            _ => {}
        }
    }

    fn does(&mut self, what: &str, since: Duration) {
        what.clone_into(&mut self.doing);
        self.since = since;
        self.bytes.clear();
    }

    /// Shows a step that still runs, and drops the log of the step that ended.
    fn step_ended(&mut self, step: &str, at: Duration) {
        self.steps.retain(|(running, _)| running != step);
        self.log.clear();
        if self.doing == step {
            let (doing, since) = self.steps.last().cloned().unwrap_or_else(|| ("building".to_owned(), at));
            self.does(&doing, since);
        }
    }

    fn logs(&mut self, line: &str) {
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(line.chars().take(LOG_WIDTH).collect::<String>().replace('\t', "    "));
    }

    /// The end of the log, at most `count` lines.
    fn log_lines(&self, count: usize, columns: usize) -> impl Iterator<Item = Line> {
        let end = self.log.iter().skip(self.log.len().saturating_sub(count));
        end.map(move |line| Line::new().toned(Tone::Faint, shorten(&format!("    {line}"), columns)))
    }

    fn line(&self, at: Duration, name: usize, columns: usize) -> String {
        let since = at.saturating_sub(self.since);
        let frame = FRAMES[usize::try_from(at.as_millis() / 100).unwrap_or(0) % FRAMES.len()];
        // The platform is at the end of the name, so the beginning is cut.
        let label = pad(&shorten_start(&self.label, name), name);
        let left = format!("{frame} {label} │ ");
        let time = format!(" {:>5}", elapsed(since));
        let bytes = if self.bytes.is_empty() { String::new() } else { format!("  {}", self.bytes) };
        let free = columns.saturating_sub(wide(&left) + wide(&time));
        let right = if free >= MIN_DOING + bytes.len() { bytes + &time } else { time };
        let free = columns.saturating_sub(wide(&left) + wide(&right));
        let doing = pad(&shorten(&self.doing.replace('\t', " "), free), free);
        shorten(&format!("{left}{doing}{right}"), columns)
    }
}

/// A duration in whole seconds: tenths would only flicker.
fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        #[expect(clippy::cast_precision_loss, reason = "2^53 seconds")]
        seconds => duration(seconds as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hostile;
    use super::super::script::{begun, job, on, started, step};
    use super::*;
    use crate::cli::terminal::style::Color;

    fn shown(rows: &Rows, columns: usize) -> Vec<String> {
        let lines = rows.lines(Duration::from_secs(3), 4, columns);
        lines.iter().map(|line| line.render(Color::Off)).collect()
    }

    #[test]
    fn every_kind_of_job_event_changes_a_row_or_is_silent() {
        for event in hostile::events("text") {
            let Event::Job { what, .. } = &event else { continue };
            let mut rows = Rows::default();
            rows.event(Duration::ZERO, &started());
            let row = &mut rows.rows[0];
            (row.state, row.log) = (State::Active, VecDeque::from(["a line".to_owned()]));
            let before = format!("{row:?}");
            row.event(Duration::from_secs(1), what);
            let is_silent = matches!(what, JobEvent::Chosen { .. } | JobEvent::StillRunning { .. });
            assert_eq!(format!("{row:?}") == before, is_silent, "{what:?}");
        }
    }

    #[test]
    fn rows_align_wide_characters() {
        let mut rows = Rows::default();
        rows.event(Duration::ZERO, &started());
        for (platform, name) in [("linux/amd64", "RUN make"), ("linux/arm64", "RUN 部品を作る 🦀")] {
            rows.event(Duration::ZERO, &on("hello", platform, begun(platform)));
            rows.event(Duration::ZERO, &on("hello", platform, step(name)));
        }
        rows.rows[1].label = "部品 linux/arm64".into();
        rows.rows[1].job = job("hello", "linux/arm64");
        assert_eq!(
            shown(&rows, 50),
            [
                "⠋ hello linux/amd64 │ RUN make                  3s",
                "⠋ 部品 linux/arm64  │ RUN 部品を作る 🦀         3s",
                "  2 at work, 3s",
            ]
        );
        for columns in 0..60 {
            for line in shown(&rows, columns) {
                assert!(wide(&line) <= columns.max(1), "{columns}: {line}");
            }
        }
    }
}
