//! The JSON Schema of the events, for programs.

/// The JSON Schema (draft 2020-12) of a line of `--progress json`: `polyarch schema events`.
pub(crate) const EVENTS_SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jsonschema::Validator;
    use polyarch::oci::Digest;
    use polyarch::run::{
        Destination, Doing, Event, EventSink as _, Failure, ImageEvent, JobEvent, Phase, REPORT_SCHEMA, Repeated,
        Report, Transfer,
    };
    use serde_json::Value;

    use super::super::hostile;
    use super::super::json::Json;
    use super::super::progress::{Display as _, Lost};
    use super::super::script::{
        Memory, Script, failed, half_published, interrupted, not_joined, on, play, refused, report, started, success,
        tag, unchanged,
    };
    use super::*;

    /// A schema, and which of its properties and of the values that it lists documents had.
    struct Held {
        schema: Value,
        validator: Validator,
        seen: BTreeSet<String>,
    }

    impl Held {
        fn new(schema: &str) -> Self {
            let schema = serde_json::from_str(schema).unwrap();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            Self { schema, validator, seen: BTreeSet::new() }
        }

        fn hold(&mut self, document: &Value) {
            let errors = || self.validator.iter_errors(document).map(|one| format!("{}: {one}", one.instance_path()));
            assert!(self.validator.is_valid(document), "{document:#}\n{:#?}", errors().collect::<Vec<_>>());
            self.see("", document);
        }

        /// Sees all of `document`, which the schema at `place` allows.
        fn see(&mut self, place: &str, document: &Value) {
            let schema = self.schema.pointer(place).unwrap().clone();
            if let Some(to) = schema["$ref"].as_str() {
                return self.see(&to[1..], document);
            }
            // Of the kinds of events, the one whose constants the document has.
            let is_of = |kind: &Value| {
                let kind = self.schema.pointer(&kind["$ref"].as_str().unwrap()[1..]).unwrap();
                let mut properties = kind["properties"].as_object().unwrap().iter();
                properties.all(|(name, said)| said.get("const").is_none_or(|constant| document[name] == *constant))
            };
            let kinds = schema["oneOf"].as_array().into_iter().flatten().filter(|kind| kind.get("$ref").is_some());
            if let Some(kind) = kinds.into_iter().find(|kind| is_of(kind)) {
                return self.see(&kind["$ref"].as_str().unwrap()[1..], document);
            }
            for (name, value) in document.as_object().into_iter().flatten() {
                let property = format!("{place}/properties/{name}");
                self.see(&property, value);
                self.seen.insert(property);
            }
            for item in document.as_array().into_iter().flatten() {
                self.see(&format!("{place}/items"), item);
            }
            if let Some(list) = schema["enum"].as_array() {
                assert!(list.contains(document));
                self.seen.insert(value(place, document));
            }
        }

        /// The place of the list of values that a property may have, if there is one, and the list.
        fn listed(&self, property: &str) -> Option<(String, &Vec<Value>)> {
            let said = self.schema.pointer(property).unwrap();
            let place = said["$ref"].as_str().map_or(property, |to| &to[1..]);
            Some((place.to_owned(), self.schema.pointer(place)?["enum"].as_array()?))
        }

        /// The properties and the listed values that no document had.
        fn unseen(&self) -> BTreeSet<String> {
            let mut properties = Vec::new();
            named(&self.schema, "", &mut properties);
            let lists = properties.iter().filter_map(|property| self.listed(property));
            let values = lists.flat_map(|(place, list)| list.iter().map(move |one| value(&place, one)));
            let values: Vec<_> = values.collect();
            properties.into_iter().chain(values).filter(|one| !self.seen.contains(one)).collect()
        }
    }

    fn value(place: &str, value: &Value) -> String {
        format!("{place} = {value}")
    }

    /// The places of all properties.
    fn named(schema: &Value, place: &str, properties: &mut Vec<String>) {
        let of_object = schema.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value));
        let of_list = schema.as_array().into_iter().flatten().enumerate().map(|(at, value)| (at.to_string(), value));
        for (key, value) in of_object.chain(of_list) {
            let below = format!("{place}/{key}");
            if key == "properties" {
                properties.extend(value.as_object().unwrap().keys().map(|name| format!("{below}/{name}")));
            }
            named(value, &below, properties);
        }
    }

    fn image(what: ImageEvent) -> Event {
        Event::Image { image: "hello".to_owned(), what }
    }

    fn all_at_once(events: Vec<Event>) -> Script {
        events.into_iter().map(|event| (0, event)).collect()
    }

    /// Runs that together have every event, field and value.
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
        runs.extend(
            [JobEvent::BuildStarted, built(), chosen, pushing].map(|what| all_at_once(vec![started(), here(what)])),
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
            let failure = Failure { phase, message: "text".into(), hint: None, source: None };
            let all =
                vec![started(), here(JobEvent::Failed(failure.clone())), image(ImageEvent::Failed(failure.clone()))];
            all_at_once([all, vec![Event::Failed(failure)]].concat())
        }));
        runs
    }

    /// The reports of the runs, and that of a run that each signal ended.
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
    fn reports_keep_to_a_schema_that_names_no_more() {
        let mut held = Held::new(REPORT_SCHEMA);
        for report in reports() {
            held.hold(&serde_json::to_value(&report).unwrap());
        }
        assert_eq!(held.unseen(), BTreeSet::new());
    }

    #[test]
    fn events_keep_to_a_schema_that_names_no_more() {
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
    fn the_report_is_the_same_in_both_schemas() {
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
