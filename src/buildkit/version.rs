//! The version of a BuildKit.

use std::fmt;

/// A version of BuildKit: `0.12.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildKitVersion(u32, u32, u32);

impl BuildKitVersion {
    /// A version before the first one that reports its version (BuildKit, `api/types/worker.proto`). It lacks every
    /// feature with a name in `lacks.rs`.
    const SILENT: Self = Self::new(0, 8, 0);
    /// A version with every such feature. A BuildKit that was built without a number reports `v0.0.0+unknown`, as the one
    /// in Debian's Docker Engine. polyarch refuses it no feature.
    const UNNUMBERED: Self = Self::new(u32::MAX, 0, 0);

    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self(major, minor, patch)
    }

    /// The version in the record of a worker.
    pub(super) fn of_worker(reported: Option<&str>) -> Self {
        let Some(text) = reported else { return Self::SILENT };
        Self::parse(text).filter(|version| *version > Self::new(0, 0, 0)).unwrap_or(Self::UNNUMBERED)
    }

    /// The text after the numbers has no meaning here: `v0.25.1-moby`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim_start_matches('v').splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        });
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or_default()))
    }
}

impl fmt::Display for BuildKitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SILENT => f.write_str("before 0.11"),
            Self::UNNUMBERED => f.write_str("without a version number"),
            Self(major, minor, patch) => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildkit_version_is_read_from_the_worker() {
        for (reported, version) in [
            (None, "before 0.11"),
            (Some(""), "without a version number"),
            (Some("v0.0.0+unknown"), "without a version number"),
            (Some("v0.12.5"), "0.12.5"),
            (Some("v0.25.1-moby"), "0.25.1"),
            (Some("0.32"), "0.32.0"),
            (Some("v0.13.0-beta3-5-gabc.m"), "0.13.0"),
        ] {
            assert_eq!(BuildKitVersion::of_worker(reported).to_string(), version, "{reported:?}");
        }
    }
}
