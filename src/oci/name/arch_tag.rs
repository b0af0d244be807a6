//! Reads the platform from a tag: `1.0-arm64` is for arm64.

use super::reference::Tag;
use crate::oci::Platform;

/// Endings of tags, each with its architectures. If one ending is the end of another, the longer one is first. A bare
/// number has no meaning: `1.0-386` may be a build number.
const ENDINGS: [(&str, &[&str]); 29] = [
    ("amd64", &["amd64"]),
    ("x86-64", &["amd64"]),
    ("x64", &["amd64"]),
    ("arm64-v8", &["arm64"]),
    ("arm64v8", &["arm64"]),
    ("arm64", &["arm64"]),
    ("aarch64", &["arm64"]),
    ("arm32v7", &["arm/v7"]),
    ("arm-v7", &["arm/v7"]),
    ("armv7", &["arm/v7"]),
    ("armv7l", &["arm/v7"]),
    ("armhf", &["arm/v7", "arm/v6"]),
    ("arm32v6", &["arm/v6"]),
    ("arm-v6", &["arm/v6"]),
    ("armv6", &["arm/v6"]),
    ("armv6l", &["arm/v6"]),
    ("arm32v5", &["arm/v5"]),
    ("arm-v5", &["arm/v5"]),
    ("armv5", &["arm/v5"]),
    ("armel", &["arm/v5", "arm/v6"]),
    // Some people use this name for arm64 too.
    ("arm", &["arm", "arm64"]),
    ("i386", &["386"]),
    ("i686", &["386"]),
    ("ppc64le", &["ppc64le"]),
    ("s390x", &["s390x"]),
    ("riscv64", &["riscv64"]),
    ("loong64", &["loong64"]),
    ("loongarch64", &["loong64"]),
    ("mips64le", &["mips64le"]),
];

impl Tag {
    /// Whether the tag ends in the name of another architecture than that of `platform`. `1.0-arm64`, `1.0_x86_64` and
    /// `arm64` contradict `linux/s390x`. A variant counts if the tag has one: `1.0-arm-v7`.
    #[must_use]
    pub fn contradicts(&self, platform: &Platform) -> bool {
        let tag = self.as_str().to_ascii_lowercase().replace('_', "-");
        let ending = ENDINGS.iter().find(|(name, _)| {
            tag.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['-', '.']))
        });
        ending.is_some_and(|(_, meant)| !meant.iter().any(|meant| is_of(platform, meant)))
    }

    /// Whether a part of the tag is the name of an architecture. The architecture of `platform` always counts.
    /// `1.0-arm64` and `arm64-1.0` are usually tags of one platform's image.
    #[must_use]
    pub fn names_an_architecture(&self, platform: Option<&Platform>) -> bool {
        let tag = format!("-{}-", self.as_str().to_ascii_lowercase().replace(['_', '.'], "-"));
        let own = platform.map(Platform::architecture);
        let names = ENDINGS.iter().map(|(name, _)| *name).chain(own);
        names.into_iter().any(|name| tag.contains(&format!("-{name}-")))
    }
}

/// The operating systems that appear in tags.
const SYSTEMS: [&str; 6] = ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd"];

impl Tag {
    /// Whether the tag consists of `name` and a platform before or behind it. `1.0-arm64` and `linux-arm64-1.0` are
    /// arch tags of `1.0`. `1.0.1-arm64` and `1.0-rc1-arm64` belong to other tags.
    #[must_use]
    pub fn is_arch_tag_of(&self, name: &Self, platform: Option<&Platform>) -> bool {
        let separators = ['-', '_', '.'];
        let behind = || self.as_str().strip_prefix(name.as_str())?.strip_prefix(separators);
        let before = || self.as_str().strip_suffix(name.as_str())?.strip_suffix(separators);
        let Some(rest) = behind().or_else(before) else { return false };
        let rest = rest.to_ascii_lowercase();
        let of_names = |word: &str| ENDINGS.iter().any(|(name, _)| name.split('-').any(|part| part == word));
        let of_platform = |word: &str| platform.is_some_and(|platform| platform.architecture() == word);
        let of_version = |word: &str| {
            let version = platform.and_then(|platform| platform.demands().version());
            version.is_some_and(|version| version.split('.').any(|part| part == word))
        };
        let is_variant = |word: &str| word.strip_prefix('v').is_some_and(|digits| digits.parse::<u8>().is_ok());
        let is_word = |word: &str| {
            SYSTEMS.contains(&word) || of_names(word) || of_platform(word) || is_variant(word) || of_version(word)
        };
        rest.split(separators).all(is_word)
            && rest.parse::<Self>().is_ok_and(|rest| rest.names_an_architecture(platform))
    }
}

