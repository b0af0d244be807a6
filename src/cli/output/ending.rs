//! Ends a command: writes results, report and errors, and chooses the exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use polyarch::engine::LintFinding;
use polyarch::plan::{PlanErrors, Problem};
use polyarch::run::{CheckedFile, Event, EventSink as _, Failure, Phase, Report, Warning};
use polyarch::text::Text;

use super::files::Files;
use super::files::results::write_results;
use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::OutputArgs;
use crate::cli::args::values::Progress;
use crate::cli::input::plan_file::PlanFile;
use crate::cli::input::settings::Settings;
use crate::cli::output;
use crate::cli::terminal::diagnostic::{self, Snippet};
use crate::cli::terminal::exit;
use crate::cli::terminal::line::Line;
use crate::cli::terminal::stderr;
use crate::cli::terminal::stdout::cannot_write;
use crate::cli::terminal::style::Color;
use crate::cli::terminal::writer::Pace;

/// Writes the results and the files of a run, and returns the exit code.
pub(crate) fn tell(report: &Report, output: &OutputArgs, settings: &Settings) -> ExitCode {
    let written = write_results(std::io::stdout().lock(), report, output.format);
    let written = written.map_err(|error| stderr::failure(&cannot_write("stdout", &error), settings.terminal.color));
    let code = tell_files(report, output, settings);
    // The user wanted the results on stdout, and they are missing even if the run succeeded.
    if written.is_err() && report.run.exit_code == exit::OK { exit::code(Phase::Internal.exit_code()) } else { code }
}

/// Writes the files that the user wants, and returns the exit code.
fn tell_files(report: &Report, output: &OutputArgs, settings: &Settings) -> ExitCode {
    let failures = Files::of(output, settings).write(report);
    let code = report.run.exit_code;
    for failure in &failures {
        stderr::failure(failure, settings.terminal.color);
    }
    exit::code(if code == exit::OK && !failures.is_empty() { Phase::Internal.exit_code() } else { code })
}

/// Prints the reason why a command did not begin.
pub(crate) fn refuse(refusal: &Refusal, settings: &Settings) -> ExitCode {
    let color = settings.terminal.color;
    match refusal {
        Refusal::Plan(errors) => {
            for problem in &errors.problems {
                stderr::lines(plan_problem(errors, problem, color), color);
            }
            exit::code(exit::USAGE)
        }
        Refusal::Findings(files) => {
            for (file, problem) in problems(files) {
                stderr::lines(problem_text(&file.name, &file.text, &problem, color), color);
            }
            exit::code(exit::USAGE)
        }
        Refusal::Failures(failures) => {
            for failure in failures {
                stderr::failure(failure, color);
            }
            let first = failures.iter().map(|failure| failure.phase).min();
            exit::code(first.map_or(1, polyarch::run::Phase::exit_code))
        }
    }
}

/// Reports why a run did not begin, to people, to readers of events and in the report.
pub(crate) fn refuse_run(refusal: &Refusal, output: &OutputArgs, settings: &Settings) -> ExitCode {
    tell_files(&refused(refusal, output, settings), output, settings)
}

/// Reports that a run does not begin because polyarch could not write its files.
pub(crate) fn refuse_files(failures: Vec<Failure>, output: &OutputArgs, settings: &Settings) -> ExitCode {
    exit::code(refused(&Refusal::Failures(failures), output, settings).run.exit_code)
}

/// Prints a refusal and returns its report.
/// The failures of a refusal, each with its place in one line.
pub(crate) fn failures(refusal: &Refusal) -> Vec<Failure> {
    match refusal {
        Refusal::Plan(errors) => {
            errors.problems.iter().map(|problem| placed_failure(&errors.source.path, problem)).collect()
        }
        Refusal::Findings(files) => {
            problems(files).map(|(file, problem)| placed_failure(Path::new(&*file.name), &problem)).collect()
        }
        Refusal::Failures(failures) => failures.clone(),
    }
}

fn refused(refusal: &Refusal, output: &OutputArgs, settings: &Settings) -> Report {
    let events: Vec<_> = failures(refusal).into_iter().map(Event::Failed).collect();
    let at = settings.began.elapsed();
    let mut report = Report::new(SystemTime::now().checked_sub(at).unwrap_or_else(SystemTime::now));
    for event in &events {
        report.event(at, event);
    }
    report.finish(at, report.exit_code());
    if output.progress == Progress::Json {
        let mut display =
            output::display::progress::display(Progress::Json, settings.terminal.clone(), Pace::default());
        for event in &events {
            display.event(at, event);
        }
        display.finish(&report);
    } else {
        refuse(refusal, settings);
    }
    report
}

/// A command that was stopped before it began.
pub(crate) fn stopped(reason: &str, code: Option<u8>, settings: &Settings) -> ExitCode {
    let _ = settings;
    stderr::line(format!("{reason}: nothing was started"));
    exit::code(code.unwrap_or(1))
}

/// The findings in Dockerfiles, each with its file.
fn problems(files: &[CheckedFile]) -> impl Iterator<Item = (&CheckedFile, Problem)> {
    files.iter().flat_map(|file| file.findings.iter().map(move |finding| (file, problem_of(file, finding))))
}

fn problem_of(file: &CheckedFile, LintFinding { at, rule, message, url }: &LintFinding) -> Problem {
    // If the finding has no place, the message must name the file.
    let file = at.is_none().then_some(&file.name);
    let parts: Vec<_> = file.into_iter().chain(rule).chain([message]).map(Text::as_str).collect();
    Problem { span: *at, message: parts.join(": "), hint: url.as_ref().map(ToString::to_string) }
}

/// A problem of the file at `path` in one line.
fn placed_failure(path: &Path, problem: &Problem) -> Failure {
    Failure::new(Phase::Plan, placed(path, problem), problem.hint.as_ref().map(Text::from))
}

/// `build.yaml:3:5: …`
fn placed(path: &Path, problem: &Problem) -> Text {
    let place = problem.span.as_ref().map(|at| format!("{}:{}:{}: ", path.display(), at.line, at.column));
    format!("{}{}", place.unwrap_or_default(), problem.message).into()
}

fn plan_problem(errors: &PlanErrors, problem: &Problem, color: Color) -> Vec<Line> {
    let path = errors.source.path.display().to_string();
    problem_text(&path, &errors.source.text, problem, color)
}

fn problem_text(path: &str, text: &str, problem: &Problem, color: Color) -> Vec<Line> {
    let hint = problem.hint.as_deref();
    match &problem.span {
        Some(at) => {
            diagnostic::snippet(&Snippet { path, text, range: at.range(), message: &problem.message, hint }, color)
        }
        None => diagnostic::message(&problem.message, hint),
    }
}

/// A warning about the plan, with its place.
pub(crate) fn plan_warning(problem: &Problem, loaded: &PlanFile) -> Warning {
    Warning {
        image: None,
        platform: None,
        message: placed(loaded.path(), problem),
        hint: problem.hint.as_ref().map(Text::from),
    }
}

/// Prints warnings about the plan, for commands without a run.
pub(crate) fn warn(warnings: &[Warning], settings: &Settings) {
    for Warning { message, hint, .. } in warnings {
        stderr::lines(diagnostic::warning(message, hint.as_deref()), settings.terminal.color);
    }
}
