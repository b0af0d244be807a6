//! Reads third-party documents, and accepts only documents that every reader reads in the same way.
//!
//! Engines and most tools use Go's `encoding/json`. That reader ignores the case of field names, and uses the last of
//! several fields. serde requires the exact name. Such a document could show one image to polyarch and another one to
//! the engine. CVE-2021-41190 belongs to the same class of attacks. polyarch therefore refuses the document.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The most values and names in one document. polyarch needs about 100 bytes for each. An index of a thousand images
/// has 12,000.
const MOST_VALUES: usize = 200_000;
/// The longest name in a message, in characters.
const MOST_NAME: usize = 64;

/// The kind of an object in a document. The kind decides which names are fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A manifest or an index.
    Manifest,
    Descriptor,
    /// A list of descriptors.
    Descriptors,
    Platform,
    /// An image's configuration.
    Config,
    /// The settings of a container of the image.
    Settings,
    RootFs,
    /// `oci-layout`.
    Layout,
    /// A map with any names (annotations, labels), or a value that polyarch does not read.
    Data,
}

impl Shape {
    /// The fields that polyarch reads, and fields that change how other readers read the object.
    fn fields(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Manifest => &[
                ("schemaVersion", Self::Data),
                ("mediaType", Self::Data),
                ("artifactType", Self::Data),
                ("manifests", Self::Descriptors),
                ("config", Self::Descriptor),
                ("layers", Self::Descriptors),
                ("fsLayers", Self::Data),
                ("history", Self::Data),
                ("subject", Self::Descriptor),
                ("annotations", Self::Data),
            ],
            Self::Descriptor => &[
                ("mediaType", Self::Data),
                ("digest", Self::Data),
                ("size", Self::Data),
                ("urls", Self::Data),
                ("data", Self::Data),
                ("artifactType", Self::Data),
                ("platform", Self::Platform),
                ("annotations", Self::Data),
            ],
            Self::Platform => &[
                ("architecture", Self::Data),
                ("os", Self::Data),
                ("os.version", Self::Data),
                ("os.features", Self::Data),
                ("variant", Self::Data),
                ("features", Self::Data),
            ],
            Self::Config => &[
                ("architecture", Self::Data),
                ("os", Self::Data),
                ("os.version", Self::Data),
                ("os.features", Self::Data),
                ("variant", Self::Data),
                ("created", Self::Data),
                ("config", Self::Settings),
                ("rootfs", Self::RootFs),
                ("history", Self::Data),
            ],
            Self::Settings => &[
                ("Entrypoint", Self::Data),
                ("Cmd", Self::Data),
                ("Env", Self::Data),
                ("WorkingDir", Self::Data),
                ("User", Self::Data),
                ("Labels", Self::Data),
            ],
            Self::RootFs => &[("type", Self::Data), ("diff_ids", Self::Data)],
            Self::Layout => &[("imageLayoutVersion", Self::Data)],
            Self::Descriptors | Self::Data => &[],
        }
    }
}

/// Why polyarch refuses a document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// Two readers can read the document in different ways. The text describes how.
    #[error("it can be read in two ways: {0}")]
    Ambiguous(String),
    /// The document is not JSON, or it has another shape than expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads `bytes`, a document of `shape`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], shape: Shape) -> Result<T, DocumentError> {
    check(bytes, shape)?;
    Ok(serde_json::from_slice(bytes)?)
}

/// Refuses `bytes` that are not JSON, or that two readers can read in different ways.
pub(crate) fn check(bytes: &[u8], shape: Shape) -> Result<(), DocumentError> {
    let state = State { hashes: RandomState::new(), left: Cell::new(MOST_VALUES), ambiguous: RefCell::default() };
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk { state: &state, shape }.deserialize(&mut document).and_then(|()| document.end());
    match (walked, state.ambiguous.into_inner()) {
        (Err(_), Some(how)) => Err(DocumentError::Ambiguous(how)),
        (walked, _) => Ok(walked?),
    }
}

struct State {
    hashes: RandomState,
    /// The number of further values and names that are allowed.
    left: Cell<usize>,
    ambiguous: RefCell<Option<String>>,
}

impl State {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format!("it has more than {MOST_VALUES} values")))?);
        Ok(())
    }

    fn ambiguous<E: serde::de::Error>(&self, how: String) -> E {
        *self.ambiguous.borrow_mut() = Some(how);
        E::custom("it can be read in two ways")
    }
}

/// Checks a value and everything inside it.
#[derive(Clone, Copy)]
struct Walk<'a> {
    state: &'a State,
    shape: Shape,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.state.count()?;
        // Strings are decoded, because readers differ about strings that are not text (half a surrogate pair).
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let shape = match self.shape {
            Shape::Descriptors => Shape::Descriptor,
            Shape::Data => Shape::Data,
            // serde reads the values of a list as the fields of an object, in order. Go refuses the list.
            _ => return Err(self.state.ambiguous("a list stands in place of an object".to_owned())),
        };
        while list.next_element_seed(Walk { shape, ..self })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(shape) = object.next_key_seed(Name { object: self, seen: &mut seen })? {
            object.next_value_seed(Walk { shape, ..self })?;
        }
        Ok(())
    }
}

