//! What is wrong with a plan: all of it together, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A plan as it was read: its path, for messages and for the paths in it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the user would write it. Relative paths in the plan are relative to its directory.
    pub path: PathBuf,
    /// The text.
    pub text: String,
}

/// A place in a text: in a plan's, or in a Dockerfile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Location {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The offset of the first byte in the text.
    pub offset: usize,
    /// How many bytes long the place is.
    pub length: usize,
}

impl Location {
    /// A line, from 1, without the blanks around it; a line that is not there is the end of the text.
    #[must_use]
    pub fn line(text: &str, line: usize) -> Self {
        let line_start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
        let line = text[line_start..].lines().next().unwrap_or_default();
        let start = line_start + line.len() - line.trim_start().len();
        Self::of(text, start..start + line.trim().len())
    }

    /// The bytes of the place in the text.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }

    /// The place at a line and a column in characters, both from 1.
    pub(super) fn at(text: &str, line: u64, column: u64) -> Self {
        let nth = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let before: usize = text.split_inclusive('\n').take(nth(line)).map(str::len).sum();
        let rest = text[before..].trim_start_matches('\u{feff}');
        let start = text.len() - rest.len();
        let inside = rest.char_indices().nth(nth(column)).map_or(rest.len(), |(at, _)| at);
        Self::of(text, start + inside..start + inside)
    }

    /// The place of the bytes `range` of `text`; it ends with the text, whatever the range says.
    pub(super) fn of(text: &str, range: Range<usize>) -> Self {
        let (start, end) = (text.floor_char_boundary(range.start), text.floor_char_boundary(range.end));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before[line_start..].chars().filter(|&c| c != '\u{feff}').count() + 1,
            offset: start,
            length: end.saturating_sub(start),
        }
    }
}

/// Something that is wrong with a plan, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// Where; nothing where it is about the command line.
    pub span: Option<Location>,
    /// What: one line.
    pub message: String,
    /// What to do: one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why a plan cannot be used: at least one problem, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors {
    /// The plan.
    pub source: SourceText,
    /// The problems; those of the command line first.
    pub problems: Vec<Problem>,
}

/// One problem a line: `build.yaml:3:5: message`.
impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            if let Some(at) = &problem.span {
                write!(f, "{}:{}:{}: ", self.source.path.display(), at.line, at.column)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}
