//! Collects the output lines of build steps, in bounded memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::text::{Redactor, Text};

/// The most bytes of an unfinished line in memory. Later bytes of the line are dropped and counted.
const MAX_LINE: usize = 64 << 10;
/// The most bytes of the unfinished lines of all steps. Bytes without room are dropped and counted.
const MAX_UNFINISHED: usize = 4 << 20;
/// The memory for a step besides its name and its text, in bytes.
const ENTRY: usize = 256;

/// Turns the output of steps into safe lines without secrets. The result does not depend on how the output is split.
#[derive(Debug, Default)]
pub(super) struct Logs {
    unfinished: BTreeMap<String, Line>,
    /// The bytes of all unfinished lines.
    held: usize,
    secrets: Arc<Redactor>,
}

/// A line whose end has not arrived yet.
#[derive(Debug, Default)]
struct Line {
    text: Vec<u8>,
    dropped: usize,
}

impl Logs {
    /// Hides the secrets that `secrets` finds.
    pub(super) fn hiding(secrets: Arc<Redactor>) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Takes a piece of the output of `step`, and returns the line that the piece completes. A line break may only be
    /// at the end of the piece.
    pub(in crate::run) fn push(&mut self, step: &str, piece: &[u8]) -> Option<Text> {
        let mut line = self.unfinished.remove(step).unwrap_or_default();
        self.held = self.held.saturating_sub(taken(step, &line));
        let (piece, is_complete) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
        // A complete line needs no memory.
        let taken_by_others = if is_complete { 0 } else { self.held + taken(step, &Line::default()) };
        let room = MAX_UNFINISHED.saturating_sub(taken_by_others);
        for version in piece.split_inclusive(|byte| *byte == b'\r') {
            match version.strip_suffix(b"\r") {
                Some(version) => {
                    line.append(version, room);
                    line.turn_back(room, &self.secrets);
                }
                None => line.append(version, room),
            }
        }
        if is_complete {
            return Some(line.shown(&self.secrets));
        }
        if line.is_empty() {
            return None;
        }
        if room == 0 {
            // Even the name of the step has no room.
            return Some(line.shown(&self.secrets));
        }
        self.held += taken(step, &line);
        self.unfinished.insert(step.to_owned(), line);
        None
    }

    /// The lines without an end, after the build has ended.
    pub(in crate::run) fn finish(self) -> impl Iterator<Item = Text> {
        self.unfinished.into_values().map(move |line| line.shown(&self.secrets))
    }
}

/// The bytes that an unfinished line takes.
fn taken(step: &str, line: &Line) -> usize {
    step.len() + ENTRY + line.text.len()
}

