//! Makes a valid tag of the name of a branch or of a git tag.

use crate::oci::Digest;

/// The longest result. A tag may have 128 characters, and an arch tag adds the platform.
const LONGEST: usize = 100;
/// The digits of the hash that stands for the part of a name that a tag cannot have.
const HASH: usize = 8;

/// `name` as a tag. Every sequence of other characters becomes one `-`, as in docker/metadata-action. A tag cannot begin
/// with `.` or `-`, so the result lacks these at its beginning. A long name ends in a hash, so that two long names with
/// the same beginning stay different. A name that has no valid character is only a hash.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    let mut was_valid = true;
    for c in name.chars() {
        let is_valid = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if is_valid {
            slug.push(c);
        } else if was_valid {
            slug.push('-');
        }
        was_valid = is_valid;
    }
    let slug = slug.trim_start_matches(['.', '-']);
    let hash = || Digest::of(name.as_bytes()).hex()[..HASH].to_owned();
    match slug.len() {
        0 => hash(),
        1..=LONGEST => slug.to_owned(),
        _ => format!("{}-{}", &slug[..LONGEST - HASH - 1], hash()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::Tag;

    #[test]
    fn slug_replaces_characters_that_no_tag_has() {
        for (name, tag) in [
            ("main", "main"),
            ("releases/v1", "releases-v1"),
            ("my/feature#1245", "my-feature-1245"),
            ("a//b", "a-b"),
            ("a-/b", "a--b"),
            ("Ünïcode", "n-code"),
            ("v1.2.3+build.5", "v1.2.3-build.5"),
            ("_x.y", "_x.y"),
        ] {
            assert_eq!(slug(name), tag, "{name}");
        }
        let (one, other) = (format!("{}1", "a".repeat(200)), format!("{}2", "a".repeat(200)));
        assert_eq!(slug(&one).len(), LONGEST);
        assert_ne!(slug(&one), slug(&other));
        assert_ne!(slug("日本"), slug("中国"));
    }

    proptest! {
        #[test]
        fn slug_is_a_valid_tag_with_room_for_a_platform(name in ".{1,300}") {
            let tag = format!("{}-windows-arm64-v8", slug(&name));
            prop_assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
    }
}
