//! The lines of a Dockerfile where a build failed. BuildKit attaches the whole file and a range of lines to the status
//! of a failed Solve (BuildKit, `solver/errdefs`, `Source`; google.rpc.Status, `details`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::Deserialize;

use crate::context::{AddedLines, lines_of_control_characters, lines_of_step};

/// The lines shown before the first marked line, and after the last one.
const AROUND: usize = 2;
/// The most marked lines that are shown. The last of them stands for the rest.
const MOST_MARKED: usize = 12;
/// The longest line that is shown, in bytes. A mark stands for the rest.
const LONGEST: usize = 4096;

/// A part of a file with marked lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The number of its first line, counted from 1.
    pub first: usize,
    /// Its lines: at most 16, each of at most 4 KiB, with a mark where it was cut.
    pub lines: Vec<String>,
    /// The numbers of the first and the last marked line.
    pub marked: (usize, usize),
}

/// The type of a detail with a source (BuildKit, `solver/errdefs/source.go`).
const SOURCE: &str = "errdefs.Source";

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// BuildKit writes its own details as JSON.
#[derive(Deserialize)]
struct Source {
    info: Info,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Info {
    data: String,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
    #[serde(default)]
    end: Position,
}

#[derive(Deserialize, Default)]
struct Position {
    #[serde(default)]
    line: usize,
}

impl Excerpt {
    /// The lines of the step that BuildKit calls `step`, if they can be identified. Engines before 23.0 do not report
    /// which lines failed.
    #[must_use]
    pub fn of_step(dockerfile: &[u8], step: &str) -> Option<Self> {
        let (first, last) = lines_of_step(dockerfile, step)?;
        Self::of_lines(dockerfile, first, last)
    }

    /// The lines that copy a file with control characters in its name.
    #[must_use]
    pub fn of_control_characters(dockerfile: &[u8]) -> Option<Self> {
        let (first, last) = lines_of_control_characters(dockerfile)?;
        Self::of_lines(dockerfile, first, last)
    }

    /// The lines from `first` to `last`, counted from 1.
    #[must_use]
    pub fn of_lines(dockerfile: &[u8], first: usize, last: usize) -> Option<Self> {
        cut(&String::from_utf8_lossy(dockerfile), first, last)
    }
}

/// The first source of `details`, without the lines that polyarch `added` to the file.
pub(super) fn excerpt(details: &[u8], added: AddedLines) -> Option<Excerpt> {
    let status = RpcStatus::decode(details).ok()?;
    status.details.iter().filter(|detail| detail.type_url.contains(SOURCE)).find_map(|detail| {
        let source: Source = serde_json::from_slice(&detail.value).ok()?;
        let text = String::from_utf8_lossy(&STANDARD.decode(source.info.data).ok()?).into_owned();
        let first = source.ranges.iter().map(|range| range.start.line).min()?;
        let last = source.ranges.iter().map(|range| range.end.line.max(range.start.line)).max()?;
        cut(&added.without(&text), added.original(first), added.original(last))
    })
}

fn cut(text: &str, first: usize, last: usize) -> Option<Excerpt> {
    let lines: Vec<&str> = text.lines().collect();
    if first == 0 || first > lines.len() {
        return None;
    }
    let last = last.min(lines.len()).min(first.saturating_add(MOST_MARKED - 1));
    let (from, to) = (first.saturating_sub(AROUND).max(1), (last + AROUND).min(lines.len()));
    let short = |line: &&str| match line.floor_char_boundary(LONGEST) {
        end if end < line.len() => format!("{}…", line[..end].trim_end()),
        _ => line.trim_end().to_owned(),
    };
    Some(Excerpt { first: from, lines: lines[from - 1..to].iter().map(short).collect(), marked: (first, last) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{AddedStages, add_stages};

    /// A status like BuildKit's for a failure at these lines of `text`.
    fn details(text: &str, first: usize, last: usize) -> Vec<u8> {
        let (data, definition) = (STANDARD.encode(text), serde_json::Value::Null);
        let source = serde_json::json!({
            "info": { "filename": "Dockerfile", "data": data, "definition": definition },
            "ranges": [{ "start": { "line": first }, "end": { "line": last } }],
        });
        let detail =
            |kind: &str, value: Vec<u8>| Detail { type_url: format!("github.com/moby/buildkit/{kind}"), value };
        let details = vec![
            detail("errdefs.Vertex+json", br#"{"digest":"sha256:0"}"#.to_vec()),
            detail("errdefs.Source+json", source.to_string().into_bytes()),
        ];
        RpcStatus { details }.encode_to_vec()
    }

    const FILE: &str = "FROM a\nRUN one\nRUN two \\\n  && three\nRUN four\nRUN five\nRUN six\n";

    #[test]
    fn excerpt_shows_two_lines_before_and_after() {
        let excerpt = excerpt(&details(FILE, 3, 4), AddedLines::default()).unwrap();
        assert_eq!((excerpt.first, excerpt.marked), (1, (3, 4)));
        assert_eq!(excerpt.lines.join("\n"), "FROM a\nRUN one\nRUN two \\\n  && three\nRUN four\nRUN five");
        let at_the_end = super::excerpt(&details(FILE, 7, 7), AddedLines::default()).unwrap();
        assert_eq!((at_the_end.first, at_the_end.lines.len()), (5, 3));
    }

    #[test]
    fn excerpt_omits_added_lines() {
        let stages: AddedStages = [("base".parse().unwrap(), "localhost:5000/base:1".parse().unwrap())].into();
        let with_stage = add_stages(FILE.as_bytes(), &stages).unwrap();
        let text = String::from_utf8(with_stage.text).unwrap();
        let excerpt = excerpt(&details(&text, 4, 5), with_stage.added).unwrap();
        assert_eq!((excerpt.marked, excerpt.lines[0].as_str()), ((3, 4), "FROM a"));
    }

    #[test]
    fn excerpt_cuts_long_steps_and_lines() {
        let text = format!("FROM a\nRUN {}\n{}", "x".repeat(10_000), "  && y \\\n".repeat(100));
        let excerpt = excerpt(&details(&text, 2, 102), AddedLines::default()).unwrap();
        assert_eq!(excerpt.marked, (2, 13));
        assert!(excerpt.lines[1].len() <= LONGEST + '…'.len_utf8() && excerpt.lines[1].ends_with("x…"));
        assert!(excerpt.lines.len() < 20);
    }

    #[test]
    fn status_without_a_usable_source_has_no_excerpt() {
        for details in [Vec::new(), b"garbage".to_vec(), details(FILE, 0, 0), details(FILE, 99, 99), details("", 1, 1)]
        {
            assert_eq!(excerpt(&details, AddedLines::default()), None);
        }
    }
}
