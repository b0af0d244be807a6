//! Commands with all that they print, as a reader of a terminal sees them.

use std::ffi::OsStr;
use std::fmt::Write as _;

use regex::Regex;
use snapbox::Redactions;

use crate::support::expected;
use crate::support::program::{Finished, Home, Run};

/// What was run so far.
pub(super) struct Transcript<'a> {
    home: &'a Home,
    text: String,
    /// Texts that differ from run to run, each with its name.
    names: Redactions,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(home: &'a Home) -> Self {
        let mut names = Redactions::new();
        names.insert("[HOME]", home.path().to_owned()).unwrap();
        names.insert("[TIME]", Regex::new(r"\b(after|in) (?<redacted>\d+\.\ds)\b").unwrap()).unwrap();
        Self { home, text: String::new(), names }
    }

    /// Writes `name` wherever `text` is printed.
    pub(super) fn call(&mut self, text: &str, name: &'static str) {
        self.names.insert(name, text.to_owned()).unwrap();
    }

    /// A comment: what the next command is about.
    pub(super) fn say(&mut self, text: &str) {
        for line in text.lines() {
            writeln!(self.text, "# {line}").unwrap();
        }
    }

    pub(super) async fn run(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        self.run_in(args, &[]).await
    }

    pub(super) async fn run_in(
        &mut self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &str)],
    ) -> Finished {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut run = Run::new(self.home, &args);
        self.text.push('$');
        for (name, value) in environment {
            write!(self.text, " {name}={value}").unwrap();
            run = run.env(name, *value);
        }
        let shown: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        writeln!(self.text, " polyarch {}", shown.join(" ")).unwrap();
        let ran = run.finish().await;
        for (name, printed) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            if !printed.is_empty() {
                write!(self.text, "--- {name}\n{printed}").unwrap();
                // Bytes as a registry has them get no end of line from us.
                let end = if printed.ends_with('\n') { "" } else { "⏎\n" };
                self.text.push_str(end);
            }
        }
        writeln!(self.text, "--- exit code {}\n", ran.code()).unwrap();
        ran
    }

    /// Compares with `tests/cli/NAME.txt`.
    #[track_caller]
    pub(super) fn is(self, name: &str) {
        expected::is_file(format!("tests/cli/{name}.txt"), &self.names.redact(&self.text));
    }
}
