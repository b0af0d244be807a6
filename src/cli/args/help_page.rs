//! The page of the commands comes from clap, so that the book and the help always say the same. `SNAPSHOTS=overwrite`
//! writes the page; read the difference before you commit it.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use snapbox::Data;

use super::command_line::Cli;

const INTRODUCTION: &str = "\
# Commands

<!-- This page is generated from the help of the commands. -->

[Running polyarch](../guide/running.md) explains the commands with examples. `-h` prints a short help and `--help` the
whole help.

| command | effect |
|---|---|
";

/// Text for Markdown: outside of code, no character of it is markup.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(place, part)| match place % 2 {
        0 => part.replace('<', "&lt;").replace('*', "\\*").replace('|', "\\|"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Help as one line that ends with a full stop.
fn sentence(help: &str) -> String {
    let line = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = if line.ends_with(['.', ':']) { "" } else { "." };
    format!("{}{end}", escaped(&line))
}

/// The paragraphs of a help, each as one line.
fn paragraphs(help: &str) -> String {
    help.split("\n\n").map(sentence).collect::<Vec<_>>().join("\n\n")
}

/// How an argument is typed: `-f`, `--file <FILE>`.
fn typed(arg: &Arg) -> String {
    if arg.is_positional() {
        return format!("`{arg}`");
    }
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    format!("{short}`{arg}`")
}

/// One argument as an item of a list, with its default and its values.
fn item(page: &mut String, arg: &Arg) {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    // Each paragraph is indented, so that it belongs to the item.
    let help = paragraphs(&help).replace("\n\n", "\n\n  ");
    let _ = write!(page, "- {}: {help}", typed(arg));
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(page, " Default: {}.", defaults.join(", "));
    }
    page.push('\n');
    if !arg.get_action().takes_values() || arg.is_hide_possible_values_set() {
        return;
    }
    for value in arg.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
        let help = value.get_help().map(|help| format!(": {}", sentence(&help.to_string()))).unwrap_or_default();
        let _ = writeln!(page, "  - `{}`{help}", value.get_name());
    }
}

/// The arguments under their headings, in the order of the help.
fn arguments(page: &mut String, command: &Command) {
    let heading = |arg: &Arg| match arg.get_help_heading() {
        Some(heading) => heading.to_owned(),
        None if arg.is_positional() => "Arguments".to_owned(),
        None => "Options".to_owned(),
    };
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let mut headings: Vec<String> = Vec::new();
    for name in shown.iter().map(|arg| heading(arg)) {
        if !headings.contains(&name) {
            headings.push(name);
        }
    }
    headings.sort_by_key(|name| (name != "Arguments", name == "Options"));
    for name in headings {
        let _ = write!(page, "\n**{name}**\n\n");
        shown.iter().filter(|arg| heading(arg) == name).for_each(|arg| item(page, arg));
    }
}

/// A command and the commands below it.
fn section(page: &mut String, command: &mut Command, name: &str) {
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = write!(page, "\n## `{name}`\n\n{}\n\n```text\n{usage}\n```\n", paragraphs(&about));
    arguments(page, command);
    let after = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    if let Some(after) = after {
        let lines: Vec<_> = after.lines().map(str::trim_end).collect();
        let _ = write!(page, "\n```text\n{}\n```\n", lines.join("\n").trim());
    }
    for below in command.get_subcommands_mut().filter(|below| !below.is_hide_set()) {
        let name = format!("{name} {}", below.get_name());
        section(page, below, &name);
    }
}

fn page() -> String {
    let mut program = Cli::command();
    program.build();
    let mut page = INTRODUCTION.to_owned();
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let name = format!("polyarch {}", command.get_name());
        let anchor = name.replace(' ', "-");
        let _ = writeln!(page, "| `{name}` | [{}](#{anchor}) |", escaped(&about));
    }
    section(&mut page, &mut program, "polyarch");
    page
}

#[test]
fn page_of_the_commands_is_generated_from_the_help() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    snapbox::assert_data_eq!(page(), Data::read_from(&file, None).raw());
}
