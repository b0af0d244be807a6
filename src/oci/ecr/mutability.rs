//! Which tags of a repository may move (Amazon ECR, "Image tag mutability").

use crate::oci::Tag;

/// Which tags of a repository may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutability {
    /// All but those that one of the patterns fits.
    Mutable(Vec<TagPattern>),
    /// None but those that one of the patterns fits.
    Immutable(Vec<TagPattern>),
}

/// A part of the tags: `*` stands for any characters, everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(String);

impl Mutability {
    /// Whether `tag`, once it names an image, names it for ever.
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
    /// The pattern that is written so.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `tag` is one of them.
    #[must_use]
    pub fn fits(&self, tag: &Tag) -> bool {
        // The text between two stars is looked for from the left, the last at the end: linear in the tag for each part.
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
    fn a_star_stands_for_any_characters() {
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
    fn exclusions_turn_the_rule_around() {
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let but = || vec![TagPattern::new("latest".into()), TagPattern::new("dev-*".into())];
        assert!(Mutability::Immutable(Vec::new()).fixes(&tag("latest")));
        assert!(Mutability::Immutable(but()).fixes(&tag("1.0")) && !Mutability::Immutable(but()).fixes(&tag("dev-1")));
        assert!(!Mutability::Mutable(Vec::new()).fixes(&tag("1.0")));
        assert!(Mutability::Mutable(but()).fixes(&tag("latest")) && !Mutability::Mutable(but()).fixes(&tag("1.0")));
    }
}
