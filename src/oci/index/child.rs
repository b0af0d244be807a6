//! A child of an image index. polyarch creates it only from the bytes of the manifest and of the config.

use super::attestation::{Attestation, AttestationError};
use super::child_error::ChildError;
use super::entry_override::EntryOverride;
use super::listed::{self, SourceEntry};
use crate::oci::config::label;
use crate::oci::json::document::{self, DocumentError, Shape};
use crate::oci::{Content, Descriptor, Digest, Platform, PlatformFields, RawManifest, Start};

/// An image of one platform that an index may list. polyarch read its manifest and its config. The config has the
/// digest that the manifest names, and the platform that was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    manifest: RawManifest,
    config: Digest,
    /// The planned platform, or the platform of an override.
    planned: Platform,
    /// The platform in the new index.
    platform: Platform,
    /// The platform in the config.
    own: PlatformFields,
    /// The description of the image in its source index.
    listed: SourceEntry,
    /// The override of the entry. The override takes precedence over the config and over the source index.
    said: EntryOverride,
    layers_bytes: u64,
    revision: Option<String>,
    start: Option<Start>,
    attestations: Vec<Attestation>,
}

impl PlatformFields {
    /// The platform in an image config, in its spelling. `None`: `config` is not an image config.
    ///
    /// # Errors
    /// Two readers can read the config in different ways.
    pub fn of_config(config: &[u8]) -> Result<Option<Self>, ChildError> {
        match document::read(config, Shape::Config) {
            Err(error @ DocumentError::Ambiguous(_)) => Err(ChildError::Config(error.to_string())),
            read => Ok(read.ok()),
        }
    }
}

impl Child {
    /// Proves that `manifest` and `config` are an image for `planned`.
    ///
    /// An image of the same architecture without a variant, or with the plan's default variant, is for the planned
    /// platform. `entry` overrides values in the index. If `entry` has a platform, the platform of the config is not
    /// checked.
    ///
    /// # Errors
    /// See [`ChildError`]. All errors except the first two are refusals (exit code 7).
    pub fn new(
        manifest: RawManifest,
        config: &[u8],
        planned: &Platform,
        entry: &EntryOverride,
    ) -> Result<Self, ChildError> {
        let image = match manifest.content()? {
            Content::Image(image) => image,
            Content::Index(_) => return Err(ChildError::IsIndex(manifest.digest().clone())),
        };
        let actual = Digest::of(config);
        if actual != image.config.digest {
            return Err(ChildError::ConfigDigest { named: image.config.digest, actual });
        }
        let own: PlatformFields =
            document::read(config, Shape::Config).map_err(|error| ChildError::Config(error.to_string()))?;
        if entry.platform().is_none() {
            let actual = own
                .platform()
                .map_err(|_| ChildError::NoPlatform { os: own.os.clone(), architecture: own.architecture.clone() })?;
            let demands = entry.over(planned);
            let is_other = entry.os_version.is_none() && demands.demands().contradict(actual.demands());
            if !planned.is_based_on(&actual) || is_other {
                return Err(ChildError::Platform { planned: planned.clone(), actual });
            }
        }
        let planned = entry.over(planned);
        let layers_bytes = image.image_bytes();
        let (revision, start) = (label::revision(manifest.bytes(), config), Start::of(config));
        let (config, attestations) = (image.config.digest, Vec::new());
        let (listed, said) = (SourceEntry::default(), entry.clone());
        let platform = planned.clone();
        let child = Self {
            manifest,
            config,
            planned,
            platform,
            own,
            listed,
            said,
            layers_bytes,
            revision,
            start,
            attestations,
        };
        Ok(child.named())
    }

    /// The manifest, as the registry returned it.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// The digest of the config. An engine with a graph-driver store uses this digest as the image id.
    #[must_use]
    pub fn config(&self) -> &Digest {
        &self.config
    }

    /// Recomputes the platform in the new index.
    fn named(mut self) -> Self {
        self.platform = self.fields().platform().unwrap_or_else(|_| self.planned.clone());
        self
    }

