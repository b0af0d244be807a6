//! Hides secrets in what a build says.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::auth::SecretBytes;

/// What stands in the place of a secret.
const MARK: &str = "***";
/// Shortest text that is hidden, in bytes: a shorter one is part of too many words.
pub(super) const MIN_HIDDEN: usize = 6;
/// Where programs break lines of base64: GNU and busybox, PEM.
const COLUMNS: [usize; 2] = [76, 64];

type Prefix = [u8; MIN_HIDDEN];
type Text = Zeroizing<Vec<u8>>;

/// Finds secrets in one line, in the forms in which programs print them: as they are, escaped as in JSON or a URL,
/// and in base64. Of a secret of several lines each line is one. It cannot be printed.
#[derive(Default)]
pub struct Redactor {
    /// By how they begin, the longest first.
    hidden: HashMap<Prefix, Vec<Text>>,
}

impl Redactor {
    /// Hides `secrets`.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretBytes>) -> Self {
        let mut all = Self::default();
        for secret in secrets {
            let value = secret.expose();
            all.encoded(value);
            for line in value.split(|byte| b"\r\n".contains(byte)) {
                all.escaped(line);
                if line.len() < value.len() {
                    all.encoded(line);
                }
                let bare = line.trim_ascii();
                if bare.len() < line.len() {
                    all.escaped(bare);
                    all.encoded(bare);
                }
            }
        }
        for texts in all.hidden.values_mut() {
            texts.sort_by(|a, b| (b.len(), &**b).cmp(&(a.len(), &**a)));
            texts.dedup();
        }
        all
    }

    fn hide(&mut self, text: &[u8]) {
        if let Some(prefix) = text.first_chunk() {
            self.hidden.entry(*prefix).or_default().push(Text::new(text.to_vec()));
        }
    }

    /// As it is, as in a JSON string, and as in a URL or a form.
    fn escaped(&mut self, value: &[u8]) {
        if value.len() < MIN_HIDDEN {
            return;
        }
        self.hide(value);
        if let Ok(text) = std::str::from_utf8(value)
            && let Ok(json) = serde_json::to_string(text).map(Zeroizing::new)
        {
            self.hide(json[1..json.len() - 1].as_bytes());
        }
        let lower = |byte: u8| format!("%{byte:02x}");
        let upper = |byte: u8| format!("%{byte:02X}");
        let form = |byte: u8| if byte == b' ' { "+".to_owned() } else { upper(byte) };
        self.hide(&percent(value, lower));
        self.hide(&percent(value, upper));
        self.hide(&percent(value, form));
    }

    /// In base64, both alphabets: alone, with the line feed that `echo` adds, in lines, and within something longer,
    /// as the password in `user:password` is.
    fn encoded(&mut self, value: &[u8]) {
        if value.len() < MIN_HIDDEN {
            return;
        }
        for encoder in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for end in [&b""[..], b"\n"] {
                let text = Zeroizing::new(encoder.encode(&*Zeroizing::new([value, end].concat())));
                self.hide(text.as_bytes());
                for columns in COLUMNS {
                    text.as_bytes().chunks(columns).for_each(|line| self.hide(line));
                }
            }
            // What comes before moves it by 0, 1 or 2 bytes. Characters that it shares with its neighbours are left out.
            for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
                let moved = Zeroizing::new([&[0; 2][..before], value].concat());
                let text = Zeroizing::new(encoder.encode(&*moved));
                self.hide(text.get(shared..moved.len() * 4 / 3).unwrap_or_default().as_bytes());
            }
        }
    }

    /// `line` without secrets.
    pub(super) fn bytes<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let (mut shown, mut from, mut at) = (Vec::new(), 0, 0);
        while !self.hidden.is_empty() && at + MIN_HIDDEN <= line.len() {
            match self.found(&line[at..]) {
                Some(length) => {
                    shown.extend_from_slice(&line[from..at]);
                    shown.extend_from_slice(MARK.as_bytes());
                    at += length;
                    from = at;
                }
                None => at += 1,
            }
        }
        if from == 0 {
            return Cow::Borrowed(line);
        }
        shown.extend_from_slice(&line[from..]);
        Cow::Owned(shown)
    }

    /// `text` without secrets.
    pub(super) fn text(&self, text: String) -> String {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => text,
            // A secret that begins or ends within a character leaves a part of it.
            Cow::Owned(shown) => String::from_utf8_lossy(&shown).into_owned(),
        }
    }

    /// The length of the longest secret that `rest` begins with.
    fn found(&self, rest: &[u8]) -> Option<usize> {
        let texts = self.hidden.get(rest.first_chunk::<MIN_HIDDEN>()?)?;
        texts.iter().find(|text| rest.starts_with(text)).map(|text| text.len())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(…)")
    }
}

