//! Reads the entries of an index with all their fields.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::descriptor::Descriptor;
use crate::oci::Fields;
use crate::oci::json::null;

/// The fields of an entry that polyarch reads.
const ENTRY: [&str; 5] = ["mediaType", "digest", "size", "platform", "annotations"];
/// The fields of an entry's platform that polyarch reads.
const PLATFORM: [&str; 5] = ["architecture", "os", "os.version", "os.features", "variant"];

/// Reads the entries of an index with all their fields.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    let entries: Vec<Box<RawValue>> = null::or_default(deserializer)?;
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
    use crate::oci::{Content, Digest, RawManifest, Unread};

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
