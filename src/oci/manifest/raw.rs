//! Manifests as a registry returned them.
//!
//! The bytes are authoritative. polyarch never encodes a fetched manifest again, and computes the digest from its
//! bytes.

use serde::Deserialize;

use super::content::Content;
use super::media_type::MediaType;
use crate::oci::Digest;
use crate::oci::json::document::{self, DocumentError, Shape};
use crate::oci::json::null::Presence;

/// The largest manifest or index that polyarch reads or writes, in bytes. distribution and containers/image have the
/// same limit.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// The largest image config that polyarch reads, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A manifest or an index as bytes, with their digest and media type.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Box<[u8]>,
    media_type: MediaType,
    digest: Digest,
}

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The manifest is larger than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest is larger than {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// The manifest is not JSON, or it does not have the shape of its media type.
    #[error("the manifest is not valid: {0}")]
    Shape(String),
    /// The `mediaType` differs from the `Content-Type`.
    #[error("the manifest has the mediaType {body}, and the registry sent it as {header}")]
    MediaType {
        /// The type in the document.
        body: MediaType,
        /// The type in the header.
        header: MediaType,
    },
    /// The manifest can be read as an image and as an index (CVE-2021-41190).
    #[error("the manifest is ambiguous: it has `manifests`, and it has `layers` or `config`")]
    Ambiguous,
    /// Readers differ about the fields of the manifest. The text describes how.
    #[error("the manifest can be read in two ways: {0}")]
    TwoReadings(String),
    /// Docker's schema 1, which contains neither config nor platform (distribution, "Image Manifest Version 2, Schema
    /// 1").
    #[error("the manifest is Docker's schema 1, which engines and registries no longer accept")]
    Schema1,
    /// The document is neither an image nor an index.
    #[error("the manifest is neither an image nor an image index: {0}")]
    Foreign(MediaType),
}

/// The fields that decide how a document is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    media_type: Option<MediaType>,
    // For containerd, a name counts even if its value is `null` (`core/images/image.go`, `validateMediaType`).
    #[serde(default)]
    manifests: Presence,
    #[serde(default)]
    config: Presence,
    #[serde(default)]
    layers: Presence,
    #[serde(default)]
    fs_layers: Presence,
}

impl From<DocumentError> for ManifestError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Ambiguous(how) => Self::TwoReadings(how),
            DocumentError::Json(error) => Self::Shape(error.to_string()),
        }
    }
}

impl RawManifest {
    /// Reads `bytes` that were sent as `content_type`. `None`: the answer had no such header.
    ///
    /// # Errors
    /// The manifest is too large, is not JSON, or can be read in two ways. Or its `mediaType` contradicts the header.
    /// Or it is neither an image nor an index.
    pub fn new(bytes: impl Into<Box<[u8]>>, content_type: Option<&MediaType>) -> Result<Self, ManifestError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let probe: Probe = document::read(&bytes, Shape::Manifest)?;
        let (is_index, is_image) = (probe.manifests.0, probe.config.0 || probe.layers.0);
        if is_index && is_image {
            return Err(ManifestError::Ambiguous);
        }
        match (probe.fs_layers.0, is_index || is_image) {
            (true, true) => {
                return Err(ManifestError::TwoReadings("it also has layers of Docker's schema 1".to_owned()));
            }
            (true, false) => return Err(ManifestError::Schema1),
            (false, _) => {}
        }
        let header = content_type.filter(|t| t.is_image() || t.is_index());
        let media_type = match (probe.media_type, header) {
            (Some(body), Some(header)) if body != *header => {
                return Err(ManifestError::MediaType { body, header: header.clone() });
            }
            (Some(body), _) => body,
            (None, Some(header)) => header.clone(),
            // OCI 1.0 made the field optional. The shape decides.
            (None, None) if is_index => MediaType::OciIndex,
            (None, None) => MediaType::OciManifest,
        };
        // Readers that use the shape read the manifest as an index. The search for indexes with an image must not skip
        // it.
        if is_index && !media_type.is_index() {
            return Err(ManifestError::TwoReadings(format!("it has `manifests`, and its media type is {media_type}")));
        }
        if is_image && media_type.is_index() {
            return Err(ManifestError::TwoReadings(format!(
                "it has `layers` or `config`, and its media type is \
                {media_type}"
            )));
        }
        if !(media_type.is_image() || media_type.is_index()) {
            return Err(ManifestError::Foreign(media_type));
        }
        let digest = Digest::of(&bytes);
        Ok(Self { bytes, media_type, digest })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The media type.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Parses the bytes.
    ///
    /// # Errors
    /// A field is missing or has another type.
    pub fn content(&self) -> Result<Content, ManifestError> {
        let parsed = if self.media_type.is_index() {
            serde_json::from_slice(&self.bytes).map(Content::Index)
        } else {
            serde_json::from_slice(&self.bytes).map(Content::Image)
        };
        parsed.map_err(|e| ManifestError::Shape(e.to_string()))
    }
}

