//! The fields of an index entry that polyarch does not read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::oci::Fields;

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
        self.entry.is_empty() && self.platform.is_empty()
    }

    /// Whether the `data` of the entry is `manifest`, if the entry has `data` (OCI image-spec, "Descriptors").
    pub(in crate::oci) fn has_data_of(&self, manifest: &[u8]) -> bool {
        let is_it = |text: &str| {
            let data = serde_json::from_str::<String>(text).ok().and_then(|text| STANDARD.decode(text).ok());
            data.is_some_and(|data| *data == *manifest)
        };
        self.entry.get("data").is_none_or(|text| text == "null" || is_it(text))
    }
}
