//! The short forms of the plan become its long ones, so that everything after has one form to merge and to read.

use std::rc::Rc;

use super::node::{Entry, Key, Map, Node, Value};

/// Keys that Compose lets be written as a list of `NAME=VALUE`.
const PAIRS: [&str; 2] = ["args", "labels"];

/// Turns `args` and `labels` that are lists into maps, in an image's map and in those of its platforms. What is not
/// a list of strings stays as it is: whoever reads it says what is wrong.
pub(super) fn normalise(map: &mut Map) {
    let platforms = |entry: &Entry| &*entry.key.name == "platforms" && matches!(entry.value.value, Value::Map(_));
    if !map.iter().any(|entry| PAIRS.contains(&&*entry.key.name) || platforms(entry)) {
        return;
    }
    for entry in Rc::make_mut(map) {
        if PAIRS.contains(&&*entry.key.name) {
            if let Some(pairs) = pairs(&entry.value) {
                entry.value.value = Value::Map(pairs);
            }
        } else if &*entry.key.name == "platforms"
            && let Value::Map(platforms) = &mut entry.value.value
        {
            for platform in Rc::make_mut(platforms) {
                if let Value::Map(settings) = &mut platform.value.value {
                    normalise(settings);
                }
            }
        }
    }
}

/// `[A=1, B]` as `{A: 1, B: }`. A list that has a name twice stays a list, and is refused when it is read.
fn pairs(node: &Node) -> Option<Map> {
    let Value::List(items) = &node.value else { return None };
    let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
    for item in items.iter() {
        let Value::Text(text) = &item.value else { return None };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Value::Text(value.to_owned())),
            None => (text.as_str(), Value::Null),
        };
        let key = Key { origin: item.origin.clone(), name: name.into() };
        entries.push(Entry { key, value: Node { origin: item.origin.clone(), value } });
    }
    let names: std::collections::HashSet<&str> = entries.iter().map(|entry| &*entry.key.name).collect();
    (names.len() == entries.len()).then(|| Rc::new(entries))
}
