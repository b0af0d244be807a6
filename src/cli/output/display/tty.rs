//! Draws the live view: a row for each platform at work, above the end of its log, and a count below all rows.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use polyarch::run::{Event, EventSink, ImageEvent, JobEvent, Report};

use super::ending::ending;
use super::lines::{LineFormatter, lost};
use super::rows::Rows;
use super::view::{Display, Lost};
use crate::cli::terminal::line::Line;
use crate::cli::terminal::screen::Narrowed;
use crate::cli::terminal::style::{self, Color, short_digests};
use crate::cli::terminal::writer::{Lines, Pace, Paced};

/// The least time between two draws. The lines of that time appear above the rows at the next draw.
const FRAME: Duration = Duration::from_millis(50);
/// The number of lines that wait at most.
const MAX_PENDING: usize = 1000;
/// Rows of the terminal that stay free for the lines above the live rows, and for the cursor.
const ROWS_FOR_LINES: usize = 3;
/// Columns that rows leave free: some terminals wrap a full row, and some characters are wider than Unicode's tables
/// say.
const SPARE_COLUMNS: usize = 2;
/// Clears from the cursor to the end of its row (ECMA-48, EL).
const CLEAR_ROW: &str = "\x1b[K";
/// Clears from the cursor to the end of the screen (ECMA-48, ED).
const CLEAR_BELOW: &str = "\x1b[J";

/// The size of the terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Size {
    /// The size of stderr's terminal, or 24 × 80 if it is unknown.
    fn of_stderr() -> Self {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let or = |length: u16, default| if length == 0 { default } else { usize::from(length) };
        size.map_or(Self { rows: 24, columns: 80 }, |size| Self {
            rows: or(size.ws_row, 24),
            columns: or(size.ws_col, 80),
        })
    }
}

/// Draws a row for each job at work, below the lines that stay on the terminal.
///
/// The cursor stands at the beginning of the row below the last row. Text that the user types, and the `^C` of the
/// terminal, stand in that row. Each row ends with a line feed, so that no terminal joins rows when it gets wider.
/// polyarch removes the rows before it writes lines, so the terminal itself wraps and scrolls the lines. It never hides
/// the cursor and sets no mode: a killed run leaves at most its last picture.
pub(crate) struct Tty<W: Write> {
    out: Lines<W>,
    size: Box<dyn Fn() -> Size + Send>,
    /// The width of each row on the terminal, in columns.
    standing: Vec<usize>,
    /// The terminal's width when the rows were drawn.
    columns: usize,
    narrowed: Narrowed,
    rows: Rows,
    words: LineFormatter,
    color: Color,
    pending: Vec<Line>,
    flushed: Duration,
}

impl<W: Write> fmt::Debug for Tty<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tty").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Tty<Paced<std::io::Stderr>> {
    pub(crate) fn stderr(color: Color, narrowed: Narrowed, pace: Pace) -> Self {
        let out = Paced::new(std::io::stderr(), pace);
        Self::new(out, Box::new(Size::of_stderr), narrowed, color)
    }
}

impl<W: Write> Tty<W> {
    /// A live view that draws on `out`, a terminal.
    pub(crate) fn new(out: W, size: Box<dyn Fn() -> Size + Send>, narrowed: Narrowed, color: Color) -> Self {
        Self {
            out: Lines::new(out),
            size,
            standing: Vec::new(),
            columns: 0,
            narrowed,
            rows: Rows::default(),
            words: LineFormatter::default(),
            color,
            pending: Vec::new(),
            flushed: Duration::ZERO,
        }
    }

    /// Writes the lines that wait, and draws the rows anew.
    fn draw(&mut self, at: Duration) {
        self.flushed = at;
        let size = (self.size)();
        let room = size.rows.saturating_sub(ROWS_FOR_LINES).max(1);
        let columns = size.columns.saturating_sub(SPARE_COLUMNS).max(1);
        let rows = self.rows.lines(at, room, columns);
        let mut picture = self.taken_away(size.columns);
        for row in &rows {
            picture.push_str(&row.render(self.color));
            picture.push_str(CLEAR_ROW);
            picture.push('\n');
        }
        // Clears the old rows below the new ones.
        picture.push_str(CLEAR_BELOW);
        self.standing = rows.iter().map(|row| style::columns(&row.render(Color::Off))).collect();
        self.out.picture(&picture);
    }

    /// Moves to the first row, and writes the waiting lines in place of the rows.
    fn taken_away(&mut self, columns: usize) -> String {
        let mut picture = String::new();
        let rows: usize = self.standing.drain(..).map(|width| self.narrowed.rows(width, columns)).sum();
        if rows > 0 {
            // ECMA-48's CUU reads 0 as 1.
            picture = format!("\r\x1b[{rows}A");
        }
        // A terminal that broke a row treats the parts as one row until they are cleared.
        let is_resized = std::mem::replace(&mut self.columns, columns) != columns;
        if is_resized || !self.pending.is_empty() {
            picture.push_str(CLEAR_BELOW);
        }
        for line in self.pending.drain(..) {
            picture.push_str(&line.render(self.color));
            picture.push('\n');
        }
        picture
    }

