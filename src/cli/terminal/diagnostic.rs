//! Formats errors as `error: …` and `hint: …`. An error of a plan shows its line of the plan.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet as Source};

use polyarch::text::Text;
pub(crate) use polyarch::text::chain;

use super::line::Line;
use super::style::{Color, Tone};
use super::typed::as_typed;

/// An error and its place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snippet<'a> {
    /// The file's name, as the user gave it.
    pub(crate) path: &'a str,
    /// The file's text.
    pub(crate) text: &'a str,
    /// The bytes that the error is about. An end outside of the text or inside of a character moves to the next border.
    pub(crate) range: Range<usize>,
    /// The error, in one line.
    pub(crate) message: &'a str,
    /// The next step of the user, in one line.
    pub(crate) hint: Option<&'a str>,
}

/// Columns that a snippet may take if the width of the terminal is unknown.
const WIDTH: usize = 140;

/// The error with its file, line, column, the source line and a caret. `color` is the colour setting of the output.
pub(crate) fn snippet(snippet: &Snippet<'_>, color: Color) -> Vec<Line> {
    // The snippet shows text of the file. A visible character replaces each character that could begin an escape.
    let text: String = snippet.text.chars().map(visible).collect();
    let shift = |at: usize| {
        let at = snippet.text.floor_char_boundary(at);
        snippet.text[..at].chars().map(|c| visible(c).len_utf8()).sum::<usize>()
    };
    let (start, end) = (shift(snippet.range.start), shift(snippet.range.end.max(snippet.range.start)));
    let (path, message) = (Text::line(snippet.path), Text::line(snippet.message));
    let hint = snippet.hint.map(|hint| Text::line(&*as_typed(hint)));
    let source = Source::source(text).path(&*path).annotation(AnnotationKind::Primary.span(start..end));
    let mut report = vec![Level::ERROR.primary_title(&*message).element(source)];
    report.extend(hint.as_deref().map(|hint| Group::with_title(Level::HELP.with_name("hint").secondary_title(hint))));
    let drawn = |color| renderer(color).term_width(WIDTH).render(&report);
    let plain: Vec<Line> = drawn(Color::Off).lines().map(Line::from).collect();
    // Without colours, a line that a CI system would run as a command is changed. With colours it is not drawn at all.
    let is_safe =
        || drawn(Color::Off).lines().zip(&plain).all(|(drawn, line)| line.render(Color::Off) == drawn.trim_end());
    match color {
        Color::On if is_safe() => drawn(Color::On).lines().map(Line::drawn).collect(),
        Color::On | Color::Off => plain,
    }
}

/// An error and a hint: `error: …`, `hint: …`. One or two lines.
pub(crate) fn message(message: &str, hint: Option<&str>) -> Vec<Line> {
    render(Line::new().toned(Tone::Error, "error:"), message, hint)
}

/// A warning and a hint, in the form of [`message`].
pub(crate) fn warning(message: &str, hint: Option<&str>) -> Vec<Line> {
    render(Line::new().toned(Tone::Warning, "warning:"), message, hint)
}

fn render(title: Line, message: &str, hint: Option<&str>) -> Vec<Line> {
    let message = Text::lines(message);
    let mut rest = message.lines();
    let first = title.then(format!(" {}", rest.next().unwrap_or_default()));
    [first].into_iter().chain(rest.map(Line::from)).chain(hint.map(self::hint)).collect()
}

/// `hint: …`, with polyarch's commands as the user types them.
pub(crate) fn hint(hint: &str) -> Line {
    Line::from(format!("hint: {}", as_typed(hint)))
}

fn renderer(color: Color) -> Renderer {
    match color {
        Color::On => Renderer::styled(),
        Color::Off => Renderer::plain(),
    }
}

/// The replacement for a character that must not reach a terminal.
fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::plain;

    const PLAN: &str = "version: 1\nimages:\n  hello:\n    tags: [1.10]\n";

    fn shown(lines: &[Line]) -> String {
        plain(lines).join("\n")
    }

    fn at(text: &str, range: Range<usize>) -> Snippet<'_> {
        Snippet { path: "build.yaml", text, range, message: "a tag must be a string", hint: Some("quote it: \"1.10\"") }
    }

    #[test]
    fn plan_error_shows_its_line() {
        let start = PLAN.find("1.10").unwrap();
        assert_eq!(
            shown(&snippet(&at(PLAN, start..start + 4), Color::Off)),
            include_str!("expected/snippet.txt").trim_end()
        );
    }

    #[test]
    fn plan_error_with_a_place_outside_the_text_does_not_panic() {
        for text in ["", "é", "a\u{7}é\n", PLAN] {
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    assert!(shown(&snippet(&at(text, start..end), Color::Off)).contains("a tag must be a string"));
                }
            }
        }
    }

    #[test]
    fn plan_excerpt_cannot_control_the_terminal() {
        let text = "name: \u{1b}]0;owned\u{7}\u{9b}2J\u{202e}x\r\n";
        for color in [Color::Off, Color::On] {
            let lines = snippet(&at(text, 6..8), color);
            let shown: String = lines.iter().map(|line| line.render(color) + "\n").collect();
            // Only the renderer's own colours are left.
            let shown = shown.replace("\u{1b}[", "").replace('\n', "");
            assert!(!shown.chars().any(char::is_control) && !shown.contains('\u{202e}'), "{shown:?}");
        }
    }

    #[test]
    fn plan_excerpt_is_never_a_ci_command() {
        for command in
            ["##vso[task.setvariable variable=x]y", "a ##[add-path]/evil", "##TeamCity[x]", "section_start:1:x"]
        {
            for color in [Color::Off, Color::On] {
                let lines = snippet(&at(&format!("name: {command}"), 6..8), color);
                let shown: String = lines.iter().map(|line| line.render(color) + "\n").collect();
                assert!(!shown.contains(command), "{color:?}: {shown:?}");
            }
        }
        let drawn = snippet(&at("name: web", 6..8), Color::On);
        assert!(drawn.iter().any(|line| line.render(Color::On).contains('\u{1b}')), "{drawn:?}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn error_names_each_cause_once() {
        let cause = || std::io::Error::other("connection refused");
        let told = shown(&message(&chain(&Outer("ping engine x86", cause())), Some("is the engine running?")));
        assert_eq!(told, "error: ping engine x86: connection refused\nhint: is the engine running?");
        let transparent = Outer("connection refused", cause());
        assert_eq!(shown(&message(&chain(&transparent), None)), "error: connection refused");
    }

    #[test]
    fn third_party_error_text_cannot_control_the_terminal() {
        let hostile = Outer("read", std::io::Error::other("\u{1b}[2Jgone\n::set-env name=x::y"));
        assert_eq!(shown(&message(&chain(&hostile), None)), "error: read: gone\n: :set-env name=x::y");
    }

    #[test]
    fn error_has_colour_only_on_request() {
        let lines = message(&chain(&Outer("x", std::io::Error::other("y"))), None);
        assert_eq!(lines[0].render(Color::On), "\u{1b}[1;31merror:\u{1b}[0m x: y");
    }
}
