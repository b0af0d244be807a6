//! Reads platforms that people typed, and keeps their spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::demands::Demands;
use super::known;
use super::normal_form::{Platform, PlatformError};

/// A platform in the spelling of the user. polyarch compares the normal form. The index gets the spelling of the user:
/// `linux/arm64/v8` is kept.
///
/// The operating system and the architecture still have Go's names, because the specification of the index requires
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformSpelling {
    platform: Platform,
    variant: Option<Box<str>>,
}

impl PlatformSpelling {
    /// A platform from its parts. An empty variant means that there is none.
    ///
    /// # Errors
    /// See [`Platform::new`].
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Result<Self, PlatformError> {
        let platform = Platform::new(os, architecture, variant)?;
        // Names such as `armhf` include the variant.
        let is_alias = platform.architecture() != architecture.to_ascii_lowercase();
        let variant = if is_alias { platform.variant() } else { variant };
        Ok(Self { variant: variant.map(Into::into), platform })
    }

    /// The normal form.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// This spelling without version and features of the operating system.
    pub(in crate::oci) fn base(self) -> Self {
        Self { platform: self.platform.base(), ..self }
    }

    /// The variant as typed. An empty text means that the user typed an empty variant.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl FromStr for PlatformSpelling {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let (text, demands) = Demands::split(text).ok_or(PlatformError::Form)?;
        let Self { platform, variant } = match text.split('/').collect::<Vec<_>>()[..] {
            [os, architecture] => Self::new(os, architecture, None),
            [os, architecture, variant] if !variant.is_empty() => Self::new(os, architecture, Some(variant)),
            [word] if demands == Demands::default() => Err(known::alone(word)
                .map_or(PlatformError::Form, |meant| PlatformError::Meant { word: word.to_owned(), meant })),
            _ => Err(PlatformError::Form),
        }?;
        if let Some((word, meant)) = known::meant(platform.os(), platform.architecture(), platform.variant()) {
            return Err(PlatformError::Meant { word, meant });
        }
        Ok(Self { platform: platform.demanding(demands), variant })
    }
}

impl From<Platform> for PlatformSpelling {
    fn from(platform: Platform) -> Self {
        Self { variant: platform.variant().map(Into::into), platform }
    }
}

impl fmt::Display for PlatformSpelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.platform.os(), self.platform.demands(), self.platform.architecture())?;
        self.variant().filter(|variant| !variant.is_empty()).map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Ok(text.parse::<PlatformSpelling>()?.platform)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The platforms in a text, separated by commas, blanks or brackets. The result is empty if a part is not a platform.
