//! Fields of documents that polyarch does not read. polyarch keeps them unchanged for other readers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

/// Fields of an object, by name, each with the text of its value.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the value of `name`, if the field exists.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.get())
    }

    /// Removes `name`. Returns whether the field existed.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The fields of `object` without those in `known`. The document of `object` was checked before, so all readers
    /// agree about it.
    pub(in crate::oci) fn beside(known: &[&str], object: &RawValue) -> Result<Self, serde_json::Error> {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object.get())?;
        fields.retain(|name, _| !known.contains(&name.as_str()));
        Ok(Self(fields))
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        let texts =
            |fields: &Self| fields.0.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect();
        let (own, others): (Vec<_>, Vec<_>) = (texts(self), texts(other));
        own == others
    }
}

impl Eq for Fields {}
