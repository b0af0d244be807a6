//! The tags of a repository that may move (Amazon ECR, "Image tag mutability").

use crate::oci::Tag;

/// The tags of a repository that may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutability {
    /// All tags except those that match a pattern.
    Mutable(Vec<TagPattern>),
    /// Only the tags that match a pattern.
    Immutable(Vec<TagPattern>),
}

/// A pattern of tags. `*` stands for any characters. Every other character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(String);

impl Mutability {
    /// Whether `tag` can never move after it was pushed.
    #[must_use]
    pub fn fixes(&self, tag: &Tag) -> bool {
        let fits = |patterns: &[TagPattern]| patterns.iter().any(|pattern| pattern.fits(tag));
        match self {
            Self::Mutable(but) => fits(but),
            Self::Immutable(but) => !fits(but),
        }
    }
}

impl TagPattern {
    /// A pattern with this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `tag` matches the pattern.
    #[must_use]
    pub fn fits(&self, tag: &Tag) -> bool {
        // Search each part between two stars from the left, and the last part at the end. The time is linear in the
        // tag for each part.
        let tag = tag.as_str();
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == tag };
        let Some(mut tag) = tag.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            let Some((_, after)) = tag.split_once(part) else { return false };
            tag = after;
        }
        tag.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_pattern_star_matches_any_characters() {
        for (pattern, tag, fits) in [
            ("latest", "latest", true),
            ("latest", "latest-1", false),
            ("*", "anything", true),
            ("dev-*", "dev-1", true),
            ("dev-*", "dev-", true),
            ("dev-*", "a-dev-1", false),
            ("*-rc", "1.0-rc", true),
            ("*-rc", "1.0-rc1", false),
            ("v*.*", "v1.2", true),
            ("v*.*", "v12", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(TagPattern::new(pattern.into()).fits(&tag.parse().unwrap()), fits, "{pattern} {tag}");
        }
    }

    #[test]
    fn mutability_exclusions_invert_the_rule() {
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let but = || vec![TagPattern::new("latest".into()), TagPattern::new("dev-*".into())];
        assert!(Mutability::Immutable(Vec::new()).fixes(&tag("latest")));
        assert!(Mutability::Immutable(but()).fixes(&tag("1.0")) && !Mutability::Immutable(but()).fixes(&tag("dev-1")));
        assert!(!Mutability::Mutable(Vec::new()).fixes(&tag("1.0")));
        assert!(Mutability::Mutable(but()).fixes(&tag("latest")) && !Mutability::Mutable(but()).fixes(&tag("1.0")));
    }
}
