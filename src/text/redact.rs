//! Hides secrets in the output of builds.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::shown::Text;

/// The text that replaces a secret.
const MARK: &str = "***";
/// The shortest text that polyarch hides, in bytes. A shorter text is a part of too many words.
pub(crate) const MIN_HIDDEN: usize = 6;
/// The longest text that polyarch looks for as a whole. polyarch hides a longer text in pieces. A line with only a part
/// of the text then shows nothing either.
const PIECE: usize = 64;
/// The columns at which programs break lines of base64: 76 for GNU and busybox, 64 for PEM.
const COLUMNS: [usize; 2] = [76, 64];

type Piece = Zeroizing<Vec<u8>>;

/// Finds secrets in one line, in the forms in which programs print them:
/// - unchanged;
/// - escaped as in JSON or a URL;
/// - in base64.
///
/// Each line of a secret is a secret too. The debug output of a `Redactor` shows no secret.
///
/// The search looks for all secrets at once (Aho and Corasick). Its time grows with the length of the line, but not
/// with the number of secrets. Secrets that begin alike do not slow the search down.
#[derive(Default)]
pub struct Redactor {
    finder: Finder,
}

#[derive(Default)]
enum Finder {
    /// There is nothing to hide.
    #[default]
    Nothing,
    Pieces(AhoCorasick),
    /// The secrets are too large for the search, so polyarch shows no line.
    Everything,
}

/// The texts to hide.
#[derive(Default)]
struct Forms(Vec<Piece>);

impl Redactor {
    /// Creates a redactor that hides `secrets`.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = Forms::default();
        for value in secrets {
            forms.encoded(value);
            for line in value.split(|byte| b"\r\n".contains(byte)) {
                forms.escaped(line);
                if line.len() < value.len() {
                    forms.encoded(line);
                }
                let bare = line.trim_ascii();
                if bare.len() < line.len() {
                    forms.escaped(bare);
                    forms.encoded(bare);
                }
            }
        }
        forms.0.sort_by(|a, b| a.as_slice().cmp(b));
        forms.0.dedup();
        if forms.0.is_empty() {
            return Self::default();
        }
        let found = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms.0.iter().map(|piece| piece.as_slice()));
        Self { finder: found.map_or(Finder::Everything, Finder::Pieces) }
    }

    /// Returns `line` without secrets. Secrets that overlap or touch are hidden as one.
    pub(crate) fn bytes<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        Self::without(line, &self.secrets_of(line))
    }

    /// Returns a safe text of a line without secrets. `line` is the beginning of the line, and `dropped` counts the
    /// bytes after it. A secret that continues in the dropped bytes is hidden too.
    pub(crate) fn line(&self, line: &[u8], dropped: usize) -> Text {
        let mut shown = line.len();
        if dropped > 0 && !matches!(self.finder, Finder::Nothing) {
            shown -= shown.min(PIECE + MIN_HIDDEN);
            let across = self.secrets_of(line).into_iter().find(|secret| secret.contains(&shown));
            shown = across.map_or(shown, |secret| secret.end);
        }
        Text::line_without(|bytes| self.bytes(bytes), &line[..shown], dropped + line.len() - shown)
    }

    /// Returns `text` without secrets.
    pub(crate) fn text(&self, text: Text) -> Text {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => text,
            Cow::Owned(shown) => Text::lines(shown),
        }
    }

    /// Returns the positions of secrets, in order.
    fn secrets_of(&self, line: &[u8]) -> Vec<Range<usize>> {
        let finder = match &self.finder {
            Finder::Nothing => return Vec::new(),
            Finder::Everything => return std::iter::once(0..line.len()).collect(),
            Finder::Pieces(finder) => finder,
        };
        let mut secrets: Vec<Range<usize>> = Vec::new();
        // The search yields secrets in the order of their ends. At one byte, at most one secret of each length ends.
        for found in finder.find_overlapping_iter(line) {
            let mut secret = found.range();
            while let Some(last) = secrets.pop_if(|last| last.end >= secret.start) {
                secret.start = secret.start.min(last.start);
            }
            secrets.push(secret);
        }
        secrets
    }

    fn without<'a>(line: &'a [u8], secrets: &[Range<usize>]) -> Cow<'a, [u8]> {
        let Some(last) = secrets.last() else { return Cow::Borrowed(line) };
        let (mut shown, mut from) = (Vec::with_capacity(line.len()), 0);
        for secret in secrets {
            shown.extend_from_slice(&line[from..secret.start]);
            shown.extend_from_slice(MARK.as_bytes());
            from = secret.end;
        }
        shown.extend_from_slice(&line[last.end..]);
        Cow::Owned(shown)
    }
}

