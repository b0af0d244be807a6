//! Shows a run to programs: one JSON object in each line.
//!
//! The first line has the version: `{"at":0.0,"event":"polyarch","version":1}`. Then comes every event, with `at` in
//! seconds since the run began. If the reader is too slow, `{"at":…,"event":"not_shown","lines":…}` counts the lines of
//! logs that are not shown, and its `events` counts the other events. The last line is the whole report:
//! `{"at":…,"event":"finished","report":{…}}`.

use std::io::Write;
use std::time::Duration;

use polyarch::run::{Event, EventSink, REPORT_VERSION, Report};
use polyarch::text;
use serde::Serialize;

use super::view::{Display, Lost};
use crate::cli::terminal::writer::Lines;

/// Prints each event as a line of JSON.
#[derive(Debug)]
pub(crate) struct Json<W> {
    out: Lines<W>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    at: f64,
    #[serde(flatten)]
    event: &'a T,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Own<'a> {
    Polyarch { version: u32 },
    NotShown(Lost),
    Finished { report: &'a Report },
}

impl<W: Write + Send> Json<W> {
    pub(crate) fn new(out: W) -> Self {
        let mut json = Self { out: Lines::new(out) };
        json.print(0.0, &Own::Polyarch { version: REPORT_VERSION });
        json
    }

    fn print<T: Serialize>(&mut self, at: f64, event: &T) {
        // Values of these types always have a JSON form.
        if let Ok(line) = text::Json::line(&Line { at, event }) {
            self.out.json(&line);
        }
    }
}

fn seconds(at: Duration) -> f64 {
    (at.as_secs_f64() * 1000.0).round() / 1000.0
}

impl<W: Write + Send> EventSink for Json<W> {
    fn event(&mut self, at: Duration, event: &Event) {
        self.print(seconds(at), event);
    }
}

impl<W: Write + Send> Display for Json<W> {
    fn lost(&mut self, at: Duration, lost: Lost) {
        self.print(seconds(at), &Own::NotShown(lost));
    }

    fn finish(&mut self, report: &Report) {
        self.print(report.run.seconds, &Own::Finished { report });
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{failed, success, written};
    use super::*;

    #[test]
    fn json_output_has_one_line_per_event() {
        assert_eq!(written(&success(), None, Json::new), include_str!("expected/success.jsonl"));
        assert_eq!(written(&failed(), None, Json::new), include_str!("expected/failed.jsonl"));
    }

    #[test]
    fn json_event_lines_have_a_time_and_a_name() {
        let written = written(&failed(), None, Json::new);
        assert!(written.starts_with("{\"at\":0.0,\"event\":\"polyarch\",\"version\":1}\n"));
        for line in written.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["at"].is_f64() && object["event"].is_string(), "{line}");
            // Most readers lose a key that is written twice.
            assert_eq!(serde_json::to_string(&object).unwrap().len(), line.len(), "{line}");
        }
    }
}
