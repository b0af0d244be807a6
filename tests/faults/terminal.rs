//! The live view in a terminal of tmux: what stands there, and what stays.

use std::sync::Arc;

use tokio::sync::Notify;

use super::world::World;
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::terminal::Terminal;

const MAKE: &str = "[2/3] RUN make --jobs 4 all install clean documentation examples";
/// A frame of the row of a platform at work.
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// A build of one platform that runs [`MAKE`] until it is let go.
struct Build {
    world: World,
    go_on: Arc<Notify>,
}

impl Build {
    async fn start() -> Self {
        let go_on = Arc::new(Notify::new());
        let waits = go_on.clone();
        let script = Script::default().solve(move |call| {
            let waits = waits.clone();
            async move {
                call.step_ran(MAKE, None);
                for file in 1..=9 {
                    call.log(&format!(
                        "cc -c file{file}.c -o file{file}.o -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion\n"
                    ));
                }
                waits.notified().await;
                call.step_ran(MAKE, Some(2));
                call.built()
            }
        });
        let world = World::start(script).await;
        world.plan("images: { hello: { context: context, tags: [\"1.0\"], platforms: [linux/amd64] } }\n");
        Self { world, go_on }
    }

    fn run(&self) -> Run {
        Run::new(&self.world.home, ["build"]).env("DOCKER_HOST", self.world.engine.host())
    }
}

/// Rows of a platform at work: one is right while it works, none may stay.
fn at_work(rows: &[String]) -> usize {
    rows.iter().filter(|row| row.starts_with(FRAMES)).count()
}

/// Rows with a part of the log.
fn logged(rows: &[String]) -> usize {
    rows.iter().filter(|row| row.contains("cc -c") || row.contains("-Wconv")).count()
}

#[tokio::test]
async fn terminal_keeps_steps_with_seconds_and_folds_logs() {
    for columns in [40, 50, 80, 120, 200] {
        let build = Build::start().await;
        let terminal = Terminal::start(&build.run(), columns);
        let rows = terminal.shows("file9.c").await;
        assert_eq!((at_work(&rows), logged(&rows)), (1, 6), "{columns}: {rows:#?}");
        let live: Vec<_> = rows.iter().skip_while(|row| !row.starts_with(FRAMES)).collect();
        assert!(live.iter().all(|row| row.chars().count() < columns.into()), "{columns}: {rows:#?}");
        build.go_on.notify_one();
        terminal.ended().await;
        let rows = terminal.all_rows();
        let text = rows.join("");
        assert_eq!((at_work(&rows), logged(&rows)), (0, 0), "{columns}: {rows:#?}");
        assert!(text.contains("[2/3] RUN m") && text.contains("2.0s"), "{columns}: {rows:#?}");
        assert!(text.contains("verified "), "{columns}: {rows:#?}");
    }
}

#[tokio::test]
async fn terminal_keeps_no_live_row_after_an_interrupt() {
    for columns in [40, 80] {
        let build = Build::start().await;
        let terminal = Terminal::start(&build.run(), columns);
        terminal.shows("file9.c").await;
        terminal.types("C-c");
        terminal.ended().await;
        let rows = terminal.all_rows();
        assert_eq!((at_work(&rows), logged(&rows)), (0, 0), "{columns}: {rows:#?}");
        let cancelled = rows.iter().filter(|row| row.contains("│ cancelled")).count();
        assert_eq!(cancelled, 1, "{columns}: {rows:#?}");
    }
}

#[tokio::test]
async fn terminal_rows_stay_whole_after_a_resize() {
    // One change a terminal: tmux keeps a second one to itself for a quarter of a second.
    for (before, after) in [(120, 100), (120, 60), (100, 45), (80, 40), (45, 90), (60, 200)] {
        let build = Build::start().await;
        let terminal = Terminal::start(&build.run(), before);
        terminal.shows("file9.c").await;
        terminal.resize(after);
        let whole = |rows: &[String]| {
            let live = rows.iter().skip_while(|row| !row.starts_with(FRAMES));
            let fits = live.clone().all(|row| row.chars().count() < usize::from(after));
            fits && (at_work(rows), logged(rows), live.count()) == (1, 6, 7)
        };
        terminal.until(whole).await;
        build.go_on.notify_one();
        terminal.ended().await;
        // tmux puts rows that it broke beyond the window's top, where nobody can take them away.
        let rows = terminal.rows();
        assert_eq!((at_work(&rows), logged(&rows)), (0, 0), "{before} to {after}: {rows:#?}");
    }
}

#[tokio::test]
async fn terminal_keeps_logs_when_buildkit_progress_is_plain() {
    let build = Build::start().await;
    let terminal = Terminal::start(&build.run().env("BUILDKIT_PROGRESS", "plain"), 120);
    let rows = terminal.shows("file9.c").await;
    assert_eq!((at_work(&rows), logged(&rows)), (0, 9), "{rows:#?}");
    build.go_on.notify_one();
    terminal.ended().await;
}
