//! Platforms: `os/arch[/variant]`, normalised like in containerd.
//!
//! The fields are those of the OCI image-spec, "Image Index: platform". The normal forms follow containerd's
//! `platforms` package, which docker, buildx and BuildKit use.

use std::fmt;

use serde::Serialize;

use super::demands::Demands;

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
#[non_exhaustive]
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
    #[doc(hidden)]
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
    #[doc(hidden)]
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

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.os, self.demands, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
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
