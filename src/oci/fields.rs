//! Fields of documents that polyarch does not read. polyarch keeps them unchanged for other readers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Descriptor, RawManifest};

/// Fields of an object, by name, each with the text of its value.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

/// The fields of an index entry that polyarch does not read: `urls`, `data` and `artifactType` of OCI, `features` of
/// Docker's platforms, and unknown fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread {
    /// The fields of the entry itself.
    pub entry: Fields,
    /// The fields of the entry's platform.
    pub platform: Fields,
}

impl Unread {
    /// Whether there are no such fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry.0.is_empty() && self.platform.0.is_empty()
    }

    /// Whether the `data` of the entry is `manifest`, if the entry has `data` (OCI image-spec, "Descriptors").
    pub(super) fn has_data_of(&self, manifest: &RawManifest) -> bool {
        let is_it = |text: &str| {
            let data = serde_json::from_str::<String>(text).ok().and_then(|text| STANDARD.decode(text).ok());
            data.is_some_and(|data| *data == *manifest.bytes())
        };
        self.entry.get("data").is_none_or(|text| text == "null" || is_it(text))
    }
}

impl Fields {
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
    fn beside(known: &[&str], object: &RawValue) -> Result<Self, serde_json::Error> {
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

/// The fields of an entry that polyarch reads.
const ENTRY: [&str; 5] = ["mediaType", "digest", "size", "platform", "annotations"];
/// The fields of an entry's platform that polyarch reads.
const PLATFORM: [&str; 5] = ["architecture", "os", "os.version", "os.features", "variant"];

/// Reads the entries of an index with all their fields.
pub(super) fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    let entries: Vec<Box<RawValue>> = super::null::or_default(deserializer)?;
    entries.iter().map(|text| entry(text)).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

fn entry(text: &RawValue) -> Result<Descriptor, serde_json::Error> {
    #[derive(Deserialize)]
    struct OfPlatform<'a> {
        #[serde(borrow, default)]
        platform: Option<&'a RawValue>,
    }

    let mut entry: Descriptor = serde_json::from_str(text.get())?;
    entry.unread.entry = Fields::beside(&ENTRY, text)?;
    if let Some(platform) =
        serde_json::from_str::<OfPlatform<'_>>(text.get())?.platform.filter(|_| entry.platform.is_some())
    {
        entry.unread.platform = Fields::beside(&PLATFORM, platform)?;
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oci::{Content, Digest, RawManifest};

    /// The entry of an index with one entry. `more` is added to the entry, and `of_platform` to its platform.
    fn read(more: &str, of_platform: &str) -> Result<Descriptor, String> {
        let digest = Digest::of(b"x");
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"amd64"{of_platform}}}{more}}}]}}"#
        );
        let manifest = RawManifest::new(index.into_bytes(), None).map_err(|error| error.to_string())?;
        match manifest.content().map_err(|error| error.to_string())? {
            Content::Index(mut index) => Ok(index.manifests.remove(0)),
            Content::Image(_) => panic!("an index"),
        }
    }

    #[test]
    fn unread_document_fields_are_kept_unchanged() {
        let entry = read(
            r#","urls":["https://a.io/x"],"org.new": {"b" : 1.0, "a":12345678901234567890123},"artifactType":"a/b""#,
            r#","features":["sse4"],"os.new":null"#,
        )
        .unwrap();
        let Unread { entry, platform } = entry.unread;
        assert_eq!(entry.get("org.new"), Some(r#"{"b" : 1.0, "a":12345678901234567890123}"#));
        assert_eq!(entry.get("urls"), Some(r#"["https://a.io/x"]"#));
        assert_eq!(entry.get("digest"), None);
        assert_eq!(json!(platform), json!({ "features": ["sse4"], "os.new": null }));
        assert!(read("", "").unwrap().unread.is_empty());
    }
}
