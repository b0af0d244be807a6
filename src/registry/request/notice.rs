//! Notices for a caller while a request is still in progress.

use std::time::Duration;

use crate::oci::{Digest, RegistryHost};

/// An event that stops nothing but may interest the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A request failed, and polyarch sends it again.
    Retry(Retry),
    /// The registry sent a `Warning` header (OCI distribution-spec, "Warnings"). Each client passes on each text once,
    /// and at most sixteen texts. A text is printable and has at most 512 characters.
    Warning {
        /// The registry.
        host: RegistryHost,
        /// The text of the warning.
        text: String,
    },
    /// The registry sent a manifest with a `Docker-Content-Digest` of other bytes. polyarch trusts the bytes.
    WrongDigestHeader {
        /// The registry.
        host: RegistryHost,
        /// The header's value, printable, at most 100 characters.
        claimed: String,
        /// The digest of the bytes.
        actual: Digest,
    },
}

/// A request that failed and that polyarch sends again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The registry.
    pub host: RegistryHost,
    /// The number of failures so far.
    pub failures: u32,
    /// The time until polyarch sends the request again.
    pub wait: Duration,
    /// The reason of the failure, in one line.
    pub reason: String,
}
