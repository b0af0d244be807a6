//! The body of a registry's refusal (OCI distribution-spec, "Error Codes").

use std::fmt;

use serde::Deserialize;

use crate::oci::null;
use crate::text::printable;

/// The most errors that polyarch keeps of one answer.
const MAX_ERRORS: usize = 5;
/// The longest code and message that polyarch keeps, in characters.
const MAX_TEXT: usize = 300;

/// The errors of a refusal. The list is empty if the answer is not an OCI error document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The errors, in the registry's order, at most five.
    pub errors: Vec<OciError>,
}

/// One error of a registry. Its texts are printable and have at most 300 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciError {
    /// `NAME_UNKNOWN`, `DENIED`, `TOOMANYREQUESTS`, …; empty if the answer was plain text.
    pub code: String,
    /// The registry's message for people.
    pub message: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(deserialize_with = "null::list")]
    errors: Vec<Entry>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default, deserialize_with = "null::or_default")]
    code: String,
    #[serde(default, deserialize_with = "null::or_default")]
    message: String,
}

impl Answer {
    /// Reads a body, which may be cut off.
    pub(in crate::registry) fn read(body: &[u8]) -> Self {
        let errors = match serde_json::from_slice::<Document>(body) {
            Ok(document) => document.errors.into_iter().take(MAX_ERRORS).map(OciError::from).collect(),
            Err(_) => plain(body).into_iter().collect(),
        };
        Self { errors }
    }

    /// Whether the message of one of the errors contains `words`.
    pub(in crate::registry) fn says(&self, words: &str) -> bool {
        self.errors.iter().any(|error| error.message.contains(words))
    }

    /// Whether one of the errors has this code.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }
}

impl From<Entry> for OciError {
    fn from(entry: Entry) -> Self {
        Self { code: printable(&entry.code, MAX_TEXT), message: printable(&entry.message, MAX_TEXT) }
    }
}

/// The first line of a plain text, or the title of an HTML page.
fn plain(body: &[u8]) -> Option<OciError> {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_TEXT)]);
    let text = text.trim();
    let line = if text.starts_with('<') { title(text)? } else { text.lines().next()? };
    (!line.is_empty()).then(|| OciError { code: String::new(), message: printable(line, MAX_TEXT) })
}

/// The title of a page, without the status that nginx writes in front: `502 Bad Gateway`.
fn title(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    Some(title.trim_start_matches(|c: char| c.is_ascii_digit() || c.is_whitespace()).trim_end())
}

/// `: message; message`, or nothing: this ends a sentence. The alternate form (`{:#}`) has the codes, too: `: CODE: message`.
///
/// A code stands for a message that the registry did not send.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            f.write_str(if i == 0 { ": " } else { "; " })?;
            match (error.code.as_str(), error.message.as_str()) {
                (code, "") => f.write_str(code)?,
                (code, message) if f.alternate() && !code.is_empty() => write!(f, "{code}: {message}")?,
                (_, message) => f.write_str(message)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_error_document_is_read() {
        let body =
            br#"{"errors":[{"code":"NAME_UNKNOWN","message":"no\u001b[31m repo","detail":{"a":1}},{"code":"X"}]}"#;
        let answer = Answer::read(body);
        assert_eq!(answer.to_string(), ": no [31m repo; X");
        assert_eq!(format!("{answer:#}"), ": NAME_UNKNOWN: no [31m repo; X");
        assert!(answer.has("NAME_UNKNOWN") && !answer.has("DENIED"));
    }

    #[test]
    fn null_in_a_registry_error_reads_as_absent() {
        for (body, said) in [
            (&br#"{"errors":null}"#[..], ""),
            (br#"{"errors":[{"code":null,"message":"too busy"}]}"#, ": too busy"),
            (br#"{"errors":[{"code":"DENIED","message":null,"detail":null}]}"#, ": DENIED"),
        ] {
            assert_eq!(Answer::read(body).to_string(), said);
        }
    }

    #[test]
    fn error_text_is_the_first_line_or_the_title_of_a_page() {
        assert_eq!(Answer::read(b"too busy\nstack trace").to_string(), ": too busy");
        let page = b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>";
        assert_eq!(Answer::read(page).to_string(), ": No required SSL certificate was sent");
        assert_eq!(Answer::read(b"<html><title>413</title>").to_string(), "");
        assert_eq!(Answer::read(b"<html>oops").to_string(), "");
        assert_eq!(Answer::read(b"").to_string(), "");
        assert!(Answer::read(&vec![b'x'; 1 << 16]).to_string().len() <= MAX_TEXT + 2);
    }
}
