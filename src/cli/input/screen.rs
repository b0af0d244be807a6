//! The terminal that stderr is, as the environment describes it.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::cli::args::values::Progress;
use crate::cli::terminal::screen::{Groups, Narrowed, Screen};
use crate::cli::terminal::style::Color;

/// The kind of stderr, and the settings of the environment for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) screen: Screen,
    pub(crate) narrowed: Narrowed,
    pub(crate) color: Color,
    pub(crate) groups: Groups,
    /// The directory of the repository on a runner of GitHub.
    pub(crate) workspace: Option<PathBuf>,
    /// The display of `--progress auto`, if `BUILDKIT_PROGRESS` names one. buildx reads the same variable.
    pub(crate) preferred: Progress,
}

impl Terminal {
    /// Asks stderr and `var`, which reads the environment.
    pub(crate) fn of_stderr(var: impl Fn(&str) -> Option<String>) -> Self {
        Self::of(&std::io::stderr(), var)
    }

    /// `TERM=dumb` and `CI` mean no live view. A `NO_COLOR` that is not empty means no colour (no-color.org).
    fn of(stderr: &impl IsTerminal, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| var(name).is_some_and(|value| !value.is_empty());
        let dumb = var("TERM").is_some_and(|term| term == "dumb");
        let screen = match stderr.is_terminal() {
            false => Screen::None,
            true if dumb || is_ci(&var) => Screen::Lines,
            true => Screen::Live,
        };
        let plain = screen == Screen::None || dumb || set("NO_COLOR");
        let github = var("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        let groups = if github { Groups::GitHub } else { Groups::None };
        let preferred = match var("BUILDKIT_PROGRESS").as_deref() {
            Some("plain") => Progress::Plain,
            Some("quiet") => Progress::Quiet,
            Some("tty") => Progress::Tty,
            // buildx has other values (`rawjson`, `none`), which polyarch ignores.
            _ => Progress::Auto,
        };
        // Many terminals have TERM=xterm; only xterm sets its version.
        let cuts = ["linux", "rxvt"].iter().any(|name| var("TERM").is_some_and(|term| term.starts_with(name)));
        let narrowed = if cuts || set("XTERM_VERSION") || set("STY") { Narrowed::Cut } else { Narrowed::Broken };
        let workspace = var("GITHUB_WORKSPACE").filter(|_| github).map(PathBuf::from);
        let color = if plain { Color::Off } else { Color::On };
        Self { screen, narrowed, color, groups, workspace, preferred }
    }
}

/// Whether polyarch runs in a CI system: every CI system sets `CI`.
pub(crate) fn is_ci(var: impl Fn(&str) -> Option<String>) -> bool {
    var("CI").is_some_and(|value| !matches!(&*value, "" | "false" | "0"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn of(stderr: &impl IsTerminal, set: &[(&str, &str)]) -> (Screen, Color) {
        let var = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let terminal = Terminal::of(stderr, var);
        (terminal.screen, terminal.color)
    }

    #[test]
    fn buildkit_progress_variable_selects_the_display() {
        let file = File::open("/dev/null").unwrap();
        let preferred =
            |value: &str| Terminal::of(&file, |name| (name == "BUILDKIT_PROGRESS").then(|| value.into())).preferred;
        let known = ["plain", "quiet", "tty", "auto", "rawjson", ""].map(preferred);
        let auto = Progress::Auto;
        assert_eq!(known, [Progress::Plain, Progress::Quiet, Progress::Tty, auto, auto, auto]);
    }

    #[test]
    fn output_to_a_file_has_plain_lines_without_colour() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(of(&file, &[("TERM", "xterm")]), (Screen::None, Color::Off));
    }

    #[test]
    fn terminal_display_follows_its_environment() {
        // The master of a pseudo-terminal is a terminal.
        let terminal = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        assert_eq!(of(&terminal, &[("TERM", "xterm")]), (Screen::Live, Color::On));
        assert_eq!(of(&terminal, &[]), (Screen::Live, Color::On));
        assert_eq!(of(&terminal, &[("TERM", "dumb")]), (Screen::Lines, Color::Off));
        assert_eq!(of(&terminal, &[("NO_COLOR", "1")]), (Screen::Live, Color::Off));
        assert_eq!(of(&terminal, &[("NO_COLOR", "")]), (Screen::Live, Color::On));
        assert_eq!(of(&terminal, &[("CI", "true")]), (Screen::Lines, Color::On));
        assert_eq!(of(&terminal, &[("CI", "false")]), (Screen::Live, Color::On));
    }
}