impl std::fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} bytes)", self.media_type, self.digest, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str, content_type: Option<&MediaType>) -> Result<RawManifest, ManifestError> {
        RawManifest::new(json.as_bytes(), content_type)
    }

    #[test]
    fn manifest_digest_is_of_the_received_bytes() {
        let odd = "{ \"manifests\" : [],\n \"schemaVersion\":2 }";
        let manifest = raw(odd, None).unwrap();
        assert_eq!(manifest.digest(), &Digest::of(odd.as_bytes()));
        assert_eq!(manifest.media_type(), &MediaType::OciIndex);
        assert!(matches!(manifest.content(), Ok(Content::Index(_))));
    }

    #[test]
    fn ambiguous_manifest_is_refused() {
        for both in [r#"{"manifests":[],"layers":[]}"#, r#"{"manifests":[],"config":{}}"#] {
            assert_eq!(raw(both, None), Err(ManifestError::Ambiguous), "{both}");
        }
        let twice = r#"{"manifests":[],"manifests":[]}"#;
        for two in [twice, r#"{"manifests":[],"Layers":[]}"#, r#"{"layers":[],"fsLayers":[]}"#] {
            assert!(matches!(raw(two, None), Err(ManifestError::TwoReadings(_))), "{two}");
        }
    }

    #[test]
    fn manifest_media_type_must_match_the_header() {
        let body = r#"{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert!(raw(body, Some(&MediaType::OciIndex)).is_ok());
        assert!(matches!(raw(body, Some(&MediaType::DockerList)), Err(ManifestError::MediaType { .. })));
        assert!(raw(body, Some(&MediaType::parse("application/json"))).is_ok(), "a header that says nothing");
    }

    #[test]
    fn invalid_manifest_is_refused() {
        for bad in ["", "[]", "<html>", r#"{"mediaType":"text/plain"}"#, "{\"schemaVersion\":1", "\u{0}"] {
            assert!(raw(bad, None).and_then(|m| m.content()).is_err(), "{bad:?}");
        }
        assert_eq!(raw(&" ".repeat(MAX_MANIFEST_BYTES + 1), None), Err(ManifestError::TooLarge));
    }

    #[test]
    fn descriptors_with_impossible_sizes_or_digests_are_refused() {
        let index = |digest: &str, size: &str| {
            let json = format!(
                r#"{{"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}]}}"#
            );
            raw(&json, None).unwrap().content()
        };
        let good = Digest::of(b"x");
        assert!(index(good.as_str(), "1").is_ok());
        assert!(index(good.as_str(), "-1").is_err());
        for impossible in ["1e30", "1.0", "\"1\"", "null", "9223372036854775808", "18446744073709551616"] {
            assert!(index(good.as_str(), impossible).is_err(), "{impossible}");
        }
        assert!(index(good.as_str(), "9223372036854775807").is_ok());
        assert!(index("sha256:../../x", "1").is_err());
    }
}
