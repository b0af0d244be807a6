//! Annotations of an index and of its entries (OCI image-spec, "Annotations").

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Platform, PlatformError};

/// Annotations as they stand in an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// Those of the index itself.
    pub index: BTreeMap<String, String>,
    /// Those of its entries, by platform.
    pub entries: BTreeMap<Platform, BTreeMap<String, String>>,
}

impl Annotations {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.entries.values().all(BTreeMap::is_empty)
    }
}

/// An annotation that is asked for: `[SCOPE:]KEY=VALUE`, in buildx's words.
///
/// `index:`, the default, is the index; `entry:` every entry that is an image, `entry[PLATFORM]:` the one of a
/// platform; `manifest-descriptor` is another word for `entry`. Several scopes stand with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it stands; at least one.
    pub scopes: Vec<AnnotationScope>,
    /// Its key, which is not empty.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Where an annotation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnotationScope {
    /// At the index.
    Index,
    /// At every entry that is an image.
    Entries,
    /// At the entry of one platform.
    Entry(Platform),
}

/// Why a text is no annotation of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// No `=`, or nothing before it.
    #[error("an annotation has the form KEY=VALUE, index:KEY=VALUE or entry[PLATFORM]:KEY=VALUE")]
    Form,
    /// It begins with a quotation mark, which a shell would have taken away.
    #[error("the annotation begins with a quotation mark ({0}): write KEY=VALUE without it")]
    Quoted(char),
    /// What stands before the colon is no scope.
    #[error("`{0}` is no scope: an annotation stands at `index`, `entry` or `entry[PLATFORM]`")]
    Scope(String),
    /// The platform in brackets is none.
    #[error("`{0}` is not a platform: {1}")]
    Platform(String, PlatformError),
    /// An annotation of the image itself: the image would be another one.
    #[error("`{0}` would change an image, and an index lists images as they are")]
    Image(String),
}

impl FromStr for Annotation {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        if let Some(mark) = text.chars().next().filter(|first| ['"', '\'', '`'].contains(first)) {
            return Err(AnnotationError::Quoted(mark));
        }
        let (name, value) = text.split_once('=').ok_or(AnnotationError::Form)?;
        let (scopes, key) = match name.split_once(':') {
            Some((scopes, key)) if scopes.split(',').all(reads_as_scope) => {
                (scopes.split(',').map(str::parse).collect::<Result<_, _>>()?, key)
            }
            // A key may have a colon in it.
            _ => (vec![AnnotationScope::Index], name),
        };
        if key.is_empty() {
            return Err(AnnotationError::Form);
        }
        Ok(Self { scopes, key: key.to_owned(), value: value.to_owned() })
    }
}

/// Whether `text` is a word as scopes are, with something in brackets behind it or not.
fn reads_as_scope(text: &str) -> bool {
    let word = text.split_once('[').map_or(text, |(word, _)| word);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

impl FromStr for AnnotationScope {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        let (word, platform) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((word, platform)) => {
                let parsed = platform.parse().map_err(|error| AnnotationError::Platform(platform.to_owned(), error))?;
                (word, Some(parsed))
            }
            None => (text, None),
        };
        match (word, platform) {
            ("index", None) => Ok(Self::Index),
            ("entry" | "manifest-descriptor", None) => Ok(Self::Entries),
            ("entry" | "manifest-descriptor", Some(platform)) => Ok(Self::Entry(platform)),
            ("manifest", _) => Err(AnnotationError::Image(text.to_owned())),
            _ => Err(AnnotationError::Scope(text.to_owned())),
        }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.scopes.iter().enumerate() {
            let before = if place == 0 { "" } else { "," };
            match scope {
                AnnotationScope::Index => write!(f, "{before}index")?,
                AnnotationScope::Entries => write!(f, "{before}entry")?,
                AnnotationScope::Entry(platform) => write!(f, "{before}entry[{platform}]")?,
            }
        }
        write!(f, ":{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_written_as_buildx_has_them() {
        for (written, meant) in [
            ("a=b", "index:a=b"),
            ("a=", "index:a="),
            ("index:org.example.a=b=c:d", "index:org.example.a=b=c:d"),
            ("entry:a=b", "entry:a=b"),
            ("manifest-descriptor[linux/aarch64]:a=b", "entry[linux/arm64]:a=b"),
            ("index,manifest-descriptor[linux/arm]:a=b", "index,entry[linux/arm/v7]:a=b"),
            // A colon that ends no word of a scope is the key's.
            ("org.example:a=b", "index:org.example:a=b"),
        ] {
            assert_eq!(written.parse::<Annotation>().unwrap().to_string(), meant, "{written}");
        }
    }

    #[test]
    fn what_is_no_annotation_of_an_index_is_refused() {
        let error = |text: &str| text.parse::<Annotation>().unwrap_err().to_string();
        for text in ["", "a", "=b", "index:=b", "entry[linux/arm64]:=b"] {
            assert_eq!(error(text), AnnotationError::Form.to_string(), "{text}");
        }
        for (text, says) in [
            ("indx:a=b", "`indx` is no scope"),
            ("index[linux/amd64]:a=b", "`index[linux/amd64]` is no scope"),
            ("entry[linux/amd64:a=b", "`entry[linux/amd64` is no scope"),
            ("index-descriptor:a=b", "is no scope"),
            ("entry[arm]:a=b", "`arm` is not a platform"),
            ("\"index:a=b\"", "begins with a quotation mark (\")"),
            ("'a=b'", "begins with a quotation mark (')"),
            ("index,manifest:a=b", "`manifest` would change an image"),
            ("manifest[linux/amd64]:a=b", "would change an image"),
        ] {
            assert!(error(text).contains(says), "{text}: {}", error(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Annotation>();
        }
    }
}
