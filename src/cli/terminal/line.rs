//! Makes lines safe to print: every text that reaches a terminal or a log is such a line.

use std::fmt::{Display, Write as _};

use polyarch::text::Text;

use super::style::{Color, Tone};

/// One line with its coloured parts. [`Line::render`] sanitises all parts together: two harmless parts may together be
/// a command of a CI system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(Content);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Parts(Vec<(Option<Tone>, String)>),
    Drawn(String),
}

impl Line {
    pub(crate) fn new() -> Self {
        Self(Content::Parts(Vec::new()))
    }

    /// A line that a renderer drew with colours, from safe text only.
    pub(crate) fn drawn(line: &str) -> Self {
        Self(Content::Drawn(line.to_owned()))
    }

    /// Appends `text`.
    pub(crate) fn then(self, text: impl Display) -> Self {
        self.part(None, text)
    }

    /// Appends `text` in a colour.
    pub(crate) fn toned(self, tone: Tone, text: impl Display) -> Self {
        self.part(Some(tone), text)
    }

    /// Appends another line.
    pub(crate) fn and(self, more: Self) -> Self {
        let mut parts = self.parts();
        parts.extend(more.parts());
        Self(Content::Parts(parts))
    }

    /// The line, with `change` applied to each part.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        let parts = self.parts().into_iter().map(|(tone, text)| (tone, change(&text)));
        Self(Content::Parts(parts.collect()))
    }

    fn part(self, tone: Option<Tone>, text: impl Display) -> Self {
        let mut parts = self.parts();
        match parts.last_mut() {
            // Writing to a string never fails.
            Some((last, line)) if *last == tone => write!(line, "{text}").unwrap_or_default(),
            _ => parts.push((tone, text.to_string())),
        }
        Self(Content::Parts(parts))
    }

    fn parts(self) -> Vec<(Option<Tone>, String)> {
        match self.0 {
            Content::Parts(parts) => parts,
            // A drawn line keeps its colours only while it stands alone. Together with other parts it is ordinary text.
            Content::Drawn(line) => vec![(None, line)],
        }
    }

    /// The text of the line, without its end.
    pub(crate) fn render(&self, color: Color) -> String {
        let parts = match &self.0 {
            Content::Drawn(line) => return line.clone(),
            Content::Parts(parts) => parts,
        };
        let mut line = match color {
            Color::Off => Text::composed(parts.iter().map(|(_, text)| text.as_str()).collect::<String>()).to_string(),
            Color::On => parts.iter().map(|(tone, text)| color.paint(*tone, &Text::composed(text))).collect(),
        };
        line.truncate(line.trim_end().len());
        line
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().then(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(Content::Parts(vec![(None, text)]))
    }
}

impl From<&Text> for Line {
    fn from(text: &Text) -> Self {
        Self::new().then(text)
    }
}
