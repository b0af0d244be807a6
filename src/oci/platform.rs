//! Platforms: `os/arch[/variant]`, normalised like in containerd.
//!
//! The fields are those of the OCI image-spec, "Image Index: platform". The normal forms follow containerd's
//! `platforms` package, which docker, buildx and BuildKit use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Demands;
use super::known;

/// A platform in its normal form: `linux/arm64/v8` is `linux/arm64`, `linux/x86_64` is `linux/amd64`, `linux/arm` is
/// `linux/arm/v7`. A platform may also require a version or features of its operating system:
/// `windows(10.0.17763+win32k)/amd64`. containerd's `Parse` and `FormatAll` use the same form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
    variant: Option<Box<str>>,
    demands: Demands,
}

/// Why a string is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The text has another form.
    #[error("a platform has the form os/arch or os/arch/variant, such as linux/amd64 or linux/arm/v7")]
    Form,
    /// No tool knows the name, but a similar name is known. polyarch checks this only for text that a user typed.
    #[error("no platform has the name `{word}`; did you mean {meant}?")]
    Meant {
        /// The unknown name.
        word: String,
        /// The platform with the similar name.
        meant: String,
    },
}

impl Platform {
    /// A normalised platform from its parts. An empty variant counts as none.
    ///
    /// # Errors
    /// A part is empty, or it has other characters than letters, digits, `.`, `_` and `-`.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Result<Self, PlatformError> {
        let variant = variant.filter(|v| !v.is_empty());
        for part in [Some(os), Some(architecture), variant].into_iter().flatten() {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if part.len() > 64 || !part.starts_with(|c: char| c.is_ascii_alphanumeric()) || !part.bytes().all(allowed) {
                return Err(PlatformError::Form);
            }
        }
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".into(),
            other => other.into(),
        };
        let (architecture, variant) = normalise(architecture, variant);
        Ok(Self { os, architecture, variant, demands: Demands::default() })
    }

    /// This platform with a version and features of its operating system.
    #[must_use]
    pub fn demanding(self, demands: Demands) -> Self {
        Self { demands, ..self }
    }

    /// This platform without version and features of its operating system.
    #[must_use]
    pub fn base(&self) -> Self {
        self.clone().demanding(Demands::default())
    }

    /// The version and the features of the operating system.
    #[must_use]
    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    /// Whether `self` describes images of `other`. `windows/amd64` describes images of every version of Windows.
    /// `windows(10.0.17763)/amd64` describes those of every patch of that build.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.is_based_on(other) && self.demands.cover(&other.demands)
    }

    /// Whether `other` replaces `self` in an index when its image is pushed again. A new patch of the same Windows
    /// build does.
    #[must_use]
    pub fn is_renewed_by(&self, other: &Self) -> bool {
        self.is_based_on(other) && self.demands.are_renewed_by(&other.demands)
    }

    /// Whether both have the same operating system, architecture and variant.
    #[must_use]
    pub fn is_based_on(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture && self.variant == other.variant
    }

    /// The operating system: `linux`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// Go's name of the architecture: `amd64`, `arm64`, `arm`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, if the normal form has one: `v7` of `linux/arm/v7`.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// The form of the platform in tags: `arm-v7`, `amd64-10.0.17763`.
    #[must_use]
    pub fn in_tags(&self) -> String {
        let version = self.demands.version();
        let parts = [Some(self.architecture()), self.variant(), version].into_iter().flatten();
        parts.chain(self.demands.features().iter().map(AsRef::as_ref)).collect::<Vec<_>>().join("-")
    }

    /// Whether a processor of platform `self` runs programs of `other` without emulation. Both are the same platform,
    /// or `other` is an older variant of the same architecture.
    #[must_use]
    pub fn runs(&self, other: &Self) -> bool {
        if self.os != other.os {
            return false;
        }
        if self.architecture == other.architecture {
            return self.level() >= other.level();
        }
        // An amd64 kernel runs programs for 386. On arm64, 32-bit arm depends on the processor (Graviton does not
        // support it), so it counts as foreign.
        &*self.architecture == "amd64" && &*other.architecture == "386"
    }

    /// Whether a build for `self` may use an image of `other` if its own platform is missing, as in BuildKit
    /// (containerd, `platforms.Only`). The processor of `self` runs the image, or `self` is arm64 and `other` is
    /// 32-bit arm. Versions of the operating system do not matter.
    #[must_use]
    pub fn takes(&self, other: &Self) -> bool {
        self.runs(other) || self.os == other.os && &*self.architecture == "arm64" && &*other.architecture == "arm"
    }

    /// The variant as a number: `v7` is 7. Without a variant it is the lowest one of the architecture.
    fn level(&self) -> u32 {
        let base = if &*self.architecture == "arm64" { 8 } else { 1 };
        let digits = |v: &str| v.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
        self.variant().and_then(digits).unwrap_or(base)
    }
}

