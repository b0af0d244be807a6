//! The problems of a plan: all of them together, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// The text of a plan, and its path for messages and for relative paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The path as you would write it. Relative paths in the plan are relative to its directory.
    pub path: PathBuf,
    /// The text.
    pub text: String,
}

/// A place in the text of a plan or of a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Location {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The offset of the first byte in the text.
    pub offset: usize,
    /// The length of the place in bytes.
    pub length: usize,
}

impl Location {
    /// A line, counted from 1, without leading and trailing blanks. If the line does not exist, the place is the end
    /// of the text.
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

    /// The place at a line and a column in characters, both counted from 1.
    pub(in crate::plan) fn at(text: &str, line: u64, column: u64) -> Self {
        let nth = |count: u64| usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let before: usize = text.split_inclusive('\n').take(nth(line)).map(str::len).sum();
        let rest = text[before..].trim_start_matches('\u{feff}');
        let start = text.len() - rest.len();
        let inside = rest.char_indices().nth(nth(column)).map_or(rest.len(), |(at, _)| at);
        Self::of(text, start + inside..start + inside)
    }

    /// The place of the bytes `range` of `text`. A range beyond the end of `text` is cut.
    pub(in crate::plan) fn of(text: &str, range: Range<usize>) -> Self {
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

/// An error or a warning about a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// The place. `None`: the problem is on the command line.
    pub span: Option<Location>,
    /// The description, in one line.
    pub message: String,
    /// The next step, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why polyarch cannot use a plan: at least one problem, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors {
    /// The plan.
    pub source: SourceText,
    /// The problems. Problems of the command line come first.
    pub problems: Vec<Problem>,
}

/// One problem per line: `build.yaml:3:5: message`.
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
