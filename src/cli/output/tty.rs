//! The live view: a line for each platform at work, and below them how many there are.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use polyarch::run::{Event, EventSink, ImageEvent, JobEvent, Report};

use super::ending::ending;
use super::line::Line;
use super::lines::{Words, lost};
use super::progress::{Display, Lost};
use super::rows::Rows;
use super::style::Color;
use super::writer::{Lines, Pace, Paced};

/// A draw follows another one this much later at the soonest, with the lines of that time above it.
const FRAME: Duration = Duration::from_millis(50);
/// Lines that wait at most.
const MAX_PENDING: usize = 1000;
/// Rows of the terminal that the bars leave to the lines above them.
const ROWS_FOR_LINES: usize = 3;

/// The terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Size {
    /// Of stderr; 24 × 80 where it does not say.
    fn of_stderr() -> Self {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let or = |length: u16, default| if length == 0 { default } else { usize::from(length) };
        size.map_or(Self { rows: 24, columns: 80 }, |size| Self {
            rows: or(size.ws_row, 24),
            columns: or(size.ws_col, 80),
        })
    }
}

/// Draws a bar for each job at work; what is worth keeping goes above them.
///
/// Lines are written with the bars taken away, so that the terminal itself wraps and scrolls them, however wide it
/// thinks their characters are. The cursor is never hidden and no mode is set: what is left of a killed run is at
/// most its last picture.
pub(crate) struct Tty<W> {
    out: Lines<W>,
    size: Box<dyn Fn() -> Size + Send>,
    bars: MultiProgress,
    /// All rows are the message of one bar: they change together, in one draw.
    drawn: Option<ProgressBar>,
    rows: Rows,
    words: Words,
    color: Color,
    pending: Vec<Line>,
    flushed: Duration,
}

impl<W> fmt::Debug for Tty<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tty").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Tty<Paced<std::io::Stderr>> {
    pub(crate) fn stderr(color: Color, pace: Pace) -> Self {
        let out = Paced::new(std::io::stderr(), pace);
        Self::new(ProgressDrawTarget::stderr(), out, Box::new(Size::of_stderr), color)
    }
}

impl<W: Write + Send> Tty<W> {
    /// Draws bars on `target` and writes lines to `out`, which are one terminal.
    pub(super) fn new(target: ProgressDrawTarget, out: W, size: Box<dyn Fn() -> Size + Send>, color: Color) -> Self {
        Self {
            out: Lines::new(out),
            size,
            bars: MultiProgress::with_draw_target(target),
            drawn: None,
            rows: Rows::default(),
            words: Words::default(),
            color,
            pending: Vec::new(),
            flushed: Duration::ZERO,
        }
    }

    /// Writes the lines that wait, and draws the bars anew.
    fn draw(&mut self, at: Duration) {
        self.flushed = at;
        if !self.pending.is_empty() {
            self.write_pending();
        }
        let size = (self.size)();
        let room = size.rows.saturating_sub(ROWS_FOR_LINES).max(1);
        let lines = self.rows.lines(at, room, size.columns);
        if lines.is_empty() {
            self.close();
        } else {
            let bar = self.drawn.get_or_insert_with(|| self.bars.add(bar()));
            bar.set_message(lines.iter().map(|line| line.render(Color::Off)).collect::<Vec<_>>().join("\n"));
            // indicatif drops draws that come too fast for it, and the bars were just taken away; the pace is ours.
            bar.force_draw();
        }
    }

    fn write_pending(&mut self) {
        // A terminal that is gone shows nothing; the run goes on.
        let _ = self.bars.clear();
        for line in self.pending.drain(..) {
            self.out.line(&line, self.color);
        }
    }

    /// Takes the bars away, and writes the lines that wait.
    fn close(&mut self) {
        if let Some(bar) = self.drawn.take() {
            self.bars.remove(&bar);
        }
        self.write_pending();
    }
}

