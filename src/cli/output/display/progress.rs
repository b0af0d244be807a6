//! Chooses the display of a run.

use super::json::Json;
use super::plain::{Plain, Quiet};
use super::tty::Tty;
use super::view::Display;
use crate::cli::args::values::Progress;
use crate::cli::input::screen::Terminal;
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::writer::{Pace, Paced};

/// The display for `progress` on stderr. It counts in `pace` the bytes that the reader takes. Without a terminal `tty`
/// means `plain`.
pub(crate) fn display(progress: Progress, terminal: Terminal, pace: Pace) -> Box<dyn Display> {
    let Terminal { screen, narrowed, color, groups, workspace, preferred } = terminal;
    let progress = if progress == Progress::Auto { preferred } else { progress };
    if let (Progress::Auto, Screen::Live) | (Progress::Tty, Screen::Live | Screen::Lines) = (progress, screen) {
        return Box::new(Tty::stderr(color, narrowed, pace));
    }
    let out = Paced::new(std::io::stderr(), pace);
    match progress {
        Progress::Auto | Progress::Plain | Progress::Tty => Box::new(Plain::new(out, color, groups).within(workspace)),
        Progress::Json => Box::new(Json::new(out)),
        Progress::Quiet => Box::new(Quiet::new(out, color)),
    }
}
