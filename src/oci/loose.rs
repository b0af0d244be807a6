//! Documents of docker's own on this machine, read as docker reads them: with Go's `encoding/json`, which finds a field
//! under its name in any case, takes the last of several, and takes `null` for a field that is absent. The decoder reads
//! one value and nothing after it; of an empty file it reads nothing (docker/cli, `cli/config/configfile`,
//! `LoadFromReader`).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::document::folded;

/// An object of such a document.
pub(crate) trait Object: Default {
    /// Takes the next value of `values`, which is of the field `name`; the name is in lower case.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error>;
}

/// Reads `bytes`.
pub(crate) fn read<T: Object>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Loose<T>>();
    Ok(values.next().transpose()?.unwrap_or_default().0)
}

/// Puts a value in its place. `null` changes nothing.
pub(crate) fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(place: &mut T, values: &mut A) -> Result<(), A::Error> {
    if let Some(value) = values.next_value()? {
        *place = value;
    }
    Ok(())
}

/// Adds what a map has. `null` in it is an empty value.
pub(crate) fn add<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
    place: &mut BTreeMap<String, T>,
    values: &mut A,
) -> Result<(), A::Error> {
    let more: Option<BTreeMap<String, Option<T>>> = values.next_value()?;
    place.extend(more.into_iter().flatten().map(|(name, value)| (name, value.unwrap_or_default())));
    Ok(())
}

/// Passes over a value that nobody here reads.
pub(crate) fn skip<'de, A: MapAccess<'de>>(values: &mut A) -> Result<(), A::Error> {
    values.next_value::<IgnoredAny>().map(drop)
}

/// An object in a place where serde reads values.
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

    /// The rules are those of Go's `Unmarshal` and `Decoder.Decode`.
    #[test]
    fn it_reads_what_gos_reader_reads() {
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
