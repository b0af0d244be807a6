//! Caches in storage services, with the attributes of buildx. Only a BuildKit without a Docker Engine knows them.

use std::collections::BTreeMap;
use std::fmt;

/// A storage service that can hold a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheService {
    /// Amazon S3, or a service with the same API.
    S3,
    /// Azure Blob Storage.
    Azblob,
    /// The cache of GitHub Actions.
    Gha,
}

/// A cache in a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceCache {
    /// The service.
    pub service: CacheService,
    /// The attributes for BuildKit, by buildx's names.
    pub attributes: BTreeMap<String, String>,
    /// The attributes that are secrets.
    pub hidden: BTreeMap<String, HiddenText>,
}

/// A text that polyarch never shows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HiddenText(String);

impl HiddenText {
    /// Hides `text`.
    pub(in crate::plan) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it, and for the code that hides it in logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenText(…)")
    }
}

impl CacheService {
    pub(in crate::plan) const ALL: [Self; 3] = [Self::S3, Self::Azblob, Self::Gha];

    /// The type in the plan, in BuildKit and in buildx.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azblob => "azblob",
            Self::Gha => "gha",
        }
    }

    /// The attributes that are secrets.
    pub(in crate::plan) fn hidden(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["access_key_id", "secret_access_key", "session_token"],
            Self::Azblob => &["secret_access_key"],
            Self::Gha => &["token", "ghtoken"],
        }
    }

    /// The variables that fill missing attributes, as in buildx (`build/opt.go`, `addGithubToken`, `addAwsCredentials`). The
    /// first variable that is set counts.
    pub(in crate::plan) fn variables(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::S3 => &[
                ("access_key_id", &["AWS_ACCESS_KEY_ID"]),
                ("secret_access_key", &["AWS_SECRET_ACCESS_KEY"]),
                ("session_token", &["AWS_SESSION_TOKEN"]),
            ],
            Self::Azblob => &[],
            Self::Gha => &[
                ("token", &["ACTIONS_RUNTIME_TOKEN"]),
                ("url", &["ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"]),
                ("url_v2", &["ACTIONS_RESULTS_URL"]),
            ],
        }
    }
}

impl fmt::Display for ServiceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service.as_str())?;
        let place = ["bucket", "container", "scope", "name"].iter().filter_map(|key| self.attributes.get(*key));
        place.into_iter().try_for_each(|place| write!(f, " {place}"))
    }
}
