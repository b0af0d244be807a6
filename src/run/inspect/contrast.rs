//! The differences between two JSON documents, field by field.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// A field whose values differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The path of the field, such as `platform.variant` or `layers[0].mediaType`.
    pub field: String,
    /// The value in the first document, if it has the field.
    pub a: Option<Value>,
    /// The value in the second document, if it has the field.
    pub b: Option<Value>,
}

impl FieldChange {
    /// The top-level field that contains this field.
    pub(in crate::run) fn root(&self) -> &str {
        self.field.split(['.', '[']).next().unwrap_or_default()
    }
}

/// The fields that differ.
pub(in crate::run) fn contrast(a: &Value, b: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    values("", Some(a), Some(b), &mut found);
    found
}

fn values(field: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (a, b) {
        (a, b) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in keys(a, b) {
                let inside = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                values(&inside, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() && a.iter().all(Value::is_object) => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                values(&format!("{field}[{at}]"), Some(a), Some(b), found);
            }
        }
        (a, b) => found.push(FieldChange { field: field.to_owned(), a: a.cloned(), b: b.cloned() }),
    }
}

fn keys<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    a.keys().chain(b.keys()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_different_field_is_named_with_its_place() {
        let a =
            json!({ "one": 1, "list": [{ "x": 1 }, { "x": 2 }], "o": { "os.version": "1", "same": 0 }, "f": ["a"] });
        let b = json!({ "list": [{ "x": 1 }, { "x": 3 }], "o": { "os.version": "2", "same": 0 }, "f": ["a", "b"], "n": null });
        let changes = contrast(&a, &b);
        let named: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(named, ["f", "list[1].x", "n", "o.os.version", "one"]);
        assert_eq!(changes[1].root(), "list");
        assert_eq!((&changes[2].a, &changes[2].b), (&None, &Some(Value::Null)));
        assert_eq!(contrast(&a, &a), []);
    }
}