/// A bar that is its message.
fn bar() -> ProgressBar {
    // The template is ours and right.
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

/// What is a line above the bars: not what the bars or the ending say.
fn is_kept(event: &Event) -> bool {
    let what = match event {
        Event::Job { what, .. } => what,
        // The ending says these.
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
        JobEvent::BuildStarted
            | JobEvent::StepStarted { .. }
            | JobEvent::StepEnded { error: None, .. }
            | JobEvent::PushStarted { .. }
            | JobEvent::CopyStarted { .. }
            | JobEvent::Pushed { .. }
            | JobEvent::StillRunning { .. }
    )
}

impl<W: Write + Send> EventSink for Tty<W> {
    fn event(&mut self, at: Duration, event: &Event) {
        self.rows.event(at, event);
        let lines = self.words.lines(event);
        self.pending.extend(lines.into_iter().filter(|_| is_kept(event)));
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

impl<W> Drop for Tty<W> {
    /// Leaves a clean terminal on every way out.
    fn drop(&mut self) {
        let _ = self.bars.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{InMemoryTerm, TermLike};
    use polyarch::run::{By, Destination, Execution, PlannedImage, PlannedJob};

    use super::super::script::{Script, failed, job, on, play, report, started, step, success, tag};
    use super::*;

    /// Writes to the terminal that the bars are drawn on.
    struct Screen(InMemoryTerm);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A terminal's driver turns each line feed into both.
            self.0.write_str(&std::str::from_utf8(bytes).unwrap().replace('\n', "\r\n"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn tty(rows: u16, columns: u16) -> (Tty<Screen>, InMemoryTerm) {
        let term = InMemoryTerm::new(rows, columns);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let size = Size { rows: rows.into(), columns: columns.into() };
        (Tty::new(target, Screen(term.clone()), Box::new(move || size), Color::Off), term)
    }

    fn at_work() -> Script {
        let progress = JobEvent::Progress { of: "context", bytes: 1_200_000, total: Some(3_400_000) };
        let log = |line: &str| JobEvent::Log { line: line.into() };
        vec![
            (0, started()),
            (0, on("hello", "linux/amd64", JobEvent::BuildStarted)),
            (100, on("hello", "linux/arm64", JobEvent::BuildStarted)),
            (200, on("hello", "linux/amd64", step("[2/5] RUN make all install"))),
            (300, on("hello", "linux/arm64", log("cc -O2 -Wall -o hello hello.c util.c"))),
            (400, on("hello", "linux/amd64", progress)),
        ]
    }

    #[test]
    fn shows_all_platforms_below_their_logs() {
        let (mut tty, term) = tty(24, 80);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(12));
        assert_eq!(
            term.contents(),
            "hello linux/arm64 │ cc -O2 -Wall -o hello hello.c util.c\n\
             ⠋ hello linux/amd64 │ [2/5] RUN make all install         1.2 MB of 3.4 MB    12s\n\
             ⠋ hello linux/arm64 │ building                                               11s\n  \
             2 at work, 12s"
        );
    }

    #[test]
    fn a_narrow_terminal_loses_words_and_no_lines() {
        let (mut tty, term) = tty(24, 40);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(12));
        assert_eq!(
            term.contents(),
            "hello linux/arm64 │ cc -O2 -Wall -o hell\n\
             o hello.c util.c\n\
             ⠋ hello linux/amd64 │ [2/5] RUN …    12s\n\
             ⠋ hello linux/arm64 │ building       11s\n  \
             2 at work, 12s"
        );
    }

    #[test]
    fn many_jobs_are_counted_and_finished_ones_collapse() {
        let ids: Vec<_> = (0..30).map(|n| job(&format!("image{n:02}"), "linux/amd64")).collect();
        let planned = |id: &polyarch::run::JobId| PlannedJob {
            job: id.clone(),
            by: By::Engine { engine: "default".into(), execution: Execution::Native },
            destination: Destination::ArchTag(tag("x:1-amd64")),
            builds_on: Vec::new(),
        };
        let images = ids
            .iter()
            .map(|id| PlannedImage { image: id.image.clone(), tags: Vec::new(), copies: Vec::new() })
            .collect();
        let mut script = vec![(0, Event::Started { images, jobs: ids.iter().map(planned).collect() })];
        script.extend(ids[..20].iter().map(|id| (0, on(&id.image, "linux/amd64", JobEvent::BuildStarted))));
        let (mut tty, term) = tty(8, 60);
        play(&script, &mut tty);
        tty.tick(Duration::from_secs(5));
        let lines = |from: usize, counts: &str| {
            let bars = (from..from + 4).map(|n| format!("⠋ image{n:02} linux/amd64 │ building{:26}5s\n", ""));
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
        assert_eq!(shown.lines().count(), 8, "{shown}");
    }

    #[test]
    fn the_ending_takes_the_place_of_the_bars() {
        let (mut tty, term) = tty(60, 80);
        play(&failed(), &mut tty);
        tty.finish(&report(&failed(), None));
        assert_eq!(term.contents(), include_str!("expected/tty_failed.txt").trim_end());
    }

    #[test]
    fn a_display_that_is_dropped_leaves_no_bars() {
        let (mut tty, term) = tty(24, 80);
        play(&at_work(), &mut tty);
        tty.tick(Duration::from_secs(1));
        assert!(term.contents().contains('⠋'));
        drop(tty);
        assert_eq!(term.contents(), "hello linux/arm64 │ cc -O2 -Wall -o hello hello.c util.c");
    }

    #[test]
    fn rows_change_together() {
        let term = InMemoryTerm::new(24, 80);
        // As on a real terminal, indicatif drops draws; here nearly all.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 1);
        let mut tty = Tty::new(target, Screen(term.clone()), Box::new(|| Size { rows: 24, columns: 80 }), Color::Off);
        play(&at_work(), &mut tty);
        for second in 10..60 {
            tty.tick(Duration::from_secs(second));
            let shown = term.contents();
            let rows: Vec<&str> = shown.lines().skip(1).collect();
            assert_eq!(rows.len(), 3, "{shown}");
            assert!(rows[0].ends_with(&format!(" {second}s")), "{shown}");
            assert!(rows[1].ends_with(&format!(" {}s", second - 1)), "{shown}");
        }
    }

    #[test]
    fn every_size_of_terminal_is_drawn_on() {
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
