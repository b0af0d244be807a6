//! Makes third-party text safe to show: logs, error texts, labels, file names.
//!
//! The result has only printable characters and tabs. Terminal escapes, control characters and bidirectional overrides
//! are removed or escaped. No line is a command for a CI system. All functions are pure. Applying a function twice
//! gives the same result. Background: CVE-2021-25743 and CVE-2024-52005 (remote text controls the terminal),
//! CVE-2020-15228 (a log line is a CI command).

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

/// The bytes of a line that are read. The rest of the line is dropped and counted.
pub const MAX_INPUT_LINE: usize = 8 << 20;
/// The bytes of a line that are shown, including its mark.
pub const MAX_SHOWN_LINE: usize = 16 << 10;
/// The bytes of a line that combines third-party texts with text of polyarch, including its mark.
pub const MAX_COMPOSED_LINE: usize = 4 * MAX_SHOWN_LINE;
/// The lines of a text that are shown, including the mark.
pub const MAX_TEXT_LINES: usize = 200;

/// The longest escape sequence, in characters. A longer one is shown as text, so that it cannot hide anything.
const MAX_ESCAPE: usize = 4096;
/// The room for the mark of a cut line.
const MARK: usize = 40;

/// One safe line. Line feeds become spaces. Carriage returns separate versions of the line. The last version that is
/// not blank is kept, as in a terminal.
pub(super) fn line(bytes: &[u8]) -> String {
    line_within(bytes, MAX_SHOWN_LINE)
}

/// Like [`line`], with at most `most` bytes.
pub(super) fn line_within(bytes: &[u8], most: usize) -> String {
    let dropped = bytes.len().saturating_sub(MAX_INPUT_LINE);
    cut(neutralise(plain(&decode(&bytes[..bytes.len() - dropped]))), dropped, most)
}

/// Like [`line`], but without the parts that `hide` removes. Behind `bytes`, `dropped` more bytes were dropped. `hide`
/// sees the line before and after it is made safe. So it also finds a secret that contains an escape sequence or bytes
/// that are not text.
pub(super) fn line_without(hide: impl Fn(&[u8]) -> Cow<'_, [u8]>, bytes: &[u8], dropped: usize) -> String {
    let shown = plain(&decode(&hide(bytes)));
    let shown = match hide(shown.as_bytes()) {
        Cow::Borrowed(_) => shown,
        // A secret that begins or ends inside a character leaves a part of that character.
        Cow::Owned(bytes) => plain(&decode(&bytes)),
    };
    cut(neutralise(shown), dropped, MAX_SHOWN_LINE)
}

/// Safe text of several lines, separated by `\n`. Empty lines at the end are dropped.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    let bytes = &bytes[..end];
    let count = bytes.split(|byte| *byte == b'\n').count();
    let shown = if count > MAX_TEXT_LINES { MAX_TEXT_LINES - 1 } else { count };
    let mut lines: Vec<String> = bytes.split(|byte| *byte == b'\n').take(shown).map(line).collect();
    if count > shown {
        lines.push(format!("… [{} lines cut]", count - shown));
    }
    let mut text = lines.join("\n");
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Decodes UTF-8. Every other byte becomes `\xNN`.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    text
}

/// The last version of the line, without escape sequences and invisible characters.
fn plain(raw: &str) -> String {
    let (mut version, mut earlier) = (String::with_capacity(raw.len()), String::new());
    let mut rest = raw.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            '\u{9b}' => skip_csi(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\r' if version.trim().is_empty() => version.clear(),
            '\r' => earlier = std::mem::take(&mut version),
            '\n' => version.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => version.extend(c.escape_unicode()),
            c if is_shown(c) => version.push(c),
            _ => {}
        }
    }
    if version.trim().is_empty() && !earlier.is_empty() { earlier } else { version }
}

/// Whether a character may be shown. The joiners U+200C and U+200D are allowed, because emoji and several scripts need
/// them.
pub(super) fn is_shown(c: char) -> bool {
    let invisible = matches!(c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c == '\t' || !(c.is_control() || invisible)
}

/// Skips the sequence behind ESC (ECMA-48): `[` begins a control sequence, `]PX^_` a string. Any other character
/// begins a short sequence.
fn skip_escape(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_csi(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        _ => skip_while_then(rest, |c| matches!(c, ' '..='/'), |c| matches!(c, '0'..='~')),
    }
}

/// A control sequence: parameters and intermediates, then one final character.
fn skip_csi(rest: &mut Peekable<Chars<'_>>) {
    skip_while_then(rest, |c| matches!(c, ' '..='?'), |c| matches!(c, '@'..='~'));
}

/// Skips the characters that `inside` accepts, and the next one. Skips nothing if the next one does not end the
/// sequence.
fn skip_while_then(rest: &mut Peekable<Chars<'_>>, inside: fn(char) -> bool, ends: fn(char) -> bool) {
    let mut ahead = rest.clone();
    let end = ahead.by_ref().take(MAX_ESCAPE).find(|c| !inside(*c));
    if end.is_some_and(ends) {
        *rest = ahead;
    }
}

/// Skips the body of OSC, DCS, SOS, PM or APC, up to BEL or ST. Skips nothing if a control character or the limit
/// comes first.
///
/// Looking ahead stops at every control character. So the function reads no part of a line more than twice.
fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    match ahead.by_ref().take(MAX_ESCAPE).find(|c| c.is_control() && *c != '\t') {
        Some('\x07' | '\u{9c}') => *rest = ahead,
        Some('\x1b') if ahead.next() == Some('\\') => *rest = ahead,
        _ => {}
    }
}