    /// Removes the rows, and writes the waiting lines.
    fn close(&mut self) {
        let is_drawn = !self.standing.is_empty();
        let mut picture = self.taken_away((self.size)().columns);
        if is_drawn {
            picture.push_str(CLEAR_BELOW);
        }
        self.out.picture(&picture);
    }
}

/// Whether an event gets a line above the rows. It gets none if the rows or the ending show it.
fn is_kept(event: &Event) -> bool {
    let what = match event {
        Event::Job { what, .. } => what,
        // The ending shows these.
        Event::Image {
            what:
                ImageEvent::Tagging { .. }
                | ImageEvent::TagRefused { .. }
                | ImageEvent::Tagged { .. }
                | ImageEvent::Verified { .. }
                | ImageEvent::TaggedOnEngine { .. }
                | ImageEvent::Loaded { .. },
            ..
        } => return false,
        _ => return true,
    };
    !matches!(
        what,
        JobEvent::BuildStarted { .. }
            | JobEvent::StepStarted { .. }
            | JobEvent::Log { .. }
            | JobEvent::PushStarted { .. }
            | JobEvent::CopyStarted { .. }
            | JobEvent::Pushed { .. }
            | JobEvent::StillRunning { .. }
    )
}

impl<W: Write + Send> EventSink for Tty<W> {
    fn event(&mut self, at: Duration, event: &Event) {
        self.rows.event(at, event);
        if matches!(event, Event::Job { what: JobEvent::StepEnded { .. }, .. }) {
            self.words.fit((self.size)().columns);
        }
        let lines = self.words.lines(event);
        self.pending.extend(lines.into_iter().filter(|_| is_kept(event)).map(|line| line.map(short_digests)));
        if at >= self.flushed + FRAME || self.pending.len() >= MAX_PENDING {
            self.draw(at);
        }
    }
}

impl<W: Write + Send> Display for Tty<W> {
    fn lost(&mut self, _at: Duration, events: Lost) {
        self.pending.push(lost(events));
    }

    fn tick(&mut self, at: Duration) {
        self.draw(at);
    }

    fn finish(&mut self, report: &Report) {
        self.close();
        let width = (self.size)().columns;
        for line in ending(report, Some(width)) {
            self.out.line(&line, self.color);
        }
    }
}

impl<W: Write> Drop for Tty<W> {
    /// Leaves a clean terminal on every way out.
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use std::sync::{Arc, Mutex};

    use polyarch::run::{Destination, Execution, JobSource, PlannedImage, PlannedJob, Transfer};

    use super::super::script::{Script, begun, failed, job, on, play, report, started, step, success, tag, wide};
    use super::*;

    /// A terminal in memory.
    #[derive(Clone)]
    struct Screen(Arc<Mutex<vt100::Parser>>);

