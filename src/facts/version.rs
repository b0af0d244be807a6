//! Versions in the names of git tags, after semantic versioning.

use semver::Version;

/// The version that `tag` names: `v1.2.3` or `1.2.3`. A tag such as `web-v1.2.3` or `v1.2` names none.
pub(super) fn version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// The version without its build metadata: a tag of an image cannot have a `+`.
pub(super) fn without_build(version: &Version) -> String {
    let Version { major, minor, patch, pre, .. } = version;
    let dash = if pre.is_empty() { "" } else { "-" };
    format!("{major}.{minor}.{patch}{dash}{pre}")
}

/// Whether `version` is a release: a version without a prerelease.
pub(super) fn is_release(version: &Version) -> bool {
    version.pre.is_empty()
}

/// Whether one of `tags` is a release that is higher than `version`.
pub(super) fn has_higher(tags: &[String], version: &Version) -> bool {
    let mut releases = tags.iter().filter_map(|tag| self::version(tag)).filter(is_release);
    releases.any(|other| other.cmp_precedence(version).is_gt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_tags_that_name_one() {
        for (tag, expected) in [
            ("v1.2.3", Some("1.2.3")),
            ("1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("v1.2.3+build.5", Some("1.2.3")),
            ("v1.2.3-a+b", Some("1.2.3-a")),
            ("web-v1.2.3", None),
            ("v1.2", None),
            ("v01.2.3", None),
            ("vv1.2.3", None),
            ("1.2.3rc2", None),
            ("latest", None),
        ] {
            assert_eq!(version(tag).map(|version| without_build(&version)).as_deref(), expected, "{tag}");
        }
    }

    #[test]
    fn higher_release_is_found_by_precedence() {
        let tags = ["v1.10.0", "v2.0.0-rc.1", "web-v3.0.0", "nightly"].map(str::to_owned);
        for (tag, expected) in [("v1.9.0", true), ("v1.10.0", false), ("1.10.0+b", false), ("v2.0.0", false)] {
            assert_eq!(has_higher(&tags, &version(tag).unwrap()), expected, "{tag}");
        }
    }
}
