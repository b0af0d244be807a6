//! Parses YAML into a tree with places. No other file uses the YAML crate.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::{Error, Spanned};

use super::node::{Entry, Key, Node, Origin, Value};
use crate::plan::model::error::{Location, Problem, SourceText};

/// The largest plan, in bytes.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// The deepest nesting. A plan needs seven levels. Every level takes stack.
const MAX_DEPTH: usize = 16;

/// The most values, including those that aliases repeat.
const MAX_NODES: usize = 250_000;

/// The most text in bytes, including the text that aliases repeat.
const MAX_SCALARS: usize = 64 * 1024 * 1024;

/// The hint for a plan that exceeds a limit.
const SMALLER: &str = "split the plan, or use fewer aliases";

/// Reads one YAML document, and resolves merge keys and aliases.
///
/// Limits: 4 MiB of text and 16 levels. With the repetitions of aliases: 250,000 values and 64 MiB of text. An anchor
/// may have any number of aliases within these limits.
pub(in crate::plan) fn parse(source: &SourceText) -> Result<Node, Problem> {
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
    // An error inside an alias contains the place of the alias.
    let error = if let Error::AliasError { error, .. } = error { error } else { error };
    let (message, hint) = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` appears twice"), Some("remove one of the two".to_owned()))
        }
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } | Error::MultipleDocuments { .. } => {
            ("a plan is one YAML document, and this begins a second one".to_owned(), None)
        }
        Error::Budget { breach, .. } => (beyond(breach), Some(SMALLER.to_owned())),
        Error::AliasReplayLimitExceeded { max_total_replayed_events: most, .. } => {
            (format!("the plan's aliases repeat more than {most} values"), Some(SMALLER.to_owned()))
        }
        Error::AliasReplayStackDepthExceeded { max_depth: most, .. } => {
            (format!("the plan's aliases are nested deeper than {most} levels"), Some(SMALLER.to_owned()))
        }
        Error::UnknownAnchor { .. } => ("there is no anchor of this name".to_owned(), None),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("this alias is inside the value that it names".to_owned(), None)
        }
        Error::NonFiniteFloat { .. } => ("a plan cannot contain this number".to_owned(), None),
        Error::NullIntoString { .. } => ("a key must be a string".to_owned(), None),
        other => (plain(other), None),
    };
    Problem { span, message, hint }
}

/// The crate's own message for users, as one line. The place at its end is removed, because the problem has it
/// already.
fn plain(error: &Error) -> String {
    let rendered = error.render_with_formatter(&serde_yaml::UserMessageFormatter);
    let message = rendered.lines().next().unwrap_or_default();
    let message = message.find(" at line ").map_or(message, |end| &message[..end]);
    format!("this is not valid YAML: {message}")
}

/// The message about the limit that a plan exceeds.
fn beyond(breach: &BudgetBreach) -> String {
    const MIB: usize = 1024 * 1024;
    match breach {
        BudgetBreach::Depth { .. } => format!("the plan is nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Nodes { .. } => {
            format!("the plan has more than {MAX_NODES} values, including those that aliases repeat")
        }
        BudgetBreach::ScalarBytes { .. } => {
            format!("the plan has more than {} MiB of text, including the text that aliases repeat", MAX_SCALARS / MIB)
        }
        BudgetBreach::Aliases { .. } => format!("the plan has more than {MAX_NODES} aliases"),
        BudgetBreach::Anchors { .. } => format!("the plan has more than {MAX_NODES} anchors"),
        BudgetBreach::MergeKeys { .. } => format!("the plan has more than {MAX_NODES} merge keys"),
        BudgetBreach::RecordedAnchorEvents { .. } | BudgetBreach::RecordedAnchorBytes { .. } => {
            "the plan's anchors hold too much; a nested anchor counts twice".to_owned()
        }
        _ => "the plan exceeds a limit of polyarch".to_owned(),
    }
}

fn range(at: serde_yaml::Location) -> Range<usize> {
    let span = at.span();
    let offset = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    let start = offset(span.byte_offset());
    start..start.saturating_add(offset(span.byte_len()))
}

/// The values that the YAML crate passes to a visitor. Numbers are later replaced by their written text.
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