/// containerd's `normalizeArch`, and the names that kernels and distributions use.
fn normalise(architecture: &str, variant: Option<&str>) -> (Box<str>, Option<Box<str>>) {
    let variant = variant.map(str::to_ascii_lowercase);
    let variant = variant.as_deref();
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant) {
        ("i386" | "i486" | "i586" | "i686", _) => ("386".to_owned(), None),
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64".to_owned(), v.filter(|v| *v != "v1")),
        ("aarch64" | "arm64", Some("9" | "9.0" | "v9.0")) => ("arm64".to_owned(), Some("v9")),
        ("aarch64" | "arm64", v) => ("arm64".to_owned(), v.filter(|v| !matches!(*v, "8" | "v8" | "v8.0"))),
        ("armhf", _) | ("armv7l" | "armv7", None) | ("arm", None | Some("7")) => ("arm".to_owned(), Some("v7")),
        ("armel" | "armv6l" | "armv6", _) | ("arm", Some("6")) => ("arm".to_owned(), Some("v6")),
        ("arm", Some("5")) => ("arm".to_owned(), Some("v5")),
        ("arm", Some("8")) => ("arm".to_owned(), Some("v8")),
        (other, v) => (other.to_owned(), v),
    };
    (architecture.into(), variant.map(Into::into))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Ok(text.parse::<PlatformWords>()?.platform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.os, self.demands, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A platform in the spelling of the user. polyarch compares the normal form. The index gets the spelling of the user:
/// `linux/arm64/v8` is kept.
///
/// The operating system and the architecture still have Go's names, because the specification of the index requires
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformWords {
    platform: Platform,
    variant: Option<Box<str>>,
}

impl PlatformWords {
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
    pub(super) fn base(self) -> Self {
        Self { platform: self.platform.base(), ..self }
    }

    /// The variant as typed. An empty text means that the user typed an empty variant.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl FromStr for PlatformWords {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let (text, demands) = Demands::split(text).ok_or(PlatformError::Form)?;
        let mut words = match text.split('/').collect::<Vec<_>>()[..] {
            [os, architecture] => Self::new(os, architecture, None),
            [os, architecture, variant] if !variant.is_empty() => Self::new(os, architecture, Some(variant)),
            [word] if demands == Demands::default() => Err(known::alone(word)
                .map_or(PlatformError::Form, |meant| PlatformError::Meant { word: word.to_owned(), meant })),
            _ => Err(PlatformError::Form),
        }?;
        let Platform { os, architecture, variant, .. } = &words.platform;
        if let Some((word, meant)) = known::meant(os, architecture, variant.as_deref()) {
            return Err(PlatformError::Meant { word, meant });
        }
        words.platform.demands = demands;
        Ok(words)
    }
}

impl From<Platform> for PlatformWords {
    fn from(platform: Platform) -> Self {
        Self { variant: platform.variant.clone(), platform }
    }
}

impl fmt::Display for PlatformWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Platform { os, architecture, demands, .. } = &self.platform;
        write!(f, "{os}{demands}/{architecture}")?;
        self.variant().filter(|variant| !variant.is_empty()).map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
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
            let words: PlatformWords = typed.parse().unwrap();
            assert_eq!((words.platform(), words.variant()), (&platform(normal), variant), "{typed}");
        }
        let none = PlatformWords::new("linux", "arm64", Some("")).unwrap();
        assert_eq!((none.variant(), none.to_string().as_str()), (Some(""), "linux/arm64"));
        assert_eq!("linux/arm64/v8".parse::<PlatformWords>().unwrap().to_string(), "linux/arm64/v8");
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
