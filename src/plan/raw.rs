//! YAML in, a tree with places out: the only file that names YAML.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::{Error, Spanned};

use super::error::{Location, Problem, SourceText};
use super::node::{Entry, Key, Node, Origin, Value};

/// Largest plan that is read, in bytes.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Deepest nesting. A plan needs seven levels; every level takes stack.
const MAX_DEPTH: usize = 16;

/// Most values, with those that aliases repeat.
const MAX_NODES: usize = 250_000;

/// Most text, with what aliases repeat, in bytes.
const MAX_SCALARS: usize = 64 * 1024 * 1024;

/// What to do where a plan is beyond a limit.
const SMALLER: &str = "split the plan, or let aliases repeat less";

/// Reads one YAML document, with merge keys and aliases resolved.
///
/// Bounds: 4 MiB of text, 16 levels, 250,000 values and 64 MiB of them with those that aliases repeat. One anchor may
/// have any number of aliases within that.
pub(super) fn parse(source: &SourceText) -> Result<Node, Problem> {
    if source.text.len() > MAX_TEXT {
        let message = format!("the plan is larger than {} MiB", MAX_TEXT / 1024 / 1024);
        return Err(Problem { span: None, message, hint: None });
    }
    let options = serde_yaml::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        merge_keys: serde_yaml::options::MergeKeyPolicy::Merge,
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::Error,
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_aliases: MAX_NODES,
            max_anchors: MAX_NODES,
            max_merge_keys: MAX_NODES,
            max_total_scalar_bytes: MAX_SCALARS,
            max_documents: 1,
            enforce_alias_anchor_ratio: false,
        },
    };
    let parsed: Spanned<RawValue> =
        serde_yaml::from_str_with_options(&source.text, options).map_err(|error| problem(&source.text, &error))?;
    Ok(node(parsed, &source.text))
}

fn problem(text: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    let span = error.location().map(|at| match at.span().byte_offset() {
        Some(_) => Location::of(text, range(at)),
        None => Location::at(text, at.line(), at.column()),
    });
    // What breaks a limit by an alias has the place of the alias around it.
    let error = if let Error::AliasError { error, .. } = error { error } else { error };
    let (message, hint) = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` is there twice"), Some("remove one of the two".to_owned()))
        }
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } | Error::MultipleDocuments { .. } => {
            ("a plan is one YAML document, and this begins a second one".to_owned(), None)
        }
        Error::Budget { breach, .. } => (beyond(breach), Some(SMALLER.to_owned())),
        Error::AliasReplayLimitExceeded { max_total_replayed_events: most, .. } => {
            (format!("the plan's aliases repeat more than {most} values"), Some(SMALLER.to_owned()))
        }
        Error::AliasReplayStackDepthExceeded { max_depth: most, .. } => {
            (format!("more than {most} aliases of the plan lead to each other"), Some(SMALLER.to_owned()))
        }
        Error::UnknownAnchor { .. } => ("there is no anchor of this name".to_owned(), None),
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("this alias is inside of what it names".to_owned(), None),
        Error::NonFiniteFloat { .. } => ("this is not a number that a plan can hold".to_owned(), None),
        Error::NullIntoString { .. } => ("a key must be a string".to_owned(), None),
        other => (plain(other), None),
    };
    Problem { span, message, hint }
}

/// The crate's own message for users, in one line and without the place that it repeats at the end.
fn plain(error: &Error) -> String {
    let rendered = error.render_with_formatter(&serde_yaml::UserMessageFormatter);
    let message = rendered.lines().next().unwrap_or_default();
    let message = message.find(" at line ").map_or(message, |end| &message[..end]);
    format!("this is not valid YAML: {message}")
}

/// The limit that a plan is beyond.
fn beyond(breach: &BudgetBreach) -> String {
    const MIB: usize = 1024 * 1024;
    match breach {
        BudgetBreach::Depth { .. } => format!("the plan is nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Nodes { .. } => {
            format!("the plan has more than {MAX_NODES} values, with those that aliases repeat")
        }
        BudgetBreach::ScalarBytes { .. } => {
            format!("the plan has more than {} MiB of text, with what aliases repeat", MAX_SCALARS / MIB)
        }
        BudgetBreach::Aliases { .. } => format!("the plan has more than {MAX_NODES} aliases"),
        BudgetBreach::Anchors { .. } => format!("the plan has more than {MAX_NODES} anchors"),
        BudgetBreach::MergeKeys { .. } => format!("the plan has more than {MAX_NODES} merge keys"),
        BudgetBreach::RecordedAnchorEvents { .. } | BudgetBreach::RecordedAnchorBytes { .. } => {
            "the plan's anchors name too much: one inside another is kept twice".to_owned()
        }
        _ => "the plan has more in it than polyarch reads".to_owned(),
    }
}

fn range(at: serde_yaml::Location) -> Range<usize> {
    let span = at.span();
    let offset = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let start = offset(span.byte_offset());
    start..start.saturating_add(offset(span.byte_len()))
}

/// What the YAML crate hands to a visitor. Numbers are taken from the text again, as they were written.
enum RawValue {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<RawValue>>),
    Map(Vec<(Spanned<String>, Spanned<RawValue>)>),
}

fn node(raw: Spanned<RawValue>, text: &str) -> Node {
    let range = range(raw.defined);
    let written = text.get(range.clone()).unwrap_or_default().trim();
    let value = match raw.value {
        RawValue::Null => Value::Null,
        RawValue::Bool(value) => Value::Bool(value),
        RawValue::Number(read) => Value::Number(if written.is_empty() { read } else { written.to_owned() }),
        RawValue::Text(value) => Value::Text(value),
        RawValue::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        RawValue::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<RawValue>)| Entry {
                key: Key { origin: Origin::Text(self::range(key.defined)), name: key.value.into() },
                value: node(value, text),
            };
            Value::Map(Rc::new(entries.into_iter().map(entry).collect()))
        }
    };
    Node { origin: Origin::Text(range), value }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        RawValue::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Number(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawValue, E> {
        Ok(RawValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawValue::Map(map))
    }
}
