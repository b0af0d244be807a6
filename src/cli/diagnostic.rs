//! How errors are shown: `error: …` and `hint: …`; errors of a plan with the line that they are in.

use std::error::Error;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet as Source};

use crate::cli::output::Color;

/// An error and where in a file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snippet<'a> {
    /// The file's name, as the user gave it; sanitised.
    pub(crate) path: &'a str,
    /// The file's text.
    pub(crate) text: &'a str,
    /// Which bytes of it are meant; what lies outside or inside of a character is moved to where it can be.
    pub(crate) range: Range<usize>,
    /// What is wrong: one line.
    pub(crate) message: &'a str,
    /// What to do: one line.
    pub(crate) hint: Option<&'a str>,
}

/// Columns that a snippet may take where the terminal does not say.
const WIDTH: usize = 140;

/// The error with its file, line, column, the source line and a caret; several lines, without the last end of line.
pub(crate) fn snippet(snippet: &Snippet<'_>, color: Color) -> String {
    // Text of the file is shown, and so may hold no escape: one visible character for each that is not.
    let text: String = snippet.text.chars().map(visible).collect();
    let shift = |at: usize| {
        let at = snippet.text.floor_char_boundary(at);
        snippet.text[..at].chars().map(|c| visible(c).len_utf8()).sum::<usize>()
    };
    let (start, end) = (shift(snippet.range.start), shift(snippet.range.end.max(snippet.range.start)));
    let source = Source::source(text).path(snippet.path).annotation(AnnotationKind::Primary.span(start..end));
    let mut report = vec![Level::ERROR.primary_title(snippet.message).element(source)];
    report.extend(snippet.hint.map(|hint| Group::with_title(Level::HELP.with_name("hint").secondary_title(hint))));
    renderer(color).term_width(WIDTH).render(&report)
}

/// The error, what caused it, and a hint: `error: …: …`. One or two lines.
pub(crate) fn error(error: &dyn Error, hint: Option<&str>, color: Color) -> String {
    let message = chain(error);
    let mut report = vec![Group::with_title(Level::ERROR.primary_title(&message))];
    report.extend(hint.map(|hint| Group::with_title(Level::HELP.with_name("hint").secondary_title(hint))));
    renderer(color).render(&report)
}

fn renderer(color: Color) -> Renderer {
    match color {
        Color::On => Renderer::styled(),
        Color::Off => Renderer::plain(),
    }
}

/// The error's text and its sources', without those that say again what was said.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

/// What stands for a character that must not reach a terminal.
fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => '\u{fffd}',
        c => c,
    }
}
