//! The version and the features that an image requires of its operating system. The text form is that of containerd's
//! platforms package (`Parse`, `FormatAll`): `(10.0.17763+win32k)`.

use std::fmt;

/// `os.version` and `os.features` of a platform (OCI image-spec, "Image Index"). Most platforms have neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Demands(Option<Box<Said>>);

/// A version, features, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Said {
    version: Option<Box<str>>,
    /// Sorted, without duplicates.
    features: Box<[Box<str>]>,
}

impl Demands {
    /// Empty texts count as absent.
    pub fn new(version: Option<&str>, features: &[impl AsRef<str>]) -> Self {
        let named = features.iter().map(AsRef::as_ref).filter(|feature| !feature.is_empty());
        let mut features: Vec<Box<str>> = named.map(Into::into).collect();
        features.sort();
        features.dedup();
        let version = version.filter(|version| !version.is_empty()).map(Into::into);
        let is_silent = version.is_none() && features.is_empty();
        Self((!is_silent).then(|| Box::new(Said { version, features: features.into() })))
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.0.as_ref()?.version.as_deref()
    }

    /// The features, sorted and without duplicates.
    #[must_use]
    pub fn features(&self) -> &[Box<str>] {
        self.0.as_ref().map_or(&[], |said| &said.features)
    }

    /// Whether an image with the demands `other` is one of the images that `self` describes.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let version = self.version().is_none_or(|wanted| {
            let rest = other.version().and_then(|version| version.strip_prefix(wanted));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        version && self.features().iter().all(|feature| other.features().contains(feature))
    }

    /// Whether both contradict each other: both have a version, or features, and `self` does not cover those of
    /// `other`.
    pub(in crate::oci) fn contradict(&self, other: &Self) -> bool {
        let version = Self::new(self.version(), &[""; 0]);
        let features = Self::new(None, self.features());
        let says_features = !other.features().is_empty();
        (other.version().is_some() && !version.cover(other)) || (says_features && !features.cover(other))
    }

    pub(super) fn are_renewed_by(&self, other: &Self) -> bool {
        self.features() == other.features() && self.build() == other.build()
    }

    /// The build of Windows. The part of `os.version` behind it is a patch, which changes with every base image.
    fn build(&self) -> Option<&str> {
        let version = self.version()?;
        Some(version.match_indices('.').nth(2).map_or(version, |(patch, _)| &version[..patch]))
    }

    /// Splits `windows(10.0.17763+win32k)/amd64` into the platform without parentheses and the text inside them.
    /// `None`: the text is malformed.
    pub(super) fn split(text: &str) -> Option<(String, Self)> {
        let Some((os, rest)) = text.split_once('(') else { return Some((text.to_owned(), Self::default())) };
        let (said, rest) = rest.split_once(')')?;
        if os.contains('/') || !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let mut parts = said.split('+');
        let version = decode(parts.next().unwrap_or_default())?;
        let features: Vec<String> =
            parts.map(|part| decode(part).filter(|one| !one.is_empty())).collect::<Option<_>>()?;
        Some((format!("{os}{rest}"), Self::new(Some(&version), &features)))
    }
}

/// Whether containerd writes the byte unchanged inside the parentheses.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

fn decode(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &rest[2..];
        } else if is_plain(byte) {
            bytes.push(byte);
        } else {
            return None;
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

/// A text of a document, which may contain any characters.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if is_plain(byte) { write!(f, "{}", char::from(byte)) } else { write!(f, "%{byte:02X}") }
        })
    }
}

impl fmt::Display for Demands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        write!(f, "({}", Encoded(self.version().unwrap_or_default()))?;
        self.features().iter().try_for_each(|feature| write!(f, "+{}", Encoded(feature)))?;
        f.write_str(")")
    }
}
