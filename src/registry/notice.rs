//! What a caller hears of while a request is still under way.

use std::time::Duration;

use crate::oci::{Digest, RegistryHost};

/// Something that stops nothing and that the user may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A request failed and is sent again.
    Retry(Retry),
    /// The registry sent a `Warning` header (OCI distribution-spec, "Warnings"). Each text once per client,
    /// at most sixteen, printable, at most 512 characters.
    Warning {
        /// The registry.
        host: RegistryHost,
        /// What it said.
        text: String,
    },
    /// The registry sent a manifest whose `Docker-Content-Digest` is not of its bytes; the bytes count.
    WrongDigestHeader {
        /// The registry.
        host: RegistryHost,
        /// What the header said, printable, at most 100 characters.
        claimed: String,
        /// The digest of the bytes.
        actual: Digest,
    },
}

/// A request that failed and is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The registry.
    pub host: RegistryHost,
    /// How often it failed so far.
    pub failures: u32,
    /// How long we wait before it is sent again.
    pub wait: Duration,
    /// Why it failed, in one line.
    pub reason: String,
}

/// `text` on one line and without control characters, at most `limit` characters of it.
pub(super) fn printable(text: &str, limit: usize) -> String {
    text.trim().chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
