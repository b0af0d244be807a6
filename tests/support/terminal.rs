//! A terminal of tmux: what a person sees of the program, and types.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::parts::LIMIT;
use super::program::Run;

/// How often the picture is looked at: tmux tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(50);

/// A window in which the program runs. It stays when the program ends.
pub(crate) struct Terminal {
    /// The folder of the server's socket, which is this window's alone.
    folder: tempfile::TempDir,
}

impl Terminal {
    /// Runs the program in a window of so many columns, and 24 rows.
    pub(crate) fn start(run: &Run, columns: u16) -> Self {
        let terminal = Self { folder: tempfile::TempDir::with_prefix("polyarch-tmux-").unwrap() };
        let script = terminal.folder.path().join("run");
        fs::write(&script, run.script()).unwrap();
        let settings = terminal.folder.path().join("settings");
        fs::write(&settings, "set -g remain-on-exit on\nset -g remain-on-exit-format ''\nset -g status off\n").unwrap();
        let (script, settings, columns) = (script.to_str().unwrap(), settings.to_str().unwrap(), columns.to_string());
        terminal.tmux(&["-f", settings, "new-session", "-d", "-x", &columns, "-y", "24", "sh", script]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let socket = self.folder.path().join("socket");
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LANG", "C.UTF-8").arg("-u").arg("-S").arg(socket).args(arguments);
        let output = command.output().expect("tmux is not installed: `make parts` installs it");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The rows of the window that have text.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.captured(&["capture-pane", "-p"])
    }

    /// The same, below the rows that scrolled out of the window.
    pub(crate) fn all_rows(&self) -> Vec<String> {
        self.captured(&["capture-pane", "-p", "-S", "-"])
    }

    fn captured(&self, arguments: &[&str]) -> Vec<String> {
        let picture = String::from_utf8(self.tmux(arguments).stdout).unwrap();
        picture.lines().map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the rows are as wanted, and gives them.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let began = Instant::now();
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let rows = self.rows();
            if wanted(&rows) {
                return rows;
            }
            assert!(began.elapsed() < LIMIT, "the terminal shows:\n{}", rows.join("\n"));
        }
    }

    /// Waits until some row has `text`.
    pub(crate) async fn shows(&self, text: &str) -> Vec<String> {
        self.until(|rows| rows.iter().any(|row| row.contains(text))).await
    }

    /// Waits until the program ended.
    pub(crate) async fn ended(&self) {
        self.until(|_| self.tmux(&["display-message", "-p", "#{pane_dead}"]).stdout.starts_with(b"1")).await;
    }

    /// Types a key, as tmux names it: `C-c`.
    pub(crate) fn types(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Makes the window so many columns wide.
    pub(crate) fn resize(&self, columns: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string()]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