#[must_use]
pub fn platforms_in(text: &str) -> Vec<&str> {
    let is_between = |c: char| c.is_whitespace() || ",;|[]\"'".contains(c);
    let parts: Vec<&str> = text.split(is_between).filter(|part| !part.is_empty()).collect();
    if parts.iter().all(|part| part.parse::<Platform>().is_ok()) { parts } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platform_normal_forms_are_those_of_containerd() {
        for (written, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v2", "linux/amd64/v2"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm64/9.0", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("Linux/ARM64", "linux/arm64"),
            ("linux/i386", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(written).to_string(), normal, "{written}");
        }
    }

    #[test]
    fn platform_keeps_its_typed_spelling() {
        for (typed, normal, variant) in [
            ("linux/arm64", "linux/arm64", None),
            ("linux/arm64/v8", "linux/arm64", Some("v8")),
            ("linux/arm64/8", "linux/arm64", Some("8")),
            ("linux/arm64/v8.0", "linux/arm64", Some("v8.0")),
            ("linux/amd64/v1", "linux/amd64", Some("v1")),
            ("linux/amd64/V2", "linux/amd64/v2", Some("V2")),
            ("linux/arm", "linux/arm/v7", None),
            ("linux/armhf", "linux/arm/v7", Some("v7")),
            ("linux/aarch64/v8", "linux/arm64", None),
            ("Linux/ARM64/v8", "linux/arm64", Some("v8")),
        ] {
            let words: PlatformSpelling = typed.parse().unwrap();
            assert_eq!((words.platform(), words.variant()), (&platform(normal), variant), "{typed}");
        }
        let none = PlatformSpelling::new("linux", "arm64", Some("")).unwrap();
        assert_eq!((none.variant(), none.to_string().as_str()), (Some(""), "linux/arm64"));
        assert_eq!("linux/arm64/v8".parse::<PlatformSpelling>().unwrap().to_string(), "linux/arm64/v8");
    }

    #[test]
    fn invalid_platform_is_refused() {
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/",
            "linux/arm/v7/x",
            "li nux/amd64",
            "linux/../x",
            "linux/amd64\n",
            "windows(10.0/amd64",
            "windows)/amd64",
            "windows(10(0))/amd64",
            "windows(10 0)/amd64",
            "(10)/amd64",
            "windows/amd64(10)",
            "windows(10.0%zz)/amd64",
            "windows(10.0%00)/amd64",
            "windows(10+)/amd64",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn processor_runs_its_own_and_older_variants() {
        for (host, program, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/386", true),
            ("linux/amd64", "linux/amd64/v3", false),
            ("linux/amd64/v3", "linux/amd64/v2", true),
            ("linux/arm/v7", "linux/arm/v6", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm64", "linux/arm/v7", false),
            ("linux/arm64", "linux/amd64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(platform(host).runs(&platform(program)), runs, "{host} runs {program}");
        }
    }

    #[test]
    fn platform_versions_and_features_use_the_containerd_syntax() {
        for (typed, written) in [
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("windows(10.0.17763+win32k)/amd64", "windows(10.0.17763+win32k)/amd64"),
            ("linux(+gpu+simd)/arm64/v9", "linux(+gpu+simd)/arm64/v9"),
            ("linux(+unsorted+erofs+erofs)/amd64", "linux(+erofs+unsorted)/amd64"),
            ("windows(10.0.17763%2Bbuild.42)/amd64", "windows(10.0.17763%2Bbuild.42)/amd64"),
            ("linux(+100%25gpu)/amd64", "linux(+100%25gpu)/amd64"),
            ("windows()/amd64", "windows/amd64"),
            ("Windows(10.0)/x86_64", "windows(10.0)/amd64"),
        ] {
            assert_eq!(platform(typed).to_string(), written, "{typed}");
            assert_eq!(platform(written), platform(typed), "{typed}");
        }
        let two = platform("windows(10.0.17763)/amd64");
        assert_ne!(two, platform("windows/amd64"));
        assert_eq!(two.base(), platform("windows/amd64"));
        assert_eq!((two.demands().version(), two.demands().features()), (Some("10.0.17763"), &[][..]));
    }

    #[test]
    fn platform_covers_stricter_ones_and_is_renewed_by_patches() {
        for (one, other, covers, renewed) in [
            ("windows/amd64", "windows(10.0.17763.1)/amd64", true, false),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763.1)/amd64", true, true),
            ("windows(10.0.17763.1)/amd64", "windows(10.0.17763.2)/amd64", false, true),
            ("windows(10.0.1776)/amd64", "windows(10.0.17763.1)/amd64", false, false),
            ("windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64", false, false),
            ("windows(10.0.17763)/amd64", "windows/amd64", false, false),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/arm64", false, false),
            ("linux/amd64", "linux(+gpu)/amd64", true, false),
            ("linux(+gpu)/amd64", "linux(+gpu+simd)/amd64", true, false),
            ("linux(+gpu+simd)/amd64", "linux(+gpu)/amd64", false, false),
            ("linux/arm64", "linux/arm64/v8", true, true),
        ] {
            let (one, other) = (platform(one), platform(other));
            assert_eq!(one.covers(&other), covers, "{one} covers {other}");
            assert_eq!(one.is_renewed_by(&other), renewed, "{one} is renewed by {other}");
        }
    }

    proptest! {
        #[test]
        fn platform_with_any_version_and_features_reads_back(
            version in proptest::option::of(".{0,20}"), features in proptest::collection::vec(".{0,8}", 0..4)
        ) {
            let platform = platform("windows/amd64").demanding(Demands::new(version.as_deref(), &features));
            let written = platform.to_string();
            prop_assert!(written.is_ascii() && !written.contains(char::is_whitespace), "{}", written);
            // Names that users type contain no control characters.
            let has_control = |text: &str| text.contains(char::is_control);
            if !version.iter().chain(&features).any(|text| has_control(text)) {
                prop_assert_eq!(written.parse::<Platform>(), Ok(platform));
            }
        }

        #[test]
        fn platform_display_and_parse_are_inverse(os in "[a-z]{1,8}", arch in "[a-z0-9]{1,8}", variant in proptest::option::of("v[0-9]{1,2}")) {
            let platform = Platform::new(&os, &arch, variant.as_deref()).unwrap();
            let read = platform.to_string().parse::<Platform>();
            let is_asked_about = matches!(read, Err(PlatformError::Meant { .. }));
            prop_assert!(is_asked_about || read == Ok(platform));
        }

        #[test]
        fn platform_parser_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Platform>();
        }
    }
}
