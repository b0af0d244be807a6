//! The catalogue of messages: each text of the program that a person may read, in one file that a reviewer reads whole.
//!
//! A change of a message is a change of `messages.txt`. `SNAPSHOTS=overwrite` writes the file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::layers::source::{Source, Text};
use crate::layers::sources;
use crate::support::expected;

/// Words that stand before a literal of the source that no user sees.
const HIDDEN: [&str; 6] = ["reason = ", ".expect(", "unreachable!(", "debug!(", "debug_assert", "Regex::new("];

/// The text of a literal as a person reads it: on one line, without the quotes.
fn shown(literal: &str) -> String {
    static BROKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\\n\s*").unwrap());
    let text = BROKEN.replace_all(literal.trim_start_matches(['r', 'b', '#']).trim_matches(['#', '"']), "");
    text.replace("\\\"", "\"").replace('\n', "⏎")
}

/// Whether a text has words for a person: two, and not only the places of values.
fn is_message(text: &str) -> bool {
    static VALUES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^}]*\}").unwrap());
    let words = VALUES.replace_all(text, " ");
    words.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 1).count() > 1
}

fn messages(source: &Source, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let is_hidden = |literal: &&Text| {
        let line = lines[literal.line - 1];
        let before =
            literal.text.lines().next().and_then(|first| line.split_once(first)).map_or(line, |(before, _)| before);
        HIDDEN.iter().any(|hidden| before.contains(hidden))
    };
    let mut shown: Vec<_> = source.literals.iter().filter(|one| !is_hidden(one)).map(|one| shown(&one.text)).collect();
    shown.retain(|text| is_message(text));
    shown
}

#[test]
fn catalogue_has_every_message_of_the_program() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut catalogue =
        "Each text of the program that a person may read. tests/messages.rs compares this file.\n".to_owned();
    let mut count = 0;
    for source in sources() {
        let messages = messages(source, &fs::read_to_string(package.join(&source.path)).unwrap());
        if !messages.is_empty() {
            count += messages.len();
            write!(catalogue, "\n{}\n", source.path).unwrap();
            for message in messages {
                writeln!(catalogue, "  {message}").unwrap();
            }
        }
    }
    assert!(count > 1000, "{count}");
    expected::is_file("tests/messages.txt", &catalogue);
}