/// Texts that make a line a command anywhere in the line: GitHub and Azure, TeamCity, GitLab, Travis.
pub(super) const COMMANDS: [&str; 6] =
    ["##[", "##vso[", "##teamcity[", "section_start:", "section_end:", "travis_fold:"];

/// Inserts a space after the first character of every text that a CI system reads as a command.
///
/// GitHub looks for `##[` anywhere in a line and for `::` at its trimmed start. Buildkite folds lines that begin with
/// `---`, `+++` or `~~~`. A ruler (`-----`) is not a command and is kept.
fn neutralise(mut line: String) -> String {
    let start = line.len() - line.trim_start().len();
    let fold = ["---", "+++", "~~~", "^^^ +++"];
    let is_fold = |mark: &str| line.strip_prefix(mark).is_some_and(|rest| !rest.starts_with(&mark[..1]));
    if fold.into_iter().any(is_fold) {
        line.insert(1, ' ');
    } else if line[start..].starts_with("::") {
        line.insert(start + 1, ' ');
    }
    let is_command = |at: usize| {
        let here = &line.as_bytes()[at..];
        COMMANDS.iter().any(|c| here.get(..c.len()).is_some_and(|h| h.eq_ignore_ascii_case(c.as_bytes())))
    };
    let found: Vec<usize> = (0..line.len()).filter(|at| is_command(*at)).collect();
    if found.is_empty() {
        return line;
    }
    let mut safe = String::with_capacity(line.len() + found.len());
    let mut from = 0;
    for at in found {
        safe.push_str(&line[from..=at]);
        safe.push(' ');
        from = at + 1;
    }
    safe.push_str(&line[from..]);
    safe
}

