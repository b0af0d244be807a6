//! YAML in, a tree with places out: the only file that names YAML.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Error, Spanned};

use super::error::{Location, Problem, SourceText};
use super::node::{Entry, Key, Node, Origin, Value};

/// Largest plan that is read, in bytes.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Reads one YAML document, with merge keys and aliases resolved.
///
/// Bounds: 4 MiB of text, 64 levels, 250,000 nodes with those that aliases repeat.
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
        budget: serde_yaml::budget! { max_depth: 64, max_nodes: 250_000, max_documents: 1 },
    };
    let parsed: Spanned<RawValue> =
        serde_yaml::from_str_with_options(&source.text, options).map_err(|error| problem(&source.text, &error))?;
    Ok(node(parsed, &source.text))
}

fn problem(text: &str, error: &Error) -> Problem {
    let span = error.location().map(|at| Location::of(text, range(at)));
    Problem { span, message: format!("{error:?} ||| {error}"), hint: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe() {
        let show = |text: &str| {
            let t = std::time::Instant::now();
            let s = SourceText { path: "p".into(), text: text.into() };
            match parse(&s) {
                Ok(n) => println!("{:.60}\n => {:.900} [{:?}]\n", text, format!("{n:?}"), t.elapsed()),
                Err(e) => println!("{:.60}\n ERR {:.600} [{:?}]\n", text, format!("{e:?}"), t.elapsed()),
            }
        };
        show("a: 1.10\nb: '1.10'\nc: no\nd: ~\ne: [x, 0123, 0x10]\nf:\ng: true\nh: True\n");
        show("\u{feff}a: ä\nb: 1.10\n");
        show("x: &a {k: 1.10, l: z}\ny: {<<: *a, l: q}\nz: *a\n");
        show("a: 1\na: 2\n");
        show("a:\n  b: 1\n c: 2\n");
        show("a: 1\n---\nb: 2\n");
        show("a: \"x\0y\"\n");
        show("a: x\0y\n");
        show("a: !!binary aGVsbG8=\n");
        show("a: !foo x\n");
        show("a: !!str 1.10\n");
        show("? [a]\n: b\n");
        show("1: b\ntrue: c\n~: d\n");
        show("a: [\n");
        show("a: *nope\n");
        show("");
        show("# c\n");
        show("a: .inf\nb: .nan\n");
        show(&"[".repeat(100_000));
        show(&(0..5000).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>());
        show("a: &a [l,l,l,l,l,l,l,l,l]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n");
        show("a: &a [*a]\n");
        show("a: {b: c}\nx: {<<: [{q: 1},{q: 2}], <<: {z: 1}}\n");
        show("a: |\n  hello ${X}\n  there\nb: >-\n  f\n  g\n");
        show("\t- a\n");
        show("%YAML 1.1\n---\na: yes\n...\n");
        show("a: 2024-01-01\nb: 12:30\nc: 1_000\nd: 1e3\n");
        show(&(0..1000).map(|i| format!("image{i}:\n  context: x\n  tags: [\"1.0\", latest]\n  platforms:\n    linux/amd64:\n    linux/arm64: {{ dockerfile: D.arm, args: {{ TUNE: n1 }} }}\n  args: {{ VERSION: \"${{V:-dev}}\" }}\n")).collect::<String>());
    }
}
