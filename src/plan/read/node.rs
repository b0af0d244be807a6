//! A plan as a tree: scalars, lists and maps, each with its place in the text.
//!
//! The tree is independent of YAML. Merging defaults and applying `--set` edit the tree.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::plan::model::places::Position;

/// The place where a node was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) enum Origin {
    /// These bytes of the plan's text.
    Text(Range<usize>),
    /// This flag of the command line.
    Flag(Rc<str>),
}

impl From<&Origin> for Position {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Text(range) => Self::Text(range.clone()),
            Origin::Flag(flag) => Self::Flag(flag.to_string()),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Node {
    pub(in crate::plan) origin: Origin,
    pub(in crate::plan) value: Value,
}

/// A value. A number keeps its written text, because `1.10` is more often a version than a number.
#[derive(Debug, Clone)]
pub(in crate::plan) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    /// A value of the command line. The key decides how it is parsed.
    Flag(String),
    List(Rc<[Node]>),
    Map(Map),
}

/// A map in its written order. A clone is cheap, because all images share the defaults.
pub(in crate::plan) type Map = Rc<Vec<Entry>>;

/// A key and its value.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Entry {
    pub(in crate::plan) key: Key,
    pub(in crate::plan) value: Node,
}

/// A key and its place.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Key {
    pub(in crate::plan) origin: Origin,
    pub(in crate::plan) name: Rc<str>,
}

impl Node {
    /// The kind of the value, for messages.
    pub(in crate::plan) fn kind(&self) -> String {
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

/// The entry of `name` in `map`. A key without a value counts as absent.
pub(in crate::plan) fn get<'a>(map: &'a [Entry], name: &str) -> Option<&'a Entry> {
    map.iter().find(|entry| &*entry.key.name == name && !matches!(entry.value.value, Value::Null))
}

/// Merges `over` into `base`. Maps merge key by key; lists and scalars replace. The keys of `base` come first, then
/// the new keys of `over`. An empty value over a map, such as `linux/arm64:`, changes nothing.
pub(super) fn merge(base: &Node, over: &Node) -> Node {
    let (below, above) = match (&base.value, &over.value) {
        (Value::Map(below), Value::Map(above)) => (below, above),
        (Value::Map(_), Value::Null) => return base.clone(),
        _ => return over.clone(),
    };
    Node { origin: over.origin.clone(), value: Value::Map(merge_maps(below, above)) }
}

/// Merges two maps like [`merge`].
pub(in crate::plan) fn merge_maps(below: &Map, above: &Map) -> Map {
    if above.is_empty() || below.is_empty() {
        return Rc::clone(if above.is_empty() { below } else { above });
    }
    let mut over: HashMap<&str, &Entry> = above.iter().map(|entry| (&*entry.key.name, entry)).collect();
    let mut merged: Vec<Entry> = Vec::with_capacity(below.len() + above.len());
    for entry in below.iter() {
        merged.push(match over.remove(&*entry.key.name) {
            Some(over) => Entry { key: over.key.clone(), value: merge(&entry.value, &over.value) },
            None => entry.clone(),
        });
    }
    merged.extend(above.iter().filter(|entry| over.contains_key(&*entry.key.name)).cloned());
    Rc::new(merged)
}

/// Sets `value` at `path` in `map`, and creates the maps on the way.
pub(in crate::plan) fn put(map: &mut Map, path: &[Rc<str>], value: &Node) {
    let Some((name, rest)) = path.split_first() else { return };
    let entries = Rc::make_mut(map);
    let key = Key { origin: value.origin.clone(), name: Rc::clone(name) };
    let at = entries.iter().position(|entry| entry.key.name == *name).unwrap_or_else(|| {
        entries.push(Entry { key: key.clone(), value: Node { origin: value.origin.clone(), value: Value::Null } });
        entries.len() - 1
    });
    if rest.is_empty() {
        entries[at] = Entry { key, value: value.clone() };
        return;
    }
    if !matches!(entries[at].value.value, Value::Map(_)) {
        entries[at].value = Node { origin: value.origin.clone(), value: Value::Map(Map::default()) };
    }
    if let Value::Map(inner) = &mut entries[at].value.value {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Node {
        Node { origin: Origin::Text(0..0), value: Value::Text(value.into()) }
    }

    fn map(entries: &[(&str, Node)]) -> Node {
        let entry = |(name, value): &(&str, Node)| Entry {
            key: Key { origin: Origin::Text(0..0), name: (*name).into() },
            value: value.clone(),
        };
        Node { origin: Origin::Text(0..0), value: Value::Map(Rc::new(entries.iter().map(entry).collect())) }
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".into(),
            Value::Map(map) => {
                let entries: Vec<String> = map.iter().map(|e| format!("{}:{}", e.key.name, show(&e.value))).collect();
                format!("{{{}}}", entries.join(" "))
            }
            Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn plan_maps_merge_and_other_values_replace() {
        let nothing = Node { origin: Origin::Text(0..0), value: Value::Null };
        let base = map(&[("a", text("1")), ("b", map(&[("x", text("1")), ("y", text("1"))])), ("c", map(&[]))]);
        let over = map(&[("d", text("2")), ("b", map(&[("y", text("2"))])), ("a", map(&[])), ("c", nothing)]);
        assert_eq!(show(&merge(&base, &over)), "{a:{} b:{x:1 y:2} c:{} d:2}");
    }

    #[test]
    fn setting_a_value_creates_the_maps_on_its_path() {
        let Value::Map(mut tree) = map(&[("a", text("1"))]).value else { unreachable!() };
        for path in [&["b", "c"][..], &["a"], &["b", "d"]] {
            let path: Vec<Rc<str>> = path.iter().map(|&name| name.into()).collect();
            put(&mut tree, &path, &text("2"));
        }
        let tree = Node { origin: Origin::Text(0..0), value: Value::Map(tree) };
        assert_eq!(show(&tree), "{a:2 b:{c:2 d:2}}");
    }
}
