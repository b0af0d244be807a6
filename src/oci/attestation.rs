//! Attestations: manifests of in-toto statements that stand in an index beside the image that they speak of
//! (BuildKit, "Image attestation storage").

use std::collections::BTreeMap;

use super::{Content, Descriptor, Digest, ManifestError, RawManifest, Unread};

/// Says of an index entry what it is.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The only type that is known.
const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// Says of which image of the index the attestation is.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// Says of a layer that is a statement what it states (in-toto Attestation Framework, "Statement").
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// How the media types of in-toto statements begin: `application/vnd.in-toto+json`, and what may come beside it.
const STATEMENTS: &str = "application/vnd.in-toto";

/// An attestation of one image: its manifest, as the registry returned it, and what the index says of it.
///
/// It is of the image that its entry and, where it has one, its `subject` name. Its statements are not read: they may
/// speak of something within the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    manifest: RawManifest,
    annotations: BTreeMap<String, String>,
    unread: Unread,
}

/// Why a manifest is no attestation of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The manifest does not parse.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The index's entry is of another manifest, or does not say that it attests the image.
    #[error("the index does not list it as an attestation of {0}")]
    Entry(Digest),
    /// The `data` of the index's entry has other bytes than the attestation's.
    #[error("its entry's `data` is not the manifest {0}")]
    Data(Digest),
    /// It is an index, or it has no in-toto statement.
    #[error("it has no in-toto statement")]
    NoStatement,
    /// Its `subject` is another image than the index says.
    #[error("its subject is {subject}, the index lists it as an attestation of {image}")]
    Subject {
        /// What the manifest names.
        subject: Digest,
        /// What the index names.
        image: Digest,
    },
}

impl Descriptor {
    /// Whether an index entry is no image: BuildKit puts attestations under the platform `unknown/unknown`, so that
    /// nobody pulls them by accident.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(super::PlatformFields::is_unknown)
    }

    /// The image that an index entry says to be an attestation of.
    #[must_use]
    pub fn attests(&self) -> Option<Digest> {
        let is_attestation = self.is_attestation() && self.annotations.get(REFERENCE_TYPE)? == ATTESTATION_MANIFEST;
        is_attestation.then(|| self.annotations.get(REFERENCE_DIGEST)?.parse().ok()).flatten()
    }

    /// What a layer of an attestation states, as its manifest says: `https://slsa.dev/provenance/v1`,
    /// `https://spdx.dev/Document`.
    #[must_use]
    pub fn predicate_type(&self) -> Option<&str> {
        self.annotations.get(PREDICATE_TYPE).map(String::as_str)
    }
}

impl Attestation {
    /// Proves that `manifest`, listed in an index as `entry`, is an attestation of `image`.
    ///
    /// # Errors
    /// See [`AttestationError`].
    pub fn new(manifest: RawManifest, entry: &Descriptor, image: &Digest) -> Result<Self, AttestationError> {
        if entry.digest != *manifest.digest() || entry.attests().as_ref() != Some(image) {
            return Err(AttestationError::Entry(image.clone()));
        }
        if !entry.unread.has_data_of(&manifest) {
            return Err(AttestationError::Data(manifest.digest().clone()));
        }
        let Content::Image(content) = manifest.content()? else { return Err(AttestationError::NoStatement) };
        // Statements of a form that is not known yet may be beside one that is.
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

    /// What an index says of it.
    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The fields of its entry that nobody here reads.
    pub(super) fn unread(&self) -> &Unread {
        &self.unread
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A manifest as BuildKit writes it, and its entry in an index.
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
    fn an_attestation_is_of_the_image_that_it_names() {
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
    fn a_subject_is_the_image() {
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
    fn what_has_no_statement_is_no_attestation() {
        let image = Digest::of(b"image");
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let (manifest, entry) = with(&image, &json!({}), layer);
        assert_eq!(Attestation::new(manifest, &entry, &image), Err(AttestationError::NoStatement));
    }

    #[test]
    fn an_entry_without_the_platform_type_or_digest_attests_nothing() {
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
