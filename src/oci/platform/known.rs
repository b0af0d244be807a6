//! The names of operating systems and processors that tools use, and suggestions for misspelled names.

use super::normal_form::Platform;

/// containerd's `isKnownOS` (platforms, `database.go`), which contains Go's list.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// containerd's `isKnownArch`, also with Go's list.
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// Names used by Debian, by kernels, by Docker's official images and by people, each with Go's name.
const ELSEWHERE: [(&str, &str); 19] = [
    ("x64", "amd64"),
    ("x86", "386"),
    ("i786", "386"),
    ("arm5", "arm/v5"),
    ("arm6", "arm/v6"),
    ("arm7", "arm/v7"),
    ("armv5", "arm/v5"),
    ("armv8", "arm64"),
    ("armv8l", "arm64"),
    ("arm64v8", "arm64"),
    ("arm32v7", "arm/v7"),
    ("arm32v6", "arm/v6"),
    ("arm32v5", "arm/v5"),
    ("arm32", "arm"),
    ("ppc64el", "ppc64le"),
    ("mips64el", "mips64le"),
    ("mipsel", "mipsle"),
    ("loongarch64", "loong64"),
    ("riscv64gc", "riscv64"),
];

/// The unknown name in `os` or `architecture`, and the platform that was probably meant. `None`: no known name is
/// near.
pub(super) fn meant(os: &str, architecture: &str, variant: Option<&str>) -> Option<(String, String)> {
    if SYSTEMS.contains(&architecture) && near(os, &ARCHITECTURES).is_some() {
        return Some((format!("{os}/{architecture}"), format!("{architecture}/{}", near(os, &ARCHITECTURES)?)));
    }
    let known_os = near(os, &SYSTEMS);
    if let Some(right) = known_os.filter(|right| *right != os) {
        let architecture = near(architecture, &ARCHITECTURES).unwrap_or(architecture);
        return Some((os.to_owned(), with(&format!("{right}/{architecture}"), variant)));
    }
    let known = ELSEWHERE.iter().find(|(theirs, _)| *theirs == architecture).map(|(_, ours)| *ours);
    let right = known.or_else(|| near(architecture, &ARCHITECTURES)).filter(|right| *right != architecture)?;
    let variant = variant.filter(|_| !right.contains('/'));
    Some((architecture.to_owned(), with(&format!("{os}/{right}"), variant)))
}

fn with(platform: &str, variant: Option<&str>) -> String {
    variant.map_or_else(|| platform.to_owned(), |variant| format!("{platform}/{variant}"))
}

/// The platform of a single word: `arm64` is `linux/arm64`, like containerd's `Parse` on Linux.
pub(super) fn alone(word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let elsewhere = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let normal = Platform::new("linux", &word, None).ok()?;
    elsewhere.or_else(|| near(normal.architecture(), &ARCHITECTURES)).map(|architecture| {
        let variant = normal.variant().filter(|_| architecture == normal.architecture() && word != "arm");
        with(&format!("linux/{architecture}"), variant)
    })
}

impl Platform {
    /// Whether Go and containerd know the operating system, the architecture and its variant.
    #[must_use]
    pub fn is_known(&self) -> bool {
        SYSTEMS.contains(&self.os())
            && ARCHITECTURES.contains(&self.architecture())
            && self.variant().is_none_or(|variant| is_variant(self.architecture(), variant))
    }
}

/// Whether `variant` is one of `architecture`. polyarch knows the variants of three architectures only, so every
/// variant of another architecture counts as known.
fn is_variant(architecture: &str, variant: &str) -> bool {
    let version = variant.strip_prefix('v').unwrap_or(variant);
    match architecture {
        "amd64" => ["1", "2", "3", "4"].contains(&version),
        "arm" => ["5", "6", "7", "8"].contains(&version),
        "arm64" => ["8", "9"].contains(&version.split('.').next().unwrap_or(version)),
        _ => true,
    }
}

/// The name that equals `word`, or that differs from it by one typing error.
fn near<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let exact = names.iter().find(|name| **name == word);
    exact.or_else(|| names.iter().find(|name| one_slip(word, name))).copied()
}

/// Whether both differ by one letter only: added, missing or replaced; or by two swapped letters.
fn one_slip(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let before = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[before..], &b[before..]);
    let after = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - after], &b[..b.len() - after]);
    match (a, b) {
        ([] | [_], [_]) | ([_], []) => true,
        ([first, second], [one, other]) => first == other && second == one,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::oci::{Platform, PlatformError};

    #[test]
    fn unknown_platform_name_suggests_a_similar_one() {
        for (typed, meant) in [
            ("linux/amd46", "linux/amd64"),
            ("linux/arm46/v8", "linux/arm64/v8"),
            ("linux/aarm64", "linux/arm64"),
            ("linux/rsicv64", "linux/riscv64"),
            ("linux/s390", ""),
            ("linux/s380x", "linux/s390x"),
            ("linxu/amd64", "linux/amd64"),
            ("linux /amd64", ""),
            ("liux/amd46", "linux/amd64"),
            ("window/amd64", "windows/amd64"),
            ("amd64/linux", "linux/amd64"),
            ("linux/x64", "linux/amd64"),
            ("linux/x86", "linux/386"),
            ("linux/armv8", "linux/arm64"),
            ("linux/arm6", "linux/arm/v6"),
            ("linux/arm7", "linux/arm/v7"),
            ("linux/arm32v7", "linux/arm/v7"),
            ("linux/ppc64el", "linux/ppc64le"),
            ("arm64", "linux/arm64"),
            ("armv7", "linux/arm/v7"),
            ("x86_64", "linux/amd64"),
            // An unknown name may be new. A known name is always accepted.
            ("linux/sw64", ""),
            ("linux/amd64/v9", ""),
            ("linux/riscv", ""),
            ("unknown/unknown", ""),
        ] {
            let said = match typed.parse::<Platform>() {
                Err(PlatformError::Meant { meant, .. }) => meant,
                Ok(_) | Err(PlatformError::Form) => String::new(),
            };
            assert_eq!(said, meant, "{typed}");
        }
        assert!(Platform::new("linux", "amd46", None).is_ok_and(|platform| !platform.is_known()), "documents say it");
    }

    #[test]
    fn unknown_variant_is_not_a_known_platform() {
        let is_known = |text: &str| text.parse::<Platform>().unwrap().is_known();
        for known in
            ["linux/arm", "linux/arm/v5", "linux/amd64/v4", "linux/arm64/v8.2", "linux/arm64/v9", "linux/386/x"]
        {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["linux/arm/v77", "linux/arm/v9", "linux/amd64/v5", "linux/arm64/v7", "linux/amd64/x"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
