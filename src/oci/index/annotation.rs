//! Annotations of an index and of its entries (OCI image-spec, "Annotations").

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::oci::{Platform, PlatformError};

/// The annotations in an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// The annotations of the index itself.
    pub index: BTreeMap<String, String>,
    /// The annotations of its entries, by platform.
    pub entries: BTreeMap<Platform, BTreeMap<String, String>>,
}

impl Annotations {
    /// Whether there are no annotations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.entries.values().all(BTreeMap::is_empty)
    }
}

/// A requested annotation: `[SCOPE:]KEY=VALUE`, in the form of buildx.
///
/// `index:` is the index, and the default. `entry:` is every entry of an image. `entry[PLATFORM]:` is the entry of one
/// platform. `manifest-descriptor` means the same as `entry`. Commas separate several scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The annotated places. There is at least one.
    pub scopes: Vec<AnnotationScope>,
    /// The key, which is not empty.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The annotated place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnotationScope {
    /// The index.
    Index,
    /// Every entry of an image.
    Entries,
    /// The entry of one platform.
    Entry(Platform),
}

/// Why a text is not an annotation of an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// The text has no `=`, or no text before it.
    #[error("an annotation has the form KEY=VALUE, index:KEY=VALUE or entry[PLATFORM]:KEY=VALUE")]
    Form,
    /// The text begins with a quotation mark, which a shell would have removed.
    #[error("the annotation begins with a quotation mark ({0}): write KEY=VALUE without quotation marks")]
    Quoted(char),
    /// The text before the colon is not a scope.
    #[error("`{0}` is not a scope: the scopes are `index`, `entry` and `entry[PLATFORM]`")]
    Scope(String),
    /// The text in brackets is not a platform.
    #[error("`{0}` is not a platform: {1}")]
    Platform(String, PlatformError),
    /// The scope is the image itself. An annotation there would change the image.
    #[error("`{0}` would change the image, and polyarch annotates only the index and its entries")]
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
            // A key may contain a colon.
            _ => (vec![AnnotationScope::Index], name),
        };
        if key.is_empty() {
            return Err(AnnotationError::Form);
        }
        Ok(Self { scopes, key: key.to_owned(), value: value.to_owned() })
    }
}

/// Whether `text` has the form of a scope: a lower-case word, optionally with text in brackets behind it.
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
    fn annotations_use_the_syntax_of_buildx() {
        for (written, meant) in [
            ("a=b", "index:a=b"),
            ("a=", "index:a="),
            ("index:org.example.a=b=c:d", "index:org.example.a=b=c:d"),
            ("entry:a=b", "entry:a=b"),
            ("manifest-descriptor[linux/aarch64]:a=b", "entry[linux/arm64]:a=b"),
            ("index,manifest-descriptor[linux/arm]:a=b", "index,entry[linux/arm/v7]:a=b"),
            // A colon that does not end a scope belongs to the key.
            ("org.example:a=b", "index:org.example:a=b"),
        ] {
            assert_eq!(written.parse::<Annotation>().unwrap().to_string(), meant, "{written}");
        }
    }

    #[test]
    fn invalid_index_annotations_are_refused() {
        let error = |text: &str| text.parse::<Annotation>().unwrap_err().to_string();
        for text in ["", "a", "=b", "index:=b", "entry[linux/arm64]:=b"] {
            assert_eq!(error(text), AnnotationError::Form.to_string(), "{text}");
        }
        for (text, says) in [
            ("indx:a=b", "`indx` is not a scope"),
            ("index[linux/amd64]:a=b", "`index[linux/amd64]` is not a scope"),
            ("entry[linux/amd64:a=b", "`entry[linux/amd64` is not a scope"),
            ("index-descriptor:a=b", "is not a scope"),
            ("entry[arm]:a=b", "`arm` is not a platform"),
            ("\"index:a=b\"", "begins with a quotation mark (\")"),
            ("'a=b'", "begins with a quotation mark (')"),
            ("index,manifest:a=b", "`manifest` would change the image"),
            ("manifest[linux/amd64]:a=b", "would change the image"),
        ] {
            assert!(error(text).contains(says), "{text}: {}", error(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn annotation_parser_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Annotation>();
        }
    }
}
