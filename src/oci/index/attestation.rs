//! Attestations: manifests with in-toto statements about an image. The index lists them next to that image (BuildKit,
//! "Image attestation storage").

use std::collections::BTreeMap;

use crate::oci::{Content, Descriptor, Digest, ManifestError, PlatformFields, RawManifest, Unread};

/// The annotation with the type of an index entry.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The only known type.
const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The annotation with the digest of the attested image.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The annotation with the type of the statement in a layer (in-toto Attestation Framework, "Statement").
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The beginning of the media types of in-toto statements, such as `application/vnd.in-toto+json`.
const STATEMENTS: &str = "application/vnd.in-toto";

/// An attestation of one image: its manifest, as the registry returned it, and its annotations in the index.
///
/// The index entry names the attested image. A `subject` in the manifest must name the same image. polyarch does not
/// read the statements. A statement may describe something inside the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    manifest: RawManifest,
    annotations: BTreeMap<String, String>,
    unread: Unread,
}

/// Why a manifest is not an attestation of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The manifest does not parse.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The index entry names another manifest, or it is not an attestation of the image.
    #[error("the index does not list it as an attestation of {0}")]
    Entry(Digest),
    /// The `data` of the index entry differs from the attestation's bytes.
    #[error("the `data` of its index entry is not the manifest {0}")]
    Data(Digest),
    /// The manifest is an index, or it has no in-toto statement.
    #[error("it has no in-toto statement")]
    NoStatement,
    /// The `subject` of the manifest is another image than the one in the index.
    #[error("its subject is {subject}, and the index lists it as an attestation of {image}")]
    Subject {
        /// The image in the manifest.
        subject: Digest,
        /// The image in the index.
        image: Digest,
    },
}

impl Descriptor {
    /// Whether an index entry is an attestation or another entry without an image. BuildKit gives these the platform
    /// `unknown/unknown`, so that a client does not pull them by accident.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(PlatformFields::is_unknown)
    }

    /// The image that an index entry attests.
    #[must_use]
    pub fn attests(&self) -> Option<Digest> {
        let is_attestation = self.is_attestation() && self.annotations.get(REFERENCE_TYPE)? == ATTESTATION_MANIFEST;
        is_attestation.then(|| self.annotations.get(REFERENCE_DIGEST)?.parse().ok()).flatten()
    }

    /// The type of the statement in a layer of an attestation: `https://slsa.dev/provenance/v1`,
    /// `https://spdx.dev/Document`.
    #[must_use]
    pub fn predicate_type(&self) -> Option<&str> {
        self.annotations.get(PREDICATE_TYPE).map(String::as_str)
    }
}

impl Attestation {
    /// Proves that `manifest`, with the index entry `entry`, is an attestation of `image`.
    ///
    /// # Errors
    /// See [`AttestationError`].
    pub fn new(manifest: RawManifest, entry: &Descriptor, image: &Digest) -> Result<Self, AttestationError> {
        if entry.digest != *manifest.digest() || entry.attests().as_ref() != Some(image) {
            return Err(AttestationError::Entry(image.clone()));
        }
        if !entry.unread.has_data_of(manifest.bytes()) {
            return Err(AttestationError::Data(manifest.digest().clone()));
        }
        let Content::Image(content) = manifest.content()? else { return Err(AttestationError::NoStatement) };
        // Statements of an unknown form may stand next to a known one.
        if !content.layers.iter().any(|layer| layer.media_type.as_str().starts_with(STATEMENTS)) {
            return Err(AttestationError::NoStatement);
        }
        let subject = content.subject.map(|subject| subject.digest).filter(|subject| subject != image);
        if let Some(subject) = subject {
            return Err(AttestationError::Subject { subject, image: image.clone() });
        }
        let Descriptor { annotations, unread, .. } = entry.clone();
        Ok(Self { manifest, annotations, unread })
    }

    /// The manifest, as the registry returned it.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// The annotations in the index.
    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The other fields of the index entry. polyarch does not read them.
    pub(super) fn unread(&self) -> &Unread {
        &self.unread
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A manifest in the form of BuildKit, and its index entry.
    pub(crate) fn attestation_of(image: &Digest) -> (RawManifest, Descriptor) {
        with(image, &json!({}), "application/vnd.in-toto+json")
    }

    fn with(image: &Digest, more: &Value, layer: &str) -> (RawManifest, Descriptor) {
        let mut document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", image, &json!({})),
            "layers": [descriptor(layer, image, &json!({}))],
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let manifest = RawManifest::new(document.to_string().into_bytes(), None).unwrap();
        let entry = json!({
            "platform": { "os": "unknown", "architecture": "unknown" },
            "annotations": { REFERENCE_TYPE: ATTESTATION_MANIFEST, REFERENCE_DIGEST: image, "other": "kept" },
        });
        let entry = descriptor(manifest.media_type().as_str(), manifest.digest(), &entry);
        (manifest, serde_json::from_value(entry).unwrap())
    }

    fn descriptor(media_type: &str, digest: &Digest, more: &Value) -> Value {
        let mut descriptor = json!({ "mediaType": media_type, "digest": digest, "size": 2 });
        descriptor.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        descriptor
    }

    #[test]
    fn attestation_belongs_only_to_the_image_that_it_names() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let (manifest, entry) = attestation_of(&image);
        assert_eq!(entry.attests(), Some(image.clone()));
        assert!(Attestation::new(manifest.clone(), &entry, &image).is_ok());
        let refused = Attestation::new(manifest.clone(), &entry, &other);
        assert_eq!(refused, Err(AttestationError::Entry(other.clone())));
        let (_, entry_of_other) = attestation_of(&other);
        let refused = Attestation::new(manifest, &entry_of_other, &other);
        assert_eq!(refused, Err(AttestationError::Entry(other)), "an entry of other bytes");
    }

    #[test]
    fn attestation_subject_must_be_the_image() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let statement = "application/vnd.in-toto+json";
        let artifact = |subject: &Digest| {
            let subject = descriptor("application/vnd.oci.image.manifest.v1+json", subject, &json!({}));
            let artifact_type = "application/vnd.docker.attestation.manifest.v1+json";
            with(&image, &json!({ "artifactType": artifact_type, "subject": subject }), statement)
        };
        let (manifest, entry) = artifact(&image);
        assert!(Attestation::new(manifest, &entry, &image).is_ok());
        let (manifest, entry) = artifact(&other);
        let refused = Attestation::new(manifest, &entry, &image);
        assert!(matches!(refused, Err(AttestationError::Subject { subject, .. }) if subject == other));
    }

    #[test]
    fn attestation_without_a_statement_is_refused() {
        let image = Digest::of(b"image");
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let (manifest, entry) = with(&image, &json!({}), layer);
        assert_eq!(Attestation::new(manifest, &entry, &image), Err(AttestationError::NoStatement));
    }

    #[test]
    fn entry_without_platform_type_or_digest_attests_nothing() {
        let (_, entry) = attestation_of(&Digest::of(b"image"));
        let change = |key: &str, value: &str| {
            let mut entry = entry.clone();
            entry.annotations.insert(key.to_owned(), value.to_owned());
            entry.attests()
        };
        assert_eq!(change(REFERENCE_TYPE, "something"), None);
        assert_eq!(change(REFERENCE_DIGEST, "sha256:../.."), None);
        let mut image = entry.clone();
        image.platform = None;
        assert_eq!((image.attests(), image.is_attestation()), (None, false));
    }
}
