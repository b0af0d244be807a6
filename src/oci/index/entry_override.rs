//! Overrides of an index entry.

use crate::oci::{Demands, Platform, PlatformSpelling};

/// Overrides of an index entry: `entry` in the plan, or the settings of `docker manifest annotate`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryOverride {
    /// The platform of the entry, in this spelling. This platform takes precedence over the config.
    pub platform: Option<PlatformSpelling>,
    /// The `os.version` of the entry.
    pub os_version: Option<String>,
    /// The `os.features` of the entry.
    pub os_features: Option<Vec<String>>,
}

impl EntryOverride {
    /// An entry of `platform`. The entry also overrides the version and the features of the operating system.
    #[must_use]
    pub fn of(platform: PlatformSpelling) -> Self {
        let demands = platform.platform().demands().clone();
        let features: Vec<_> = demands.features().iter().map(|feature| String::from(&**feature)).collect();
        Self {
            os_version: demands.version().map(str::to_owned),
            os_features: (!features.is_empty()).then_some(features),
            platform: Some(platform.base()),
        }
    }

    /// The platform of the entry in its normal form, without version and features of the operating system.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref().map(PlatformSpelling::platform)
    }

    /// The platform of an entry that is planned as `planned`. The image may later add a version.
    #[must_use]
    pub fn over(&self, planned: &Platform) -> Platform {
        let base = self.platform().cloned().unwrap_or_else(|| planned.base());
        let below = if base.os() == planned.os() { planned.demands().clone() } else { Demands::default() };
        let version = self.os_version.as_deref().or(below.version());
        base.demanding(match &self.os_features {
            Some(features) => Demands::new(version, features),
            None => Demands::new(version, below.features()),
        })
    }
}
