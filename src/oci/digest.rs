//! Digests. No other file computes hashes.
//!
//! A digest has the form `algorithm:encoded` with lower-case hexadecimal digits (OCI image-spec, "Descriptors:
//! Digests"). polyarch parses every digest strictly before it builds a URL or a path (CVE-2024-3727:
//! `sha256:../../x`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The length of the hexadecimal part of a sha256 digest.
const SHA256_HEX: usize = 64;

/// A sha256 digest: `sha256:` and 64 lower-case hexadecimal digits.
///
/// Other algorithms of the specification are refused, because no registry uses them. With one algorithm, two digests
/// of the same bytes are always equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

/// Why a string is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no `:` between algorithm and encoded part.
    #[error("a digest has the form sha256:<64 hexadecimal digits>")]
    Form,
    /// The algorithm is not sha256.
    #[error("only sha256 digests are supported")]
    Algorithm,
    /// The encoded part is not 64 lower-case hexadecimal digits.
    #[error("a sha256 digest has 64 hexadecimal digits in lower case")]
    Hex,
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 64 hexadecimal digits without `sha256:`. These digits are safe as a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The whole digest, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hexadecimal digits, as docker shows image ids.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

/// Hashes content while it is transferred.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher without any bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut text = String::with_capacity("sha256:".len() + SHA256_HEX);
        text.push_str("sha256:");
        for byte in self.0.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text.into())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Form)?;
        if algorithm != "sha256" {
            return Err(DigestError::Algorithm);
        }
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != SHA256_HEX || !hex.bytes().all(lower_hex) {
            return Err(DigestError::Hex);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digest_matches_sha256sum() {
        assert_eq!(Digest::of(b"").as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn digest_parser_refuses_url_and_path_tricks() {
        let hex = "a".repeat(64);
        for bad in [
            String::new(),
            hex.clone(),
            "sha256:".into(),
            "sha256:../../x".into(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha256:{}", "a".repeat(65)),
            format!("sha256:{hex}/../.."),
            format!("sha512:{hex}"),
            format!("sha256:{}\u{e4}", "a".repeat(62)),
            "a".repeat(1 << 20),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:.80}");
        }
    }

    proptest! {
        #[test]
        fn digest_display_and_parse_are_inverse(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        }

        #[test]
        fn digest_parser_never_panics(text in ".{0,90}") {
            let _ = text.parse::<Digest>();
        }

        #[test]
        fn digest_of_pieces_equals_digest_of_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..256), at in 0usize..256) {
            let at = at.min(bytes.len());
            let mut hasher = Hasher::new();
            hasher.update(&bytes[..at]);
            hasher.update(&bytes[at..]);
            prop_assert_eq!(hasher.finish(), Digest::of(&bytes));
        }
    }
}
