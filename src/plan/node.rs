//! A plan as a tree: every scalar, list and map with the place where it was written.
//!
//! The tree knows nothing of YAML. Merging defaults and applying `--set` are edits of it.

use std::ops::Range;
use std::rc::Rc;

/// Where a node was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// These bytes of the plan's text.
    Text(Range<usize>),
    /// This flag of the command line.
    Flag(Rc<str>),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value. Numbers keep the text that was written, because `1.10` is more often a version than a number.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    /// A value of the command line: its type is the one that its key wants.
    Flag(String),
    List(Rc<[Node]>),
    Map(Map),
}

/// A map in the order in which it was written. Cheap to clone: defaults are shared by every image.
pub(super) type Map = Rc<Vec<Entry>>;

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Node,
}

/// A key and its place.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) origin: Origin,
    pub(super) name: Rc<str>,
}

impl Node {
    /// What the value is, for messages.
    pub(super) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(text) => format!("the number {text}"),
            Value::Text(_) | Value::Flag(_) => "a string".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// The value of `name` in `map`.
pub(super) fn get<'a>(map: &'a [Entry], name: &str) -> Option<&'a Entry> {
    map.iter().find(|entry| &*entry.key.name == name)
}

/// `over` merged into `base`: maps merge key by key, lists and scalars replace. The order is that of `over`,
/// then what only `base` has.
pub(super) fn merge(base: &Node, over: &Node) -> Node {
    let (Value::Map(base), Value::Map(above)) = (&base.value, &over.value) else { return over.clone() };
    let mut merged: Vec<Entry> = Vec::with_capacity(base.len() + above.len());
    let below: std::collections::HashMap<&str, &Entry> = base.iter().map(|entry| (&*entry.key.name, entry)).collect();
    for entry in above.iter() {
        let value = match below.get(&*entry.key.name) {
            Some(below) => merge(&below.value, &entry.value),
            None => entry.value.clone(),
        };
        merged.push(Entry { key: entry.key.clone(), value });
    }
    let taken: std::collections::HashSet<&str> = above.iter().map(|entry| &*entry.key.name).collect();
    merged.extend(base.iter().filter(|entry| !taken.contains(&*entry.key.name)).cloned());
    Node { origin: over.origin.clone(), value: Value::Map(Rc::new(merged)) }
}