/// Percent-encoded, but for what RFC 3986 calls unreserved.
fn percent(value: &[u8], encode: impl Fn(u8) -> String) -> Text {
    let mut text = Text::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            text.extend(encode(*byte).bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::sanitize::LineAssembler;
    use super::*;

    fn hiding(values: &[&[u8]]) -> Redactor {
        let values: Vec<_> = values.iter().map(|value| SecretBytes::new(value.to_vec())).collect();
        Redactor::new(&values)
    }

    #[test]
    fn every_form_in_which_programs_print_a_secret_is_hidden() {
        let secret = "p ss/w\"rd+?1";
        let redactor = hiding(&[secret.as_bytes()]);
        let forms = [
            secret.to_owned(),
            r#"p ss/w\"rd+?1"#.to_owned(),
            "p%20ss%2Fw%22rd%2B%3F1".to_owned(),
            "p%20ss%2fw%22rd%2b%3f1".to_owned(),
            "p+ss%2Fw%22rd%2B%3F1".to_owned(),
            STANDARD.encode(secret).trim_end_matches('=').to_owned(),
            STANDARD.encode(format!("{secret}\n")).trim_end_matches('=').to_owned(),
            URL_SAFE_NO_PAD.encode(secret),
        ];
        for form in forms {
            assert_eq!(redactor.text(format!("a {form} b")), "a *** b", "{form}");
        }
        for user in ["u", "us", "use", "user"] {
            let login = STANDARD.encode(format!("{user}:{secret}"));
            let shown = redactor.text(login.clone());
            assert!(shown.contains(MARK) && shown.len() < login.len() - 8, "{shown}");
        }
    }

    #[test]
    fn each_line_of_a_secret_is_one_and_so_is_its_base64() {
        let key = format!("-----BEGIN KEY-----\r\n{}\n  {}\nabc\n", "QUJD".repeat(16), "second line");
        let redactor = hiding(&[key.as_bytes()]);
        for line in ["-----BEGIN KEY-----", "second line", &"QUJD".repeat(16)] {
            assert_eq!(redactor.text(format!("x{line}y")), "x***y");
        }
        assert_eq!(redactor.text("abc".into()), "abc");
        let encoded = STANDARD.encode(&key);
        for line in encoded.as_bytes().chunks(76) {
            let shown = redactor.bytes(line);
            assert!(shown.starts_with(b"***") && shown.len() <= 8, "{}", String::from_utf8_lossy(&shown));
        }
    }

    #[test]
    fn the_longest_secret_is_hidden_where_one_begins_with_the_other() {
        assert_eq!(hiding(&[b"secret", b"secret-2"]).text("secret-2 secret-3".into()), "*** ***-3");
    }

    #[test]
    fn an_escape_sequence_within_a_secret_does_not_save_it() {
        let mut log = LineAssembler::hiding(Arc::new(hiding(&[b"hunter2!", b"\x1b[0mraw"])));
        assert_eq!(log.push(b"a hun\x1b[31mter2! b \x1b[0mraw\n"), ["a *** b ***"]);
    }

    #[test]
    fn words_of_fewer_than_six_bytes_stay() {
        assert_eq!(hiding(&[b"12345"]).text("12345 MTIzNDU=".into()), "12345 MTIzNDU=");
    }

    proptest! {
        #[test]
        fn no_split_of_a_log_shows_a_secret(
            secret in "[ -~]{6,40}",
            before in "[a-z]{0,9}",
            after in "[a-z]{0,9}",
            cut in prop::collection::vec(1_usize..8, 0..40),
        ) {
            let log = format!("{before}{secret}{after}\n");
            let mut assembler = LineAssembler::hiding(Arc::new(hiding(&[secret.as_bytes()])));
            let (mut rest, mut lines) = (log.as_bytes(), Vec::new());
            for length in cut {
                let (chunk, tail) = rest.split_at(length.min(rest.len()));
                lines.extend(assembler.push(chunk));
                rest = tail;
            }
            lines.extend(assembler.push(rest));
            prop_assert!(lines.len() == 1 && !lines[0].contains(&secret) && lines[0].contains(MARK), "{lines:?}");
        }

        #[test]
        fn what_holds_no_secret_stays_as_it_is(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let redactor = hiding(&[b"\x00never\x01in\x02there\x03"]);
            prop_assert_eq!(&*redactor.bytes(&line), &line[..]);
        }
    }
}
