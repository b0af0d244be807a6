//! The settings of Amazon ECR.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::yaml::escape;
use crate::aws::{AwsRegion, Mutability, TagPattern};

/// The name of the fact that holds the host of your account's registry.
pub(in crate::plan) const OWN_REGISTRY: &str = "aws.registry";

/// Where the API of an ECR registry is, if the plan specifies that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EcrControl {
    /// The region, for a host that does not contain it.
    pub region: Option<AwsRegion>,
    /// The URL of a private endpoint or of a stand-in for tests. The URL is unencrypted only on loopback, because the
    /// endpoint sends logins.
    pub endpoint: Option<String>,
}

/// How polyarch creates an ECR repository that does not exist (Amazon ECR API, `CreateRepository`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrCreation {
    /// The tags that may move.
    pub mutability: Mutability,
    /// Whether ECR scans each pushed image.
    pub scan_on_push: bool,
    /// The encryption. `None`: the default of the account.
    pub encryption: Option<Encryption>,
    /// AWS resource tags of the repository.
    pub tags: BTreeMap<String, String>,
    /// A JSON file with the lifecycle policy.
    pub lifecycle: Option<PathBuf>,
}

/// The encryption of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// A key that ECR owns.
    Aes256,
    /// A key of KMS: this one, or the key that AWS manages.
    Kms(Option<String>),
    /// Two layers of encryption with a key of KMS.
    KmsDsse(Option<String>),
}

pub(in crate::plan) const ENCRYPTIONS: [&str; 3] = ["AES256", "KMS", "KMS_DSSE"];

impl Default for EcrCreation {
    /// The settings that ECR uses by default.
    fn default() -> Self {
        let mutability = Mutability::Mutable(Vec::new());
        Self { mutability, scan_on_push: false, encryption: None, tags: BTreeMap::new(), lifecycle: None }
    }
}

impl Serialize for EcrCreation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("create", &true)?;
        let said = |but: &[TagPattern]| but.iter().map(|pattern| pattern.as_str().to_owned()).collect::<Vec<_>>();
        match &self.mutability {
            Mutability::Mutable(but) if but.is_empty() => {}
            Mutability::Immutable(but) if but.is_empty() => map.serialize_entry("immutable", &true)?,
            Mutability::Mutable(but) => map.serialize_entry("immutable", &said(but))?,
            Mutability::Immutable(but) => map.serialize_entry("immutable", &BTreeMap::from([("except", said(but))]))?,
        }
        if self.scan_on_push {
            map.serialize_entry("scan_on_push", &true)?;
        }
        if let Some(encryption) = &self.encryption {
            let (name, key) = encryption.parts();
            match key {
                Some(key) => map.serialize_entry("encryption", &BTreeMap::from([("type", name), ("key", key)]))?,
                None => map.serialize_entry("encryption", name)?,
            }
        }
        if !self.tags.is_empty() {
            let tags = self.tags.iter().map(|(key, value)| (key, escape(value)));
            map.serialize_entry("tags", &tags.collect::<BTreeMap<_, _>>())?;
        }
        if let Some(lifecycle) = &self.lifecycle {
            map.serialize_entry("lifecycle", &escape(&lifecycle.to_string_lossy()))?;
        }
        map.end()
    }
}

impl Encryption {
    /// The name in the API of AWS, and the key.
    fn parts(&self) -> (&'static str, Option<&str>) {
        let [aes, kms, dsse] = ENCRYPTIONS;
        match self {
            Self::Aes256 => (aes, None),
            Self::Kms(key) => (kms, key.as_deref()),
            Self::KmsDsse(key) => (dsse, key.as_deref()),
        }
    }
}