/// Whether `platform` has an architecture in the form of [`ENDINGS`].
fn is_of(platform: &Platform, meant: &str) -> bool {
    let (architecture, variant) = meant.split_once('/').map_or((meant, None), |(name, variant)| (name, Some(variant)));
    platform.architecture() == architecture && (variant.is_none() || platform.variant() == variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_suffix_names_the_architecture_of_its_image() {
        for (tag, platform, contradicts) in [
            ("1.0-arm64", "linux/amd64", true),
            ("1.0-arm64", "linux/arm64", false),
            ("1.0-arm64", "linux/arm64/v9", false),
            ("1.0-arm64v8", "linux/arm64", false),
            ("1.0-arm64-v8", "linux/amd64", true),
            ("1.0_arm64", "linux/amd64", true),
            ("1.0-aarch64", "linux/amd64", true),
            ("1.0-x86_64", "linux/amd64", false),
            ("1.0-x86_64", "linux/arm64", true),
            ("1.0-amd64", "linux/amd64/v3", false),
            ("1.0-windows-AMD64", "windows/arm64", true),
            ("amd64", "linux/arm64", true),
            ("1.0-arm-v7", "linux/arm/v7", false),
            ("1.0-arm-v7", "linux/arm/v6", true),
            ("1.0-armhf", "linux/arm/v6", false),
            ("1.0-arm", "linux/arm/v6", false),
            ("1.0-arm", "linux/arm64", false),
            ("1.0-arm", "linux/amd64", true),
            ("1.0-s390x", "linux/ppc64le", true),
            // Tags without a known ending never contradict.
            ("1.0", "linux/amd64", false),
            ("alarm", "linux/amd64", false),
            ("notarm64", "linux/amd64", false),
            ("1.0-arm64-debug", "linux/amd64", false),
            ("build-386", "linux/amd64", false),
            ("latest", "linux/amd64", false),
        ] {
            let (parsed, platform): (Tag, Platform) = (tag.parse().unwrap(), platform.parse().unwrap());
            assert_eq!(parsed.contradicts(&platform), contradicts, "{tag} of {platform}");
        }
    }

    #[test]
    fn architecture_is_found_anywhere_in_a_tag() {
        for (tag, platform, names) in [
            ("1.0-arm64", None, true),
            ("1.0-arm-v7", None, true),
            ("arm64_1.0", None, true),
            ("1.0.x86_64", None, true),
            ("1.0-amd64-debug", None, true),
            ("AMD64", None, true),
            ("1.0-386", Some("linux/386"), true),
            ("1.0-386", Some("linux/amd64"), false),
            ("1.0", Some("linux/amd64"), false),
            ("alarm", Some("linux/arm/v7"), false),
            ("notarm64", Some("linux/arm64"), false),
        ] {
            let platform: Option<Platform> = platform.map(|platform| platform.parse().unwrap());
            assert_eq!(tag.parse::<Tag>().unwrap().names_an_architecture(platform.as_ref()), names, "{tag}");
        }
    }

    #[test]
    fn arch_tag_has_only_a_platform_beside_its_tag() {
        for (tag, name, is_arch_tag) in [
            ("1.0-arm64", "1.0", true),
            ("1.0-arm-v7", "1.0", true),
            ("1.0_x86_64", "1.0", true),
            ("1.0-linux-amd64", "1.0", true),
            ("linux-arm64-1.0", "1.0", true),
            ("1.0-amd64-v3", "1.0", true),
            ("1.0-mips", "1.0", true),
            ("1.0", "1.0", false),
            ("1.0.1-arm64", "1.0", false),
            ("11.0-arm64", "1.0", false),
            ("1.0-rc1-arm64", "1.0", false),
            ("1.0arm64", "1.0", false),
            ("1.0-v3", "1.0", false),
            ("1.1-arm64", "1.0", false),
        ] {
            let (parsed, name): (Tag, Tag) = (tag.parse().unwrap(), name.parse().unwrap());
            let platform = "linux/mips".parse().unwrap();
            assert_eq!(parsed.is_arch_tag_of(&name, Some(&platform)), is_arch_tag, "{tag} of {name}");
        }
    }

    #[test]
    fn tag_suffixes_are_normal_platforms_and_hide_no_other() {
        for (place, (name, meant)) in ENDINGS.iter().enumerate() {
            for one in *meant {
                let normal = format!("linux/{one}").parse::<Platform>().unwrap().to_string();
                assert!(normal.starts_with(&format!("linux/{one}")), "{name}: {one}");
            }
            let hides = |(other, _): &&(&str, &[&str])| other.ends_with(&format!("-{name}"));
            assert!(ENDINGS[place + 1..].iter().find(hides).is_none(), "{name} hides what ends as it does");
        }
    }
}