/// Checks a name in an object. Returns the shape of its value.
struct Name<'a, 'b> {
    object: Walk<'a>,
    /// Hashes of the names so far. The names themselves could be as long as the document.
    seen: &'b mut HashSet<u64>,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Shape, E> {
        let Walk { state, shape } = self.object;
        state.count()?;
        let short = || name.chars().take(MOST_NAME).collect::<String>();
        let mut inside = Shape::Data;
        let hash = if shape == Shape::Data {
            state.hashes.hash_one(name)
        } else {
            let folded = folded(name);
            if let Some((field, of)) = shape.fields().iter().find(|(field, _)| folded.eq_ignore_ascii_case(field)) {
                if name != *field {
                    return Err(state.ambiguous(format!("some read {:?} as `{field}`, and others do not", short())));
                }
                inside = *of;
            }
            state.hashes.hash_one(&folded)
        };
        if !self.seen.insert(hash) {
            return Err(state.ambiguous(format!("one object has the name {:?} twice", short())));
        }
        Ok(inside)
    }
}

/// A name in the form in which Go compares it (`encoding/json`, `foldName`). Two letters outside of ASCII fold to
/// ASCII letters.
pub(super) fn folded(name: &str) -> String {
    let fold = |letter| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        letter => letter,
    };
    name.chars().map(fold).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(text: &str, shape: Shape) -> bool {
        matches!(check(text.as_bytes(), shape), Err(DocumentError::Ambiguous(_)))
    }

    /// Fuzzing found that `["arm64", "linux"]` was accepted as a config.
    #[test]
    fn document_with_a_list_in_place_of_an_object_is_refused() {
        for text in [
            r#"["index"]"#,
            r#"{"config":["x"]}"#,
            r#"{"layers":[["x"]]}"#,
            r#"{"manifests":[{"platform":["arm64","linux"]}]}"#,
            r#"{"subject":[]}"#,
        ] {
            assert!(ambiguous(text, Shape::Manifest), "{text}");
        }
        for text in [r#"["arm64","linux"]"#, r#"{"config":[["/x"]]}"#, r#"{"rootfs":["layers"]}"#] {
            assert!(ambiguous(text, Shape::Config), "{text}");
        }
        check(br#"{"layers":[{"data":["x"]}],"annotations":[["x"]]}"#, Shape::Manifest).unwrap();
    }

    #[test]
    fn document_with_case_variants_or_duplicate_fields_is_refused() {
        for text in [
            r#"{"manifests":[],"Manifests":[]}"#,
            r#"{"Manifests":[]}"#,
            r#"{"mediatype":"x"}"#,
            r#"{"layerſ":[]}"#,
            r#"{"\u006Danifests":[],"manifests":[]}"#,
            r#"{"\u004danifests":[]}"#,
            r#"{"config":{"Digest":"x"}}"#,
            r#"{"layers":[{"digest":"x"},{"digest":"x","siZe":1}]}"#,
            r#"{"manifests":[{"platform":{"architecture":"amd64","Architecture":"arm64"}}]}"#,
            r#"{"manifests":[{"platform":{"OS.Version":"1"}}]}"#,
            r#"{"subject":{"Digest":"x"}}"#,
            r#"{"annotations":{"a":"1","a":"2"}}"#,
            r#"{"other":{"deep":[{"a":1,"b":2,"a":1}]}}"#,
            r#"{"other":1,"Other":2}"#,
        ] {
            assert!(ambiguous(text, Shape::Manifest), "{text}");
        }
        for text in [
            r#"{"architecture":"amd64","Architecture":"arm64"}"#,
            r#"{"OS":"linux"}"#,
            r#"{"config":{"entrypoint":["/x"]}}"#,
            r#"{"config":{"Entrypoint":["/x"],"ENTRYPOINT":["/y"]}}"#,
            r#"{"Config":{}}"#,
            r#"{"config":{"Env":[],"\u0045nv":[]}}"#,
            "{\"config\":{\"\u{212a}ey\":1,\"key\":2}}",
            r#"{"rootfs":{"Diff_IDs":[]}}"#,
            r#"{"RootFS":{}}"#,
        ] {
            assert!(ambiguous(text, Shape::Config), "{text}");
        }
        assert!(ambiguous(r#"{"imagelayoutversion":"1.0.0"}"#, Shape::Layout));
    }

    #[test]
    fn document_data_keys_may_differ_only_in_case() {
        for (text, shape) in [
            (r#"{"annotations":{"Digest":"1","digest":"2","DIGEST":"3"}}"#, Shape::Manifest),
            (r#"{"manifests":[{"annotations":{"size":"","Size":""}}]}"#, Shape::Manifest),
            (
                r#"{"config":{"Labels":{"maintainer":"a","Maintainer":"b"},"ExposedPorts":{"80/tcp":{}}}}"#,
                Shape::Config,
            ),
            (r#"{"container_config":{"Cmd":null},"history":[{"created_by":"x"}],"id":"1"}"#, Shape::Config),
        ] {
            check(text.as_bytes(), shape).unwrap();
        }
    }

    #[test]
    fn document_that_one_json_reader_refuses_is_refused() {
        for bytes in [
            &b"\xef\xbb\xbf{}"[..],
            b"{} {}",
            b"{}\0",
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\ud800"}"#,
            br#"{"\udc00":1}"#,
            br#"{"a":1e999}"#,
            b"{'a':1}",
            b"{\"a\":1,}",
            b"{\"a\":NaN}",
            b"",
        ] {
            let refused = check(bytes, Shape::Manifest);
            assert!(matches!(refused, Err(DocumentError::Json(_))), "{}", String::from_utf8_lossy(bytes));
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(check(deep.as_bytes(), Shape::Data).is_err());
        let many = format!("[{}0]", "0,".repeat(MOST_VALUES));
        let refused = check(many.as_bytes(), Shape::Data).unwrap_err().to_string();
        assert!(refused.contains(&format!("more than {MOST_VALUES} values")), "{refused}");
    }
}