/// Cuts the line to `most` bytes, including the mark. `dropped` bytes were never read.
fn cut(mut line: String, dropped: usize, most: usize) -> String {
    if line.len() > most || dropped > 0 {
        let keep = line.floor_char_boundary(most - MARK);
        let missing = line.len() - keep + dropped;
        line.truncate(keep);
        let mark = format!("… [{missing} bytes cut]");
        line.push_str(&mark);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_safe(text: &str) -> bool {
        text.chars().all(|c| is_shown(c) && !matches!(c, '\u{202a}'..='\u{202e}'))
    }

    #[test]
    fn sanitised_text_cannot_control_the_terminal() {
        for (raw, shown) in [
            ("\x1b]0;owned\x07title", "title"),
            ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b]52;c;cm0gLXJm\x07clipboard", "clipboard"),
            ("\x1bPq#0;2;0\x1b\\dcs", "dcs"),
            ("\x1b_Gf=100\x1b\\apc", "apc"),
            ("\x1b^pm\x1b\\\x1bXsos\x1b\\end", "end"),
            ("\x1b[2J\x1b[1;1H\x1b[6ncleared", "cleared"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b[?1049h\x1b(B\x1bc\x1b7reset", "reset"),
            ("\u{9b}2Jc1\u{9d}0;title\u{9c}!", "c1!"),
            ("\x07bell\x08\x00\x7f\x0b\x0c", "bell"),
            ("invoice\u{202e}gpj.exe", "invoice\\u{202e}gpj.exe"),
            ("\u{feff}a\u{200b}b\u{2066}c", "ab\\u{2066}c"),
            ("👩\u{200d}💻\ttab", "👩\u{200d}💻\ttab"),
            ("a\u{2028}b\nc", "ab c"),
        ] {
            assert_eq!(line(raw.as_bytes()), shown, "{raw:?}");
        }
    }

    #[test]
    fn unfinished_escape_sequence_hides_no_text() {
        assert_eq!(line(b"\x1b]0;the rest of the line"), "0;the rest of the line");
        assert_eq!(line(b"\x1b[31"), "31");
        assert_eq!(line(b"\x1b[3\x1b[1mm"), "3m");
        assert_eq!(line(b"\x1b"), "");
        assert_eq!(line(b"\x1b]a\x1b"), "a");
        let long = [b"\x1b]52;c;".as_slice(), &vec![b'A'; 1 << 20], b"end"].concat();
        let shown = line(&long);
        assert!(shown.starts_with("52;c;AAAA") && shown.ends_with(" bytes cut]"), "{}", &shown[..40]);
    }

    #[test]
    fn invalid_utf8_bytes_are_shown_escaped() {
        assert_eq!(line(b"caf\xe9 \xff\xfe \x9b2J \xf0\x9f\x92"), r"caf\xe9 \xff\xfe \x9b2J \xf0\x9f\x92");
        assert_eq!(line("naïve 本".as_bytes()), "naïve 本");
    }

    #[test]
    fn carriage_return_keeps_the_last_version_of_a_line() {
        for (raw, shown) in [
            ("10%\r50%\r100%", "100%"),
            ("done\r", "done"),
            ("50%\r    \r", "50%"),
            ("50%\r\x1b[K", "50%"),
            ("\r\r", ""),
            ("  \r x", " x"),
        ] {
            assert_eq!(line(raw.as_bytes()), shown, "{raw:?}");
        }
    }

    #[test]
    fn sanitised_line_is_never_a_ci_command() {
        for (raw, shown) in [
            ("::set-env name=PATH::/evil", ": :set-env name=PATH::/evil"),
            (" \t::stop-commands::x", " \t: :stop-commands::x"),
            ("\u{200b}\x1b[0m::add-path::x", ": :add-path::x"),
            ("progress\r::error::x", ": :error::x"),
            (":::", ": ::"),
            ("std::vec::Vec", "std::vec::Vec"),
            ("text ##[set-output name=x]v", "text # #[set-output name=x]v"),
            ("####[group]", "### #[group]"),
            ("##\x07[add-mask]", "# #[add-mask]"),
            ("x##vso[task.setvariable]y", "x# #vso[task.setvariable]y"),
            ("##VSO[task]", "# #VSO[task]"),
            ("##teamcity[buildStatus]", "# #teamcity[buildStatus]"),
            ("## heading", "## heading"),
            ("section_start:1:a\r\x1b[0Ksection_end:1:a", "s ection_end:1:a"),
            ("travis_fold:start:x", "t ravis_fold:start:x"),
            ("--- fold", "- -- fold"),
            ("+++", "+ ++"),
            ("~~~ x", "~ ~~ x"),
            ("^^^ +++", "^ ^^ +++"),
            ("-----BEGIN", "-----BEGIN"),
            ("  --- indented", "  --- indented"),
        ] {
            assert_eq!(line(raw.as_bytes()), shown, "{raw:?}");
        }
    }

    #[test]
    fn long_line_is_cut_with_a_mark() {
        assert_eq!(line(&vec![b'x'; MAX_SHOWN_LINE]).len(), MAX_SHOWN_LINE);
        let shown = line(&vec![b'x'; MAX_INPUT_LINE + 5]);
        assert!(shown.len() <= MAX_SHOWN_LINE);
        assert!(shown.ends_with(&format!("… [{} bytes cut]", MAX_INPUT_LINE + 5 - (MAX_SHOWN_LINE - MARK))));
        assert_eq!(line(shown.as_bytes()), shown);
    }

    #[test]
    fn line_of_escapes_is_sanitised_in_linear_time() {
        let begun = std::time::Instant::now();
        for hostile in [b"\x1b]".as_slice(), b"\x1b[", b"\x1b ", "\u{9d}".as_bytes(), b"##[", b"\r"] {
            assert!(line(&hostile.repeat((1 << 20) / hostile.len())).len() <= MAX_SHOWN_LINE);
        }
        // The test takes well under a second. Looking ahead repeatedly would take minutes.
        assert!(begun.elapsed().as_secs() < 20);
    }

    #[test]
    fn sanitised_text_keeps_its_lines_and_is_bounded() {
        assert_eq!(text(b"one\r\ntwo\x1b[0m\n::three\n"), "one\ntwo\n: :three");
        let shown = text(&b"x\n".repeat(1000));
        assert_eq!(shown.lines().count(), MAX_TEXT_LINES);
        assert!(shown.ends_with("… [801 lines cut]"));
    }

    /// Bytes that resemble the attacks that the sanitiser prevents.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            proptest::sample::select(vec![
                "\x1b", "[", "]", "P", "\\", "\x07", "\r", "\n", "#", "##[", "vso[", "::", ":", "---", "-", "+++",
                "^^^", " ", "section_", "start:", "\u{9b}", "\u{9c}", "\u{9d}", "\u{202e}", "\u{200b}", "\u{200d}",
                "m", "é",
            ])
            .prop_map(|part| part.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn sanitising_text_twice_changes_nothing(raw in hostile()) {
            let once = line(&raw);
            prop_assert_eq!(line(once.as_bytes()), once.clone());
            let once = text(&raw);
            prop_assert_eq!(text(once.as_bytes()), once);
        }

        #[test]
        fn sanitised_text_has_only_printable_characters_and_tabs(raw in hostile()) {
            let shown = line(&raw);
            prop_assert!(is_safe(&shown), "{shown:?}");
            prop_assert!(!shown.trim_start().starts_with("::"));
            prop_assert!(COMMANDS.iter().all(|command| !shown.to_ascii_lowercase().contains(command)));
        }
    }
}
