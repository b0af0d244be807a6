//! Commands with all that they print, as a reader of a terminal sees them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::support::program::{Finished, Home, Run};

/// What was run so far.
pub(super) struct Transcript<'a> {
    home: &'a Home,
    text: String,
    /// What changes from run to run, and the word for it.
    words: Vec<(String, &'static str)>,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(home: &'a Home) -> Self {
        let words = vec![(home.path().display().to_string(), "HOME")];
        Self { home, text: String::new(), words }
    }

    /// Writes `word` wherever `text` is printed.
    pub(super) fn call(&mut self, text: &str, word: &'static str) {
        self.words.push((text.to_owned(), word));
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
    pub(super) fn is(mut self, name: &str) {
        for (text, word) in &self.words {
            self.text = self.text.replace(text, word);
        }
        let took = Regex::new(r"\b(after|in) \d+\.\ds\b").unwrap();
        self.text = took.replace_all(&self.text, "$1 TIME").into_owned();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/{name}.txt"));
        if std::env::var_os("POLYARCH_BLESS").is_some() {
            fs::write(&file, &self.text).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert!(self.text == expected, "{} is otherwise; printed was:\n{}", file.display(), self.text);
    }
}
