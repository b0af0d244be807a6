//! Compares the documents that polyarch writes with their schema: both must name the same properties and values.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::Value;

/// A schema, with those of its properties and listed values that documents had.
pub(crate) struct Held {
    schema: Value,
    validator: Validator,
    seen: BTreeSet<String>,
}

impl Held {
    pub(crate) fn new(schema: &str) -> Self {
        let schema = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        Self { schema, validator, seen: BTreeSet::new() }
    }

    pub(crate) fn hold(&mut self, document: &Value) {
        let errors = || self.validator.iter_errors(document).map(|one| format!("{}: {one}", one.instance_path()));
        assert!(self.validator.is_valid(document), "{document:#}\n{:#?}", errors().collect::<Vec<_>>());
        self.see("", document);
    }

    /// Marks the properties and values of `document`, which the schema at `place` allows.
    fn see(&mut self, place: &str, document: &Value) {
        let schema = self.schema.pointer(place).unwrap().clone();
        if let Some(to) = schema["$ref"].as_str() {
            return self.see(&to[1..], document);
        }
        // Finds the kind of event whose constants the document has.
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
    pub(crate) fn unseen(&self) -> BTreeSet<String> {
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
