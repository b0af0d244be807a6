//! Reads docker's own files on this machine in the same way as docker. Go's `encoding/json` ignores the case of field
//! names, uses the last of several fields, and reads `null` as an absent field. The decoder reads one value and
//! ignores everything behind it. An empty file has no value (docker/cli, `cli/config/configfile`, `LoadFromReader`).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::document::folded;

/// An object in such a document.
pub(crate) trait Object: Default {
    /// Reads the next value of `values`, which belongs to the field `name`. The name is in lower case.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error>;
}

/// Reads `bytes`.
pub(crate) fn read<T: Object>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Loose<T>>();
    Ok(values.next().transpose()?.unwrap_or_default().0)
}

/// Sets a value. `null` changes nothing.
pub(crate) fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(place: &mut T, values: &mut A) -> Result<(), A::Error> {
    if let Some(value) = values.next_value()? {
        *place = value;
    }
    Ok(())
}

/// Adds the entries of a map. A `null` entry becomes an empty value.
pub(crate) fn add<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
    place: &mut BTreeMap<String, T>,
    values: &mut A,
) -> Result<(), A::Error> {
    let more: Option<BTreeMap<String, Option<T>>> = values.next_value()?;
    place.extend(more.into_iter().flatten().map(|(name, value)| (name, value.unwrap_or_default())));
    Ok(())
}

/// Skips a value that is not needed.
pub(crate) fn skip<'de, A: MapAccess<'de>>(values: &mut A) -> Result<(), A::Error> {
    values.next_value::<IgnoredAny>().map(drop)
}

/// An object, for places where serde reads values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loose<T>(pub(crate) T);

impl<'de, T: Object> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(name) = values.next_key::<String>()? {
            object.take(&folded(&name), &mut values)?;
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Thing {
        text: String,
        texts: BTreeMap<String, String>,
        list: Vec<u8>,
    }

    impl Object for Thing {
        fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
            match name {
                "text" => set(&mut self.text, values),
                "texts" => add(&mut self.texts, values),
                "list" => set(&mut self.list, values),
                _ => skip(values),
            }
        }
    }

    /// The rules of Go's `Unmarshal` and `Decoder.Decode`.
    #[test]
    fn loose_reader_accepts_the_json_that_go_accepts() {
        let thing = |text: &str, texts: &[(&str, &str)], list: &[u8]| Thing {
            text: text.to_owned(),
            texts: texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            list: list.to_vec(),
        };
        for (document, expected) in [
            ("", Thing::default()),
            (" \r\n\t", Thing::default()),
            ("null", Thing::default()),
            ("{}", Thing::default()),
            (r#"{"text":null,"texts":null,"list":null}"#, Thing::default()),
            (r#"{"TEXT":"a","Lists":[1],"liſt":[2]}"#, thing("a", &[], &[2])),
            (r#"{"text":"a","Text":"b","text":null}"#, thing("b", &[], &[])),
            (
                r#"{"texts":{"a":"1","b":"2"},"Texts":{"b":"3","A":null}}"#,
                thing("", &[("A", ""), ("a", "1"), ("b", "3")], &[]),
            ),
            (r#"{"text":"a"} and more"#, thing("a", &[], &[])),
            (r#"{"other":{"text":"b"},"text":"a"}"#, thing("a", &[], &[])),
        ] {
            assert_eq!(read::<Thing>(document.as_bytes()).unwrap(), expected, "{document}");
        }
        for document in ["[]", "1", "{", r#"{"text":1}"#, r#"{"texts":[]}"#, "\u{feff}{}", "no"] {
            assert!(read::<Thing>(document.as_bytes()).is_err(), "{document}");
        }
    }
}