impl Line {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.dropped == 0
    }

    fn append(&mut self, bytes: &[u8], room: usize) {
        let (kept, dropped) = bytes.split_at(MAX_LINE.min(room).saturating_sub(self.text.len()).min(bytes.len()));
        self.text.extend_from_slice(kept);
        self.dropped += dropped.len();
    }

    /// Handles a carriage return: the next bytes overwrite the line. A long line keeps only the visible text, so a
    /// progress bar may run forever. A line without room keeps its beginning, because later bytes are dropped.
    fn turn_back(&mut self, room: usize, secrets: &Redactor) {
        let is_full = self.text.len() >= room;
        if self.text.len() >= MAX_LINE / 2 || self.dropped > 0 && !is_full {
            self.text = self.shown(secrets).as_bytes().to_vec();
            self.dropped = 0;
        }
        self.append(b"\r", room);
    }

    fn shown(&self, secrets: &Redactor) -> Text {
        secrets.line(&self.text, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::MAX_SHOWN_LINE;

    fn push(logs: &mut Logs, step: &str, bytes: &[u8]) -> Vec<Text> {
        bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|piece| logs.push(step, piece)).collect()
    }

    fn hiding(secrets: &[&[u8]]) -> Logs {
        Logs::hiding(Redactor::new(secrets.iter().copied()).into())
    }

    #[test]
    fn secret_with_an_escape_sequence_inside_is_hidden() {
        let mut log = hiding(&[b"hunter2!", b"\x1b[0mraw"]);
        assert_eq!(log.push("a", b"a hun\x1b[31mter2! b \x1b[0mraw\n").unwrap(), "a *** b ***");
    }

    #[test]
    fn endless_log_line_is_bounded_and_counts_lost_bytes() {
        let mut logs = Logs::default();
        for _ in 0..9 {
            assert!(push(&mut logs, "a", &vec![b'x'; 1 << 20]).is_empty());
            assert!(logs.held <= MAX_LINE + ENTRY + 1, "{}", logs.held);
        }
        let shown = push(&mut logs, "a", b"\nnext\nrest");
        assert!(shown[0].len() <= MAX_SHOWN_LINE, "{}", shown[0].len());
        let lost = (9 << 20) - shown[0].find('…').unwrap();
        assert!(shown[0].ends_with(&format!("… [{lost} bytes cut]")), "{}", &shown[0][shown[0].len() - 40..]);
        assert_eq!(shown[1], "next");
        assert_eq!(logs.finish().collect::<Vec<_>>(), ["rest"]);
    }

    #[test]
    fn log_lines_of_many_steps_share_one_memory_bound() {
        let mut logs = Logs::default();
        let mut told = Vec::new();
        for step in 0..20_000 {
            told.extend(push(&mut logs, &format!("sha256:{step:064}"), b"no end"));
            assert!(logs.held <= MAX_UNFINISHED, "{}", logs.held);
        }
        assert_eq!(told.len() + logs.unfinished.len(), 20_000);
        assert!(told.iter().all(|line| *line == "… [6 bytes cut]"), "{:?}", told.first());
        for step in 0..100 {
            push(&mut logs, &format!("sha256:{step:064}"), &vec![b'x'; 4 << 20]);
            assert!(logs.held <= MAX_UNFINISHED, "{}", logs.held);
        }
        // A complete line needs no room.
        assert_eq!(push(&mut logs, "new", b"line\n"), ["line"]);
        let steps = logs.unfinished.len();
        assert_eq!(logs.finish().count(), steps);
    }

    #[test]
    fn progress_bar_without_room_takes_no_time() {
        for room in [0, 10 << 10, 100 << 10] {
            let mut logs = Logs::default();
            let mut step = 0;
            while logs.held + room + MAX_LINE + 2 * ENTRY < MAX_UNFINISHED {
                push(&mut logs, &step.to_string(), &vec![b'x'; MAX_LINE]);
                step += 1;
            }
            let began = std::time::Instant::now();
            push(&mut logs, "bar", &b"x\r".repeat(1_000_000));
            push(&mut logs, "ends", &b"\r".repeat(1_000_000));
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "{room}: {:?}", began.elapsed());
            assert!(logs.held <= MAX_UNFINISHED, "{room}: {}", logs.held);
        }
    }

    #[test]
    fn endless_progress_bar_shows_its_last_state() {
        let mut logs = Logs::default();
        for percent in 0..5_000 {
            assert!(push(&mut logs, "a", format!("\r{percent} of 100000 {}", "#".repeat(40)).as_bytes()).is_empty());
            assert!(logs.held <= MAX_LINE + ENTRY + 1, "{}", logs.held);
        }
        push(&mut logs, "a", b"\r   \r");
        assert_eq!(push(&mut logs, "a", b"\n"), [format!("4999 of 100000 {}", "#".repeat(40)).as_str()]);
        // The same holds if the overwritten text was longer than the line limit.
        push(&mut logs, "a", &vec![b'x'; 1 << 20]);
        assert_eq!(push(&mut logs, "a", b"\rdone\n"), ["done"]);
    }

    proptest! {
        #[test]
        fn secret_is_hidden_however_the_log_is_split(
            secret in "[ -~]{6,40}",
            before in "[a-z]{0,9}",
            after in "[a-z]{0,9}",
            cut in prop::collection::vec(1_usize..8, 0..40),
        ) {
            let log = format!("{before}{secret}{after}\n");
            let mut logs = hiding(&[secret.as_bytes()]);
            let (mut rest, mut lines) = (log.as_bytes(), Vec::new());
            for length in cut {
                let (chunk, tail) = rest.split_at(length.min(rest.len()));
                lines.extend(logs.push("a", chunk));
                rest = tail;
            }
            lines.extend(logs.push("a", rest));
            prop_assert!(lines.len() == 1 && !lines[0].contains(&secret) && lines[0].contains("***"), "{lines:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn log_lines_do_not_depend_on_how_the_log_is_split(
            parts in prop::collection::vec(prop_oneof![
                prop::sample::select(vec!["\x1b", "[", "]", "\x07", "\r", "\n", "##[", "::", " ", "m", "é", "\u{9b}"])
                    .prop_map(|part| part.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..4),
                (1_usize..70_000).prop_map(|length| vec![b'x'; length]),
            ], 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let raw = parts.concat();
            let mut whole = Logs::default();
            let mut expected = push(&mut whole, "a", &raw);
            expected.extend(whole.finish());
            let mut split = Logs::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.index(raw.len() + 1)).collect();
            cuts.push(raw.len());
            cuts.sort_unstable();
            let (mut shown, mut from) = (Vec::new(), 0);
            for at in cuts {
                shown.extend(push(&mut split, "a", &raw[from..at]));
                from = at;
            }
            shown.extend(split.finish());
            prop_assert_eq!(shown, expected);
        }
    }
}
