//! Draws the lines of a file at which a build failed, below the failure.

use polyarch::run::FailedLines;

use super::line::Line;
use super::style::{Tone, shorten};

/// `--> Dockerfile:8`, and the lines with their numbers. A mark stands before each line that failed. Only the `width`
/// of a terminal cuts lines: the reader of a log has no other place to see the rest.
pub(crate) fn excerpt(lines: &FailedLines, width: Option<usize>) -> Vec<Line> {
    let numbers = (lines.first + lines.text.len()).to_string().len();
    let place = format!("{:numbers$}--> {}:{}", "", lines.file, lines.line);
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(numbers + 6).max(20));
    let drawn = lines.text.iter().zip(lines.first..).map(|(text, number)| {
        let failed = (lines.line..=lines.end_line).contains(&number);
        let (mark, tone) = if failed { ('>', Tone::Error) } else { (' ', Tone::Faint) };
        Line::new().toned(tone, format!(" {number:numbers$} | {mark} ")).then(shorten(text, room))
    });
    std::iter::once(Line::new().toned(Tone::Faint, place)).chain(drawn).collect()
}
