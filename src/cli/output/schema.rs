//! Holds the JSON Schemas of events and results.

/// The JSON Schema (draft 2020-12) of a line of `--progress json`: `polyarch schema events`.
pub(crate) const EVENTS_SCHEMA: &str = include_str!("schema.json");
/// The JSON Schema (draft 2020-12) of `--format json`: `polyarch schema results`.
pub(crate) const RESULTS_SCHEMA: &str = include_str!("results.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use polyarch::oci::Digest;
    use polyarch::run::{
        Destination, Doing, Event, EventSink as _, Failure, ImageEvent, JobEvent, Phase, REPORT_SCHEMA, Repeated,
        Report, Transfer,
    };
    use serde_json::Value;

    use super::super::display::held::Held;
    use super::super::display::hostile;
    use super::super::display::json::Json;
    use super::super::display::script::{
        Memory, Script, begun, failed, half_published, interrupted, not_joined, on, play, refused, report, started,
        success, tag, unchanged,
    };
    use super::*;
    use crate::cli::args::values::Format;
    use crate::cli::output::display::view::{Display as _, Lost};
    use crate::cli::output::files::results::write_results;

    fn image(what: ImageEvent) -> Event {
        Event::Image { image: "hello".to_owned(), what }
    }

    fn all_at_once(events: Vec<Event>) -> Script {
        events.into_iter().map(|event| (0, event)).collect()
    }

    /// Runs that cover every event, field and value.
    fn runs() -> Vec<Script> {
        let mut runs = vec![
            success(),
            unchanged(),
            failed(),
            interrupted(),
            half_published(),
            not_joined(),
            refused(),
            all_at_once(hostile::events("text")),
        ];
        let (digest, to) = (Digest::of(b"x"), tag("hello:1.0"));
        let here = |what| on("hello", "linux/amd64", what);
        let built =
            || JobEvent::Built { id: digest.clone(), seconds: 1.0, cached_steps: 0, steps: 1, context_bytes: 1 };
        let chosen = JobEvent::Chosen { image: to.repository.digest(digest.clone()), bytes: 1 };
        let doing = [Doing::Building, Doing::Pushing, Doing::Copying, Doing::Confirming];
        let pushing = JobEvent::PushStarted { to: to.clone() };
        let moved = JobEvent::Moved { from: "default".into(), reason: "text".into() };
        runs.extend(
            [begun("amd64"), moved, built(), chosen, pushing].map(|what| all_at_once(vec![started(), here(what)])),
        );
        runs.push(all_at_once(doing.map(|doing| here(JobEvent::StillRunning { doing, seconds: 30.0 })).into()));
        runs.push(all_at_once(vec![
            here(JobEvent::Progress { of: Transfer::Copy, bytes: 1, total: None }),
            here(JobEvent::Retried { doing: Repeated::Build, attempt: 1, wait: 1.0, error: "text".into() }),
            started(),
            here(JobEvent::Pushed { seconds: 1.0, layers_pushed: 1 }),
            image(ImageEvent::Tagging { tag: to.clone().into() }),
        ]));
        let Event::Started { images, mut jobs } = started() else { panic!("a run starts") };
        for job in &mut jobs {
            job.destination = Destination::Repository(to.repository.clone());
        }
        runs.push(all_at_once(vec![Event::Started { images, jobs }, here(built())]));
        let phases = [
            Phase::Plan,
            Phase::Preflight,
            Phase::Build,
            Phase::Push,
            Phase::Publish,
            Phase::Verify,
            Phase::Timeout,
            Phase::Internal,
        ];
        runs.extend(phases.map(|phase| {
            let failure = Failure::new(phase, "text".into(), None);
            let all =
                vec![started(), here(JobEvent::Failed(failure.clone())), image(ImageEvent::Failed(failure.clone()))];
            all_at_once([all, vec![Event::Failed(failure)]].concat())
        }));
        runs
    }

    /// The reports of the runs, and of one run for each signal that ended it.
    fn reports() -> Vec<Report> {
        let own = runs().iter().map(|script| report(script, None)).collect::<Vec<_>>();
        let signals = [129, 130, 143].map(|code| report(&interrupted(), Some(code)));
        own.into_iter().chain(signals).collect()
    }

    fn lines(script: &Script) -> Vec<Value> {
        let memory = Memory::default();
        let mut display = Json::new(memory.clone());
        play(script, &mut display);
        display.lost(Duration::ZERO, Lost { lines: 7, events: 1 });
        display.event(Duration::ZERO, &Event::Stopping { reason: "interrupted".into() });
        memory.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn report_schema_has_exactly_the_fields_that_reports_use() {
        let mut held = Held::new(REPORT_SCHEMA);
        for report in reports() {
            held.hold(&serde_json::to_value(&report).unwrap());
        }
        assert_eq!(held.unseen(), BTreeSet::new());
    }

    #[test]
    fn event_schema_has_exactly_the_fields_that_events_use() {
        let mut held = Held::new(EVENTS_SCHEMA);
        for script in runs() {
            for line in lines(&script) {
                held.hold(&line);
            }
        }
        for report in reports() {
            held.hold(&serde_json::json!({ "at": report.run.seconds, "event": "finished", "report": report }));
        }
        assert_eq!(held.unseen(), BTreeSet::new());
    }

    #[test]
    fn result_schema_has_exactly_the_fields_that_results_use() {
        let mut held = Held::new(RESULTS_SCHEMA);
        let loaded = hostile::events("text").into_iter().filter(|event| {
            matches!(event, Event::Started { .. } | Event::Image { what: ImageEvent::Loaded { .. }, .. })
        });
        let not_joined =
            Event::Image { image: "text".to_owned(), what: ImageEvent::NotJoined { reason: "--load".into() } };
        let built = |one: &Event| match one {
            Event::Started { jobs, .. } => jobs
                .iter()
                .map(|one| {
                    let what = JobEvent::Built {
                        id: Digest::of(b"x"),
                        seconds: 1.0,
                        cached_steps: 0,
                        steps: 1,
                        context_bytes: 1,
                    };
                    Event::Job { job: one.job.clone(), what }
                })
                .collect(),
            _ => Vec::new(),
        };
        let loaded: Vec<_> =
            loaded.flat_map(|one| [vec![one.clone()], built(&one)].concat()).chain([not_joined]).collect();
        for report in reports().into_iter().chain([report(&all_at_once(loaded), None)]) {
            let mut document = Vec::new();
            write_results(&mut document, &report, Format::Json).unwrap();
            held.hold(&serde_json::from_slice(&document).unwrap());
        }
        assert_eq!(held.unseen(), BTreeSet::new());
    }

    #[test]
    fn event_schema_repeats_the_report_schema() {
        let [report, events] = [REPORT_SCHEMA, EVENTS_SCHEMA].map(|text| serde_json::from_str::<Value>(text).unwrap());
        let definitions = report["$defs"].as_object().unwrap();
        for (name, definition) in definitions {
            assert_eq!(&events["$defs"][name], definition, "copy {name} from the schema of the report");
        }
        for word in ["type", "additionalProperties", "required", "properties"] {
            assert_eq!(events["$defs"]["report"][word], report[word], "{word}");
        }
    }
}