    impl Screen {
        /// Everything on the terminal, without empty rows at the end.
        fn contents(&self) -> String {
            let contents = self.0.lock().unwrap().screen().contents();
            contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
        }
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A terminal's driver turns each line feed into a carriage return and a line feed.
            let text = std::str::from_utf8(bytes).unwrap().replace('\n', "\r\n");
            self.0.lock().unwrap().process(text.as_bytes());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn tty(rows: u16, columns: u16) -> (Tty<Screen>, Screen) {
        let screen = Screen(Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0))));
        let size = Size { rows: rows.into(), columns: columns.into() };
        (Tty::new(screen.clone(), Box::new(move || size), Narrowed::Broken, Color::Off), screen)
    }

    fn at_work() -> Script {
        let progress = JobEvent::Progress { of: Transfer::Context, bytes: 1_200_000, total: Some(3_400_000) };
        let log = |line: &str| JobEvent::Log { line: line.into() };
        vec![
            (0, started()),
            (0, on("hello", "linux/amd64", begun("amd64"))),
            (100, on("hello", "linux/arm64", begun("arm64"))),
            (200, on("hello", "linux/amd64", step("[2/5] RUN make all install"))),
            (300, on("hello", "linux/arm64", log("cc -O2 -Wall -o hello hello.c util.c"))),
            (400, on("hello", "linux/amd64", progress)),
        ]
    }

    #[test]
    fn live_view_shows_each_platform_above_its_log() {
        let (mut tty, term) = tty(24, 80);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(12));
        assert_eq!(
            term.contents(),
            "⠋ hello linux/amd64 │ [2/5] RUN make all install        1.2 MB of 3.4 MB   11s\n\
             ⠋ hello linux/arm64 │ building                                             11s\n    \
             cc -O2 -Wall -o hello hello.c util.c\n  \
             2 at work, 12s"
        );
    }

    #[test]
    fn live_view_cuts_steps_and_lines_at_the_terminal_width() {
        for columns in [60, 100, 400] {
            let (mut tty, term) = tty(24, columns);
            play(&wide(), &mut tty);
            tty.finish(&report(&wide(), None));
            let shown = term.contents();
            let ends = [" cached", " done in 1.0s", " failed"].map(|end| format!("the-end{end}"));
            let is_whole = ends.iter().all(|end| shown.contains(end)) && shown.contains("&& the-end\n");
            assert_eq!(is_whole, columns == 400, "{columns}: {shown}");
            let cut = ["… cached", "… done in 1.0s", "… failed"];
            assert!(columns == 400 || cut.iter().all(|cut| shown.contains(cut)), "{columns}: {shown}");
        }
    }

    #[test]
    fn live_view_on_a_narrow_terminal_keeps_all_rows() {
        let (mut tty, term) = tty(24, 40);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(12));
        assert_eq!(
            term.contents(),
            "⠋ hello linux/amd64 │ [2/5] RUN…   11s\n\
             ⠋ hello linux/arm64 │ building     11s\n    \
             cc -O2 -Wall -o hello hello.c uti…\n  \
             2 at work, 12s"
        );
    }

    #[test]
    fn live_view_counts_many_jobs_and_collapses_finished_ones() {
        let ids: Vec<_> = (0..30).map(|n| job(&format!("image{n:02}"), "linux/amd64")).collect();
        let planned = |id: &polyarch::run::JobId| PlannedJob {
            job: id.clone(),
            by: JobSource::Engine { engine: "default".into(), execution: Execution::Native },
            destination: Destination::ArchTag(tag("x:1-amd64")),
            builds_on: Vec::new(),
        };
        let images = ids
            .iter()
            .map(|id| PlannedImage { image: id.image.clone(), tags: Vec::new(), copies: Vec::new() })
            .collect();
        let mut script = vec![(0, Event::Started { images, jobs: ids.iter().map(planned).collect() })];
        script.extend(ids[..20].iter().map(|id| (0, on(&id.image, "linux/amd64", begun("amd64")))));
        let (mut tty, term) = tty(8, 60);
        play(&script, &mut tty);
        tty.tick(Duration::from_secs(5));
        let lines = |from: usize, counts: &str| {
            let bars = (from..from + 4).map(|n| format!("⠋ image{n:02} linux/amd64 │ building{:24}5s\n", ""));
            bars.collect::<String>() + counts
        };
        assert_eq!(term.contents(), lines(0, "  20 at work (16 not shown), 10 waiting, 5s"));
        let cancelled: Script =
            ids[..15].iter().map(|id| (5000, on(&id.image, "linux/amd64", JobEvent::Cancelled))).collect();
        play(&cancelled, &mut tty);
        tty.tick(Duration::from_secs(5));
        let shown = term.contents();
        let bars = lines(15, "  5 at work (1 not shown), 10 waiting, 15 cancelled, 5s");
        assert!(shown.ends_with(&bars), "{shown}");
        // The cursor stands in the eighth row.
        assert_eq!(shown.lines().count(), 7, "{shown}");
    }

    #[test]
    fn live_view_is_replaced_by_the_ending() {
        let (mut tty, term) = tty(60, 80);
        play(&failed(), &mut tty);
        tty.finish(&report(&failed(), None));
        assert_eq!(term.contents(), include_str!("expected/tty_failed.txt").trim_end());
    }

    #[test]
    fn dropped_live_view_leaves_no_rows() {
        let (mut tty, term) = tty(24, 80);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(1));
        assert!(term.contents().contains('⠋'));
        drop(tty);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn live_view_rows_change_together() {
        let (mut tty, term) = tty(24, 80);
        play(&at_work(), &mut tty);
        for second in 10..60 {
            tty.tick(Duration::from_secs(second));
            let shown = term.contents();
            let rows: Vec<&str> = shown.lines().collect();
            assert_eq!(rows.len(), 4, "{shown}");
            // Each row shows the duration of its work; the last row shows the duration of the run.
            for row in &rows[..2] {
                assert!(row.ends_with(&format!(" {}s", second - 1)), "{shown}");
            }
            assert!(rows[3].ends_with(&format!(" {second}s")), "{shown}");
        }
    }

    #[test]
    fn live_view_draws_on_every_terminal_size() {
        for rows in 2..6 {
            for columns in 2..50 {
                let (mut tty, _) = tty(rows, columns);
                play(&success(), &mut tty);
                tty.tick(Duration::from_secs(100));
                tty.finish(&report(&success(), None));
            }
        }
    }
}
