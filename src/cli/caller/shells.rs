//! Completes command lines. A shell starts polyarch at each press of the completion key, so the candidates are those of
//! this program and of the plan in this directory.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::{self, ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use polyarch::plan::{Outline, SourceText, outline};

use crate::cli::args::command_line::Cli;

/// The variable with which a shell asks for candidates.
const VARIABLE: &str = "POLYARCH_COMPLETE";
const PROGRAM: &str = "polyarch";
/// The names of a plan that polyarch finds by itself.
const PLANS: [&str; 2] = ["build.yaml", "polyarch.yaml"];
/// The size of the largest plan that polyarch reads for candidates, in bytes.
const MOST: u64 = 1 << 20;

/// Answers a shell that asks for candidates. `false`: no shell asks.
pub(crate) fn answer() -> Result<bool, clap::Error> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(command).var(VARIABLE).bin(PROGRAM).try_complete(std::env::args_os(), here.as_deref())
}

/// The script that makes a shell ask polyarch.
pub(crate) fn script(shell: &str) -> io::Result<String> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(shell) {
        shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    }
    let mut script = String::from_utf8_lossy(&script).trim_start().to_owned();
    if shell == "zsh" {
        // zsh reads a file of $fpath at the first press of the key, and runs it as the function of that press.
        script.push_str("[[ $funcstack[1] != _polyarch ]] || _clap_dynamic_completer_polyarch \"$@\"\n");
    }
    Ok(script)
}

/// The candidates in the form of docker: each with its help, and then a directive (cobra, `completions.go`).
pub(crate) fn for_docker(words: Vec<OsString>) -> io::Result<Vec<String>> {
    const FILES: &str = ":0";
    const NO_FILES: &str = ":4";
    let words: Vec<OsString> = std::iter::once(PROGRAM.into()).chain(words).collect();
    let (last, here) = (words.len().saturating_sub(1), std::env::current_dir().ok());
    let candidates = engine::complete(&mut command(), words, last, here.as_deref())?;
    let shown = candidates.iter().filter(|candidate| !candidate.is_hide_set());
    let mut lines: Vec<String> = shown
        .map(|candidate| {
            let help = candidate.get_help().map(|help| format!("\t{help}")).unwrap_or_default();
            format!("{}{help}", candidate.get_value().display())
        })
        .collect();
    lines.push(if lines.is_empty() { FILES } else { NO_FILES }.to_owned());
    Ok(lines)
}

/// The program, whose arguments have the candidates of the plan.
fn command() -> Command {
    with_candidates(Cli::command())
}

fn with_candidates(command: Command) -> Command {
    let argument = |argument: Arg| {
        let is_positional = argument.is_positional();
        let of = argument.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
        if is_positional && ["IMAGE", "REF", "SOURCE"].iter().any(|name| of.starts_with(name)) {
            argument.add(ArgValueCandidates::new(|| candidates(|outline| outline.images)))
        } else if argument.get_id() == "platform" {
            argument.add(ArgValueCandidates::new(|| candidates(|outline| outline.platforms)))
        } else {
            argument
        }
    };
    command.mut_args(argument).mut_subcommands(with_candidates)
}

fn candidates(of: impl Fn(Outline) -> BTreeSet<String>) -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let named = plan_of(&words);
    let mut files = named.into_iter().chain(PLANS.iter().map(PathBuf::from));
    let Some(path) = files.find(|path| path.is_file()) else { return Vec::new() };
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    of(outline(&SourceText { path, text })).into_iter().map(CompletionCandidate::new).collect()
}

/// The plan that the words on the command line name with `-f`.
fn plan_of(words: &[OsString]) -> Option<PathBuf> {
    let is_option = |word: &OsString| word == "-f" || word == "--file";
    let apart = words.windows(2).find(|pair| is_option(&pair[0])).map(|pair| PathBuf::from(&pair[1]));
    apart.or_else(|| words.iter().find_map(|word| plan_in(word)))
}

/// The plan in `--file=PLAN` or `-fPLAN`.
fn plan_in(word: &OsStr) -> Option<PathBuf> {
    let word = word.to_str()?;
    let plan = word.strip_prefix("--file=").or_else(|| word.strip_prefix("-f"))?;
    (!plan.is_empty()).then(|| PathBuf::from(plan))
}
