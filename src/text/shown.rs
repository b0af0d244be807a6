//! The type of text that is safe to show.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

use super::sanitize;

/// Text that is safe to show, on one or more lines. Only the sanitiser creates it.
///
/// The text contains printable characters, tabs and newlines. No line is a command of a CI system. A line has at most
/// [`MAX_SHOWN_LINE`](super::MAX_SHOWN_LINE) bytes. Every conversion sanitises, so any third-party text can be
/// converted: `format!("…").into()`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Box<str>);

impl Text {
    /// One line. Newlines become spaces.
    #[must_use]
    pub fn line(text: impl AsRef<[u8]>) -> Self {
        Self(sanitize::line(text.as_ref()).into())
    }

    /// One line that combines third-party texts with text of polyarch. The line may have
    /// [`MAX_COMPOSED_LINE`](super::MAX_COMPOSED_LINE) bytes.
    #[must_use]
    pub fn composed(text: impl AsRef<[u8]>) -> Self {
        Self(sanitize::line_within(text.as_ref(), sanitize::MAX_COMPOSED_LINE).into())
    }

    /// All lines of the text, at most [`MAX_TEXT_LINES`](super::MAX_TEXT_LINES).
    #[must_use]
    pub fn lines(text: impl AsRef<[u8]>) -> Self {
        Self(sanitize::text(text.as_ref()).into())
    }

    /// The line of `bytes`, without the parts that `hide` removes. Behind `bytes`, `dropped` more bytes were dropped.
    #[must_use]
    pub fn line_without(hide: impl Fn(&[u8]) -> Cow<'_, [u8]>, bytes: &[u8], dropped: usize) -> Self {
        Self(sanitize::line_without(hide, bytes, dropped).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line, like [`Text::line`].
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::line(text)
    }
}

/// One line, like [`Text::line`].
impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::line(text)
    }
}

/// One line, like [`Text::line`].
impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::line(text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
