//! The spelling that an index uses for an image. polyarch normalises platforms only to compare them. The index keeps
//! the spelling.

use std::collections::BTreeMap;

use super::child_error::ChildError;
use super::entry_override::EntryOverride;
use crate::oci::{Descriptor, Platform, PlatformFields, PlatformSpelling, RawManifest, Unread};

/// The description of an image in the index that lists it, unchanged. Type, digest and size are missing, because
/// polyarch computes them from the fetched bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceEntry {
    /// The platform.
    pub platform: Option<PlatformFields>,
    /// The annotations of the entry.
    pub annotations: BTreeMap<String, String>,
    /// All other fields.
    pub unread: Unread,
}

impl SourceEntry {
    /// The description of `manifest` in `entry`.
    ///
    /// # Errors
    /// The `data` of `entry` differs from the bytes of the manifest.
    pub(super) fn of(entry: &Descriptor, manifest: &RawManifest) -> Result<Self, ChildError> {
        if !entry.unread.has_data_of(manifest.bytes()) {
            return Err(ChildError::Data(manifest.digest().clone()));
        }
        let Descriptor { platform, annotations, unread, .. } = entry.clone();
        Ok(Self { platform, annotations, unread })
    }

    /// Whether the index adds only a platform.
    pub(super) fn adds_nothing(&self) -> bool {
        self.annotations.is_empty() && self.unread.is_empty()
    }
}

/// The fields of `platform` in an index. The override `said` takes precedence over `listed`, the fields in the source
/// index. `listed` takes precedence over `own`, the fields in the config.
pub(super) fn fields(
    platform: &Platform,
    own: &PlatformFields,
    listed: Option<&PlatformFields>,
    said: &EntryOverride,
) -> PlatformFields {
    let is_meant = |fields: &PlatformFields| fields.platform().is_ok_and(|own| platform.is_based_on(&own));
    let listed = listed.filter(|listed| listed.platform().is_ok());
    let mut fields = listed.unwrap_or(own).clone();
    // A config may use other names than Go's. An index must use Go's names.
    let is_go = || fields.os == platform.os() && fields.architecture == platform.architecture();
    let has_words = is_meant(&fields) && (listed.is_some() || is_go());
    let said_variant = said.platform.as_ref().and_then(PlatformSpelling::variant);
    if said_variant.is_some() || !has_words {
        platform.os().clone_into(&mut fields.os);
        platform.architecture().clone_into(&mut fields.architecture);
        let said = said.platform.as_ref().map(PlatformSpelling::variant);
        fields.variant = said.unwrap_or(platform.variant()).map(str::to_owned);
    }
    fields.variant = fields.variant.filter(|variant| !variant.is_empty());
    // Write the planned platform, unless the fields have a more exact one.
    if !fields.platform().is_ok_and(|own| platform.covers(&own)) {
        let demands = platform.demands();
        fields.os_version = demands.version().map(str::to_owned).or(fields.os_version);
        fields.os_features.extend(demands.features().iter().map(|feature| String::from(&**feature)));
        fields.os_features.sort();
        fields.os_features.dedup();
    }
    if said.os_version.is_some() {
        fields.os_version.clone_from(&said.os_version);
    }
    if let Some(features) = &said.os_features {
        fields.os_features.clone_from(features);
    }
    fields
}
