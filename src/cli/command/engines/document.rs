//! Makes the JSON document. An unknown value has no key.

use polyarch::engine::{EngineFacts, ImageStore};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::listed::{Listed, Origin, State, Used};

pub(crate) fn as_json(listed: &[Listed]) -> Value {
    let engines: Vec<_> = listed.iter().map(|one| Value::Object(engine(one))).collect();
    json!({ "version": 1, "engines": engines })
}

fn engine(one: &Listed) -> Map<String, Value> {
    let candidate = &one.candidate;
    let mut fields = Map::new();
    let mut add = |key: &str, value: Option<Value>| fields.extend(value.map(|value| (key.to_owned(), value)));
    add("name", Some(value(&candidate.name)));
    add("source", Some(value(candidate.origin.kind())));
    match &candidate.origin {
        Origin::Context(name) => add("context", Some(value(name))),
        Origin::Builder(builder) => {
            add("builder", Some(value(&builder.name)));
            add("driver", Some(value(&builder.driver)));
            add("current", Some(value(builder.is_current)));
            add("endpoints", Some(value(&builder.endpoints)));
        }
        Origin::Socket(owner) => add("owner", Some(value(owner.to_string()))),
        Origin::Plan | Origin::Environment | Origin::BuildKitHost | Origin::Default => {}
    }
    add("host", candidate.address.as_ref().ok().map(value));
    add("used", Some(value(candidate.used == Used::Yes)));
    let reachable = match &one.state {
        State::Reachable(_) => Some(true),
        State::Unreachable(_) => Some(false),
        State::Unknown => None,
    };
    add("reachable", reachable.map(value));
    match &one.state {
        State::Reachable(facts) => of_facts(facts, &mut add),
        State::Unreachable(failure) => add("failure", Some(value(failure))),
        State::Unknown => {
            let Origin::Builder(builder) = &candidate.origin else { return fields };
            add("native", (!builder.platforms.is_empty()).then(|| value(&builder.platforms)));
        }
    }
    add("seconds", one.seconds.map(value));
    add("plan", one.entry().map(value));
    fields
}

fn of_facts(facts: &EngineFacts, add: &mut impl FnMut(&str, Option<Value>)) {
    let (own, emulated): (Vec<_>, Vec<_>) = facts.runs.iter().partition(|platform| facts.is_native(platform));
    add("native", Some(value(own)));
    add("emulated", Some(value(emulated)));
    add("version", Some(value(&facts.version)));
    let store = match facts.store {
        ImageStore::Containerd => "containerd",
        ImageStore::GraphDriver => "graph_driver",
        ImageStore::None => "none",
    };
    add("store", Some(value(store)));
}

fn value(of: impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
