//! `null` in third-party documents. Readers in Go read it as an absent value (`encoding/json`, `Unmarshal`). Writers
//! in Go write it for an empty list or map. For example, BuildKit writes it for the layers of an image without layers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A value. `null` becomes the default value.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list. A `null` element becomes an empty element.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let elements: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    Ok(elements.into_iter().flatten().map(Option::unwrap_or_default).collect())
}

/// Texts by name: annotations, labels. A name with `null` gets an empty text.
pub(crate) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: Option<BTreeMap<String, Option<String>>> = Option::deserialize(deserializer)?;
    Ok(texts.into_iter().flatten().map(|(name, text)| (name, text.unwrap_or_default())).collect())
}

/// Whether a field exists, with any value including `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::oci) struct Presence(pub(in crate::oci) bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::oci::{Child, Digest, EntryOverride, PlatformFields, RawManifest, Start};

    /// A description of a document that differs for different documents.
    type Reader = fn(&[u8]) -> String;

    fn manifest(bytes: &[u8]) -> String {
        format!("{:?}", RawManifest::new(bytes, None).and_then(|manifest| manifest.content()).ok())
    }

    fn config(bytes: &[u8]) -> String {
        let of = json!({ "mediaType": "m", "digest": Digest::of(bytes), "size": bytes.len() });
        let image = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": of });
        let image = RawManifest::new(image.to_string().into_bytes(), None).unwrap();
        let child = Child::new(image, bytes, &"linux/amd64".parse().unwrap(), &EntryOverride::default());
        let revision = child.map(|child| child.revision().map(str::to_owned)).map_err(|error| error.to_string());
        format!("{:?} {:?} {revision:?}", PlatformFields::of_config(bytes), Start::of(bytes))
    }

    /// The paths of all fields, as JSON Pointers (RFC 6901).
    fn fields(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
        let inside: Vec<(String, &Value)> = match value {
            Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(list) => list.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
            _ => return,
        };
        for (name, value) in inside {
            if value_is_of_an_object(at, &name) {
                found.push((at.to_owned(), name.clone()));
            }
            fields(value, &format!("{at}/{name}"), found);
        }
    }

    /// Whether `name` is a field. Names that are data and the indexes of lists are not fields.
    fn value_is_of_an_object(at: &str, name: &str) -> bool {
        let is_data = ["annotations", "Labels"].iter().any(|map| at.ends_with(map));
        !is_data && name.parse::<usize>().is_err()
    }

    #[test]
    fn null_field_reads_as_absent() {
        let descriptor = |more: Value| {
            let mut descriptor = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(b"x"), "size": 1,
                "annotations": { "a": "b" },
            });
            descriptor.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            descriptor
        };
        let platform = json!({
            "os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1", "os.features": ["x"],
        });
        let documents: [(Reader, Value); 3] = [
            (
                manifest,
                json!({
                    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": descriptor(json!({})), "layers": [descriptor(json!({}))], "artifactType": "a/b",
                    "subject": descriptor(json!({})), "annotations": { "a": "b" },
                }),
            ),
            (
                manifest,
                json!({
                    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": [descriptor(json!({ "platform": platform }))], "annotations": { "a": "b" },
                }),
            ),
            (
                config,
                json!({
                    "os": "linux", "architecture": "amd64", "variant": "", "os.version": "1", "os.features": ["x"],
                    "config": {
                        "Entrypoint": ["x"], "Cmd": ["y"], "Env": ["PATH=/a"], "WorkingDir": "/b", "User": "c",
                        "Labels": { "a": "b", "org.opencontainers.image.revision": "1" },
                    },
                    "rootfs": { "type": "layers", "diff_ids": [] }, "history": [], "created": "x",
                }),
            ),
        ];
        for (read, document) in documents {
            let mut found = Vec::new();
            fields(&document, "", &mut found);
            assert!(found.len() > 10, "{found:?}");
            for (at, name) in found {
                let (mut null, mut absent) = (document.clone(), document.clone());
                null.pointer_mut(&at).unwrap()[&name] = Value::Null;
                absent.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(&name);
                let [null, absent] = [null, absent].map(|document| read(document.to_string().as_bytes()));
                assert_eq!(null, absent, "{at}/{name}");
            }
        }
    }

    #[test]
    fn null_layers_annotations_and_features_are_empty() {
        let config = json!({ "mediaType": "m", "digest": Digest::of(b"x"), "size": 1 });
        for (document, expected) in [
            (
                json!({ "config": config, "layers": null, "annotations": null }),
                "layers: [], artifact_type: None, subject: None",
            ),
            (json!({ "config": config }), "layers: [], artifact_type: None, subject: None"),
            (json!({ "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": null }), "manifests: []"),
            (json!({ "config": config, "annotations": { "a": null } }), r#"annotations: {"a": ""}"#),
        ] {
            let said = manifest(document.to_string().as_bytes());
            assert!(said.contains(expected), "{document}: {said}");
        }
        let start = |settings: Value| Start::of(json!({ "config": settings }).to_string().as_bytes());
        let [all, null] = [json!({ "Cmd": ["/x"] }), json!({ "Entrypoint": null, "Cmd": ["/x", null], "Env": null })];
        assert_eq!(start(all), start(null));
        let features = br#"{"os":"linux","architecture":"amd64","os.features":null}"#;
        assert_eq!(PlatformFields::of_config(features).unwrap().unwrap().os_features, Vec::<String>::new());
    }

    /// containerd reads a name with `null` as present (`core/images`, `validateMediaType`), and refuses the document.
    #[test]
    fn null_field_that_makes_image_and_index_is_refused() {
        let config = json!({ "mediaType": "m", "digest": Digest::of(b"x"), "size": 1 });
        let index = "application/vnd.oci.image.index.v1+json";
        for both in [
            json!({ "config": config, "layers": [], "manifests": null }),
            json!({ "mediaType": index, "manifests": [], "layers": null }),
            json!({ "mediaType": index, "config": null }),
            json!({ "mediaType": index, "config": config, "layers": [] }),
            json!({ "config": config, "layers": [], "fsLayers": null }),
        ] {
            assert!(RawManifest::new(both.to_string().into_bytes(), None).is_err(), "{both}");
        }
    }
}