    /// The platform in the new index. The planned platform covers it, unless the plan overrides it.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The commit of the image, if the image names one.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The bytes of config and layers together, as stored in the registry (compressed).
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.layers_bytes
    }

    /// The program that a container of the image starts, if the config names one.
    #[must_use]
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// Adds `manifest`, with the index entry `entry`, as an attestation of this image.
    ///
    /// # Errors
    /// The manifest is not an attestation, or it attests another image.
    pub fn attest(&mut self, manifest: RawManifest, entry: &Descriptor) -> Result<(), AttestationError> {
        self.attestations.push(Attestation::new(manifest, entry, self.manifest.digest())?);
        Ok(())
    }

    /// Makes the new index repeat `entry`, the description of the image in its source index. The variant `v8` of
    /// `arm64` is kept, although the normal form drops it. Annotations and unknown fields are kept too. An override of
    /// the entry takes precedence.
    ///
    /// # Errors
    /// The `data` of `entry` differs from the bytes of the manifest.
    pub fn listed_as(&mut self, entry: &Descriptor) -> Result<(), ChildError> {
        self.listed = SourceEntry::of(entry, &self.manifest)?;
        *self = self.clone().named();
        Ok(())
    }

    /// Adds `entry` of another index that lists the image. The description in the first index takes precedence.
    ///
    /// # Errors
    /// The errors of [`Self::listed_as`].
    pub fn listed_also_as(&mut self, entry: &Descriptor) -> Result<(), ChildError> {
        let first = std::mem::replace(&mut self.listed, SourceEntry::of(entry, &self.manifest)?);
        if first != SourceEntry::default() {
            let annotations = std::mem::take(&mut self.listed.annotations);
            self.listed = first;
            for (key, value) in annotations {
                self.listed.annotations.entry(key).or_insert(value);
            }
        }
        *self = self.clone().named();
        Ok(())
    }

    /// Overrides the index entry by `entry`, unless an override exists already or `entry` is for another platform.
    pub(crate) fn say(&mut self, entry: &EntryOverride) {
        let is_of = |platform: &Platform| platform.is_based_on(&self.platform);
        if self.said == EntryOverride::default() && entry.platform().is_none_or(is_of) {
            self.said = entry.clone();
            self.planned = entry.over(&self.planned);
            *self = self.clone().named();
        }
    }

    /// The description of the image in its source index.
    #[must_use]
    pub fn listed(&self) -> &SourceEntry {
        &self.listed
    }

    /// Removes `features`, the processor features of Docker's manifest lists. Returns whether the field existed.
    pub(crate) fn leave_out_features(&mut self) -> bool {
        self.listed.unread.platform.remove("features")
    }

    /// Whether an index with only this image would add nothing to the image's config.
    #[must_use]
    pub fn says_all_itself(&self) -> bool {
        let alone = Self { listed: SourceEntry::default(), said: EntryOverride::default(), ..self.clone() };
        self.listed.adds_nothing() && self.fields() == alone.fields()
    }

    /// The attestations, in the order in which they were added.
    #[must_use]
    pub fn attestations(&self) -> &[Attestation] {
        &self.attestations
    }

    /// Whether an index with both children would list the same image twice. Such children have the same manifest and
    /// the same platform, and no conflicting overrides.
    #[must_use]
    pub fn is_listed_as(&self, other: &Self) -> bool {
        let silent = |child: &Self| child.said == EntryOverride::default();
        // An index may describe the platform more exactly than the image does.
        self.manifest.digest() == other.manifest.digest()
            && (self.platform.covers(&other.platform) || other.platform.covers(&self.platform))
            && (silent(self) || silent(other) || self.said == other.said)
    }

    /// The platform's fields in the index entry. An override takes precedence over the source index, and the source
    /// index over the config.
    pub(super) fn fields(&self) -> PlatformFields {
        listed::fields(&self.planned, &self.own, self.listed.platform.as_ref(), &self.said)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::oci::MediaType;

    pub(crate) fn manifest_for(config: &[u8], media_type: &MediaType) -> RawManifest {
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
            Digest::of(config),
            config.len()
        );
        RawManifest::new(json.into_bytes(), None).unwrap()
    }

    pub(crate) fn config(os: &str, architecture: &str, variant: &str) -> Vec<u8> {
        format!(r#"{{"os":"{os}","architecture":"{architecture}","variant":"{variant}"}}"#).into_bytes()
    }

    fn child(config: &[u8], planned: &str, entry: &EntryOverride) -> Result<Child, ChildError> {
        Child::new(manifest_for(config, &MediaType::OciManifest), config, &planned.parse().unwrap(), entry)
    }

    #[test]
    fn child_must_have_the_planned_platform() {
        let none = EntryOverride::default();
        assert!(child(&config("linux", "arm64", "v8"), "linux/arm64", &none).is_ok());
        assert!(child(&config("linux", "arm", "v7"), "linux/arm/v7", &none).is_ok());
        for (architecture, variant, planned) in
            [("amd64", "", "linux/arm64"), ("arm", "v6", "linux/arm/v7"), ("arm64", "", "linux/amd64")]
        {
            let refused = child(&config("linux", architecture, variant), planned, &none);
            assert!(matches!(refused, Err(ChildError::Platform { .. })), "{architecture}/{variant} as {planned}");
        }
        assert!(matches!(child(b"{}", "linux/amd64", &none), Err(ChildError::NoPlatform { .. })));
    }

    #[test]
    fn child_has_the_os_version_of_its_index_entry() {
        let config = |version: &str| format!(r#"{{"os":"windows","architecture":"amd64","os.version":"{version}"}}"#);
        let none = EntryOverride::default();
        let of = |version: &str, planned: &str, entry: &EntryOverride| {
            child(config(version).as_bytes(), planned, entry).map(|child| child.platform().to_string())
        };
        for (version, planned, is) in [
            ("10.0.17763.5820", "windows/amd64", Some("windows(10.0.17763.5820)/amd64")),
            ("10.0.17763.5820", "windows(10.0.17763)/amd64", Some("windows(10.0.17763.5820)/amd64")),
            ("", "windows(10.0.17763)/amd64", Some("windows(10.0.17763)/amd64")),
            ("10.0.20348.1", "windows(10.0.17763)/amd64", None),
            ("10.0.177631", "windows(10.0.17763)/amd64", None),
        ] {
            assert_eq!(of(version, planned, &none).ok().as_deref(), is, "{version:?} as {planned}");
        }
        let said = EntryOverride::of("windows(10.0.20348+win32k)/amd64".parse().unwrap());
        assert_eq!(of("10.0.17763", "linux/amd64", &said).unwrap(), "windows(10.0.20348+win32k)/amd64");
        let version = EntryOverride { os_version: Some("11".into()), ..none };
        assert_eq!(of("10.0.17763", "windows/amd64", &version).unwrap(), "windows(11)/amd64");
    }

    #[test]
    fn child_with_an_ambiguous_config_is_refused() {
        for more in [
            r#","Architecture":"arm64""#,
            r#","ARCHITECTURE":"amd64""#,
            r#","architecture":"amd64""#,
            r#","OS":"windows""#,
            ",\"o\u{17f}\":\"windows\"",
            r#","\u006fs":"windows""#,
            r#","Variant":"v3""#,
            r#","config":{"Entrypoint":["/a"],"entrypoint":["/b"]}"#,
            r#","config":{"cmd":["/b"]}"#,
            r#","rootfs":{"diff_ids":[],"Diff_ids":[]}"#,
        ] {
            let config = format!(r#"{{"os":"linux","architecture":"amd64"{more}}}"#);
            for entry in ["linux/amd64", "linux/arm64"] {
                let entry = EntryOverride { platform: entry.parse().ok(), ..EntryOverride::default() };
                let refused = child(config.as_bytes(), "linux/amd64", &entry).unwrap_err().to_string();
                assert!(refused.contains("it can be read in two ways"), "{config}: {refused}");
            }
            assert!(matches!(PlatformFields::of_config(config.as_bytes()), Err(ChildError::Config(_))), "{config}");
        }
        let both = br#"{"os":"linux","architecture":"amd64","config":{"Labels":{"a":"1","A":"2"}}}"#;
        assert!(child(both, "linux/amd64", &EntryOverride::default()).is_ok());
        assert_eq!(PlatformFields::of_config(b"no JSON"), Ok(None));
    }

    #[test]
    fn entry_override_replaces_the_platform_of_the_config() {
        let entry = EntryOverride { platform: Some("linux/arm/v6".parse().unwrap()), ..EntryOverride::default() };
        let child = child(&config("linux", "amd64", ""), "linux/arm/v6", &entry).unwrap();
        assert_eq!(child.fields().variant.as_deref(), Some("v6"));
    }

    #[test]
    fn child_with_a_config_of_another_digest_is_refused() {
        let manifest = manifest_for(b"other", &MediaType::OciManifest);
        let refused = Child::new(
            manifest,
            &config("linux", "amd64", ""),
            &"linux/amd64".parse().unwrap(),
            &EntryOverride::default(),
        );
        assert!(matches!(refused, Err(ChildError::ConfigDigest { .. })));
    }
}