impl Forms {
    fn hide(&mut self, mut text: &[u8]) {
        if text.len() < MIN_HIDDEN {
            return;
        }
        while text.len() > PIECE {
            // The last two pieces have the same length, so that no piece is as short as a word.
            let (piece, rest) = text.split_at(if text.len() < 2 * PIECE { text.len() / 2 } else { PIECE });
            self.0.push(Piece::new(piece.to_vec()));
            text = rest;
        }
        self.0.push(Piece::new(text.to_vec()));
    }

    /// Hides `value` unchanged, as in a JSON string, and as in a URL or a form.
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

    /// Hides `value` in both alphabets of base64:
    /// - alone;
    /// - with the line feed that `echo` adds;
    /// - in lines;
    /// - inside a longer text, such as the password in `user:password`.
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
            // The bytes before the secret shift it by 0, 1 or 2 bytes. polyarch leaves out characters that also encode
            // a byte of a neighbour.
            for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
                let moved = Zeroizing::new([&[0; 2][..before], value].concat());
                let text = Zeroizing::new(encoder.encode(&*moved));
                self.hide(text.get(shared..moved.len() * 4 / 3).unwrap_or_default().as_bytes());
            }
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(…)")
    }
}

/// Encodes all bytes with `%`, except the unreserved characters of RFC 3986.
fn percent(value: &[u8], encode: impl Fn(u8) -> String) -> Piece {
    let mut text = Piece::new(Vec::with_capacity(value.len() * 3));
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
    use std::time::Duration;

    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn hiding(values: &[&[u8]]) -> Redactor {
        Redactor::new(values.iter().copied())
    }

    #[test]
    fn secret_is_hidden_in_every_printed_form() {
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
            assert_eq!(redactor.text(format!("a {form} b").into()), "a *** b", "{form}");
        }
        for user in ["u", "us", "use", "user"] {
            let login = STANDARD.encode(format!("{user}:{secret}"));
            let shown = redactor.text(login.as_str().into());
            assert!(shown.contains(MARK) && shown.len() < login.len() - 8, "{shown}");
        }
    }

    #[test]
    fn each_line_of_a_secret_is_hidden_also_as_base64() {
        let key = format!("-----BEGIN KEY-----\r\n{}\n  {}\nabc\n", "QUJD".repeat(16), "second line");
        let redactor = hiding(&[key.as_bytes()]);
        for line in ["-----BEGIN KEY-----", "second line", &"QUJD".repeat(16)] {
            assert_eq!(redactor.text(format!("x{line}y").into()), "x***y");
        }
        assert_eq!(redactor.text("abc".into()), "abc");
        let encoded = STANDARD.encode(&key);
        for line in encoded.as_bytes().chunks(76) {
            let shown = redactor.bytes(line);
            assert!(shown.starts_with(b"***") && shown.len() <= 8, "{}", String::from_utf8_lossy(&shown));
        }
    }

    #[test]
    fn longest_of_two_secrets_with_one_prefix_is_hidden() {
        assert_eq!(hiding(&[b"secret", b"secret-2"]).text("secret-2 secret-3".into()), "*** ***-3");
    }

    #[test]
    fn overlapping_or_adjacent_secrets_are_hidden_whole() {
        let redactor = hiding(&[b"abcdefgh", b"efghijkl", b"mnopqr"]);
        assert_eq!(redactor.text("1 abcdefghijkl 2 abcdefghmnopqr 3 xefghijkl".into()), "1 *** 2 *** 3 x***");
        // The second secret begins inside the first secret and ends after it.
        assert_eq!(hiding(&[b"outer-inner-outer", b"inner-outer-more"]).text("outer-inner-outer-more".into()), "***");
    }

    #[test]
    fn part_of_a_long_secret_is_hidden() {
        let secret: String = (0..2000).map(|n| char::from(b'a' + u8::try_from(n * n % 26).unwrap())).collect();
        let redactor = hiding(&[secret.as_bytes()]);
        assert_eq!(redactor.text(format!("a {secret} b").into()), "a *** b");
        let shown = redactor.text(secret[..500].into());
        assert!(shown.len() < PIECE + 5, "{shown}");
        // A line that is cut does not show the beginning of a secret either.
        for cut in 1..20 {
            let line = format!("{}{}", "x".repeat(200), &secret[..cut]);
            let shown = redactor.line(line.as_bytes(), 100_000);
            assert!(shown.starts_with("xxx") && shown.find('…').unwrap() <= 200, "{cut}: {shown}");
        }
        let shown = redactor.line(format!("{}{}", "x".repeat(200), &secret[..PIECE]).as_bytes(), 100_000);
        assert!(shown.starts_with("xxx") && !shown.contains(&secret[..6]), "{shown}");
    }

    /// The processor time of the fastest of three runs.
    fn seconds(work: impl Fn()) -> f64 {
        let now = || {
            let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap()).as_secs_f64()
        };
        (0..3).map(|_| (now(), work(), now())).map(|(from, (), to)| to - from).fold(f64::MAX, f64::min)
    }

    #[test]
    fn redaction_time_does_not_grow_with_similar_secrets() {
        // Each secret begins like the line, but the line contains none of the secrets.
        let secrets = |number: usize| -> Vec<Vec<u8>> {
            (0..number).map(|n| format!("{}b{n:08}", "a".repeat(50)).into_bytes()).collect()
        };
        let alike = |number: usize| hiding(&secrets(number).iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (few, many) = (alike(10), alike(500));
        let line = "a".repeat(40_000);
        let (short, long) = (&line.as_bytes()[..20_000], line.as_bytes());
        let time = |redactor: &Redactor, line: &[u8]| seconds(|| assert_eq!(redactor.bytes(line).len(), line.len()));
        let (one, two) = (time(&many, short), time(&many, long));
        assert!(two < 3.0 * one + 0.01, "twice the log takes {two} s instead of {one} s");
        let least = time(&few, short);
        assert!(one < 20.0 * least + 0.01, "50 times the secrets take {one} s instead of {least} s");
    }

    #[test]
    fn redaction_of_nested_secrets_takes_linear_time() {
        let secrets: Vec<_> = (MIN_HIDDEN..=PIECE).map(|length| vec![b'a'; length]).collect();
        let redactor = hiding(&secrets.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let line = vec![b'a'; 20_000];
        let time = |line: &[u8]| seconds(|| assert_eq!(&*redactor.bytes(line), b"***"));
        let (one, two) = (time(&line[..10_000]), time(&line));
        assert!(two < 3.0 * one + 0.01, "twice the log takes {two} s instead of {one} s");
    }

    #[test]
    fn secrets_shorter_than_six_bytes_are_not_hidden() {
        assert_eq!(hiding(&[b"12345"]).text("12345 MTIzNDU=".into()), "12345 MTIzNDU=");
    }

    proptest! {
        #[test]
        fn text_without_a_secret_is_unchanged(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let redactor = hiding(&[b"\x00never\x01in\x02there\x03"]);
            prop_assert_eq!(&*redactor.bytes(&line), &line[..]);
        }
    }
}
