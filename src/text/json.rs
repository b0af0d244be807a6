//! JSON that is safe to show. The values are unchanged, but every character that a terminal or a CI system would act
//! on is written as `\uXXXX`.
//!
//! RFC 8259 requires such escapes only for U+0000–U+001F, and `serde_json` writes no others. No line of a document
//! begins with the text of a string. So a `::` at the beginning of a line needs no escape.

use std::fmt::Write as _;
use std::ops::Deref;

use serde::Serialize;

use super::sanitize::{COMMANDS, is_shown};

/// A JSON document that is safe to show, without a newline at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The document on one line.
    ///
    /// # Errors
    /// `value` has no JSON form.
    pub fn line(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(|json| Self(visible(&json)))
    }

    /// The document for people and programs: one value per line.
    ///
    /// # Errors
    /// `value` has no JSON form.
    pub fn pretty(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string_pretty(value).map(|json| Self(visible(&json)))
    }

    /// A third-party document with the same values. `None`: the bytes are not JSON.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let json = std::str::from_utf8(bytes).ok()?;
        serde_json::from_str::<serde::de::IgnoredAny>(json).ok()?;
        Some(Self(visible(json)))
    }
}

impl Deref for Json {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

fn visible(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    let mut command_at = None;
    for (at, c) in json.char_indices() {
        // Outside of strings a document is ASCII and has no command. Inside a string, the second character of a
        // command is escaped, because a backslash may precede the first one.
        match c {
            // White space between values. serde_json does not write it.
            '\r' => {}
            c if is_plain(c) && command_at != Some(at) => shown.push(c),
            // Writing to a string never fails.
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(shown, "\\u{unit:04x}").unwrap_or_default()),
        }
        if is_command(&json.as_bytes()[at..]) {
            command_at = Some(at + 1);
        }
    }
    shown
}

fn is_plain(c: char) -> bool {
    c == '\n' || is_shown(c) && !matches!(c, '\u{202a}'..='\u{202e}')
}

fn is_command(rest: &[u8]) -> bool {
    let begins = |command: &str| rest.get(..command.len()).is_some_and(|r| r.eq_ignore_ascii_case(command.as_bytes()));
    COMMANDS.iter().any(|command| begins(command))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn shown_json_has_no_terminal_control_characters() {
        let value = json!({ "k\u{9b}2J": "a\u{1b}[2J\u{7f}\u{9d}52;c;x\u{9c}\u{202e}\u{2066}\u{2028}\u{2029}\u{200b}\u{e0041}é👩\u{200d}💻" });
        let expected = "{\"k\\u009b2J\":\"a\\u001b[2J\\u007f\\u009d52;c;x\\u009c\\u202e\\u2066\\u2028\\u2029\\u200b\\udb40\\udc41é👩\u{200d}💻\"}";
        assert_eq!(&*Json::line(&value).unwrap(), expected);
    }

    #[test]
    fn shown_json_has_no_ci_commands() {
        let value = json!([
            "x##[add-path]/evil",
            "##VSO[task]",
            "####[",
            "\travis_fold:",
            "\n::set-output name=a::b",
            "section_start:1"
        ]);
        for text in [
            Json::line(&value).unwrap(),
            Json::pretty(&value).unwrap(),
            Json::of(value.to_string().as_bytes()).unwrap(),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text:?}");
            let lower = text.to_ascii_lowercase();
            assert!(COMMANDS.iter().all(|command| !lower.contains(command)), "{text:?}");
            assert!(text.lines().all(|line| !line.trim_start().starts_with("::")), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn shown_json_keeps_its_values(texts in prop::collection::vec(any::<String>(), 0..8)) {
            let shown = Json::pretty(&texts).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), texts);
            let is_visible = |c| is_plain(c) && !matches!(c, '\u{7f}'..='\u{9f}');
            prop_assert!(shown.chars().all(is_visible), "{:?}", shown);
        }
    }
}
