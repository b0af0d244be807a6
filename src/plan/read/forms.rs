//! Turns the short forms of the plan into the long ones. All later code merges and reads only the long forms.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::node::{Entry, Key, Map, Node, Value};

/// Keys that Compose also accepts as a list of `NAME=VALUE`.
const PAIRS: [&str; 4] = ["args", "labels", "contexts", "annotations"];

/// The key with a list of `HOST:IP`. A host may appear more than once.
const HOSTS: &str = "extra_hosts";

/// Turns lists into maps, for an image and for its platforms: `args`, `labels`, `contexts`, `annotations`,
/// `extra_hosts`. A list with other items than strings stays a list, and the reader of the key reports it.
pub(in crate::plan) fn normalise(map: &mut Map) {
    let platforms = |entry: &Entry| &*entry.key.name == "platforms" && matches!(entry.value.value, Value::Map(_));
    let short = |entry: &Entry| PAIRS.contains(&&*entry.key.name) || &*entry.key.name == HOSTS;
    if !map.iter().any(|entry| short(entry) || platforms(entry)) {
        return;
    }
    for entry in Rc::make_mut(map) {
        if PAIRS.contains(&&*entry.key.name) {
            if let Some(pairs) = pairs(&entry.value) {
                entry.value.value = Value::Map(pairs);
            }
        } else if &*entry.key.name == HOSTS {
            if let Some(hosts) = hosts(&entry.value) {
                entry.value.value = Value::Map(hosts);
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

/// Turns `[A=1, B]` into `{A: 1, B: }`. A list with a duplicate name stays a list, and its reader refuses it.
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
    let names: HashSet<&str> = entries.iter().map(|entry| &*entry.key.name).collect();
    (names.len() == entries.len()).then(|| Rc::new(entries))
}

/// Turns `[a:10.0.0.1, "a:::1", b=10.0.0.2]` into `{a: [10.0.0.1, ::1], b: [10.0.0.2]}`.
fn hosts(node: &Node) -> Option<Map> {
    let Value::List(items) = &node.value else { return None };
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut hosts: Vec<(Key, Vec<Node>)> = Vec::with_capacity(items.len());
    for item in items.iter() {
        let Value::Text(text) = &item.value else { return None };
        let (host, ip) = text.split_once([':', '='])?;
        let place = *places.entry(host).or_insert(hosts.len());
        if place == hosts.len() {
            hosts.push((Key { origin: item.origin.clone(), name: host.into() }, Vec::new()));
        }
        hosts[place].1.push(Node { origin: item.origin.clone(), value: Value::Text(ip.to_owned()) });
    }
    let entry = |(key, ips): (Key, Vec<Node>)| {
        let value = Node { origin: key.origin.clone(), value: Value::List(ips.into()) };
        Entry { key, value }
    };
    Some(Rc::new(hosts.into_iter().map(entry).collect()))
}
