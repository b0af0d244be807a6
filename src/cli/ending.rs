//! How a command ends: results, report, errors, exit code.

use std::path::Path;
use std::process::ExitCode;

use polyarch::plan::{PlanErrors, Problem};
use polyarch::run::{Failure, Report};

use super::args::OutputArgs;
use super::diagnostic::{self, Snippet};
use super::exit;
use super::load::{Loaded, Refusal};
use super::output::{Color, write_results};
use super::settings::Settings;
use super::stderr;
use super::stdout::cannot_write;

/// Writes what a run leaves, and says its exit code.
pub(crate) fn tell(report: &Report, output: &OutputArgs, settings: &Settings) -> ExitCode {
    let mut code = report.run.exit_code;
    let written = [
        write_results(std::io::stdout().lock(), report, output.format).map_err(|error| cannot_write("stdout", &error)),
        output.report.as_deref().map_or(Ok(()), |path| write_report(path, report)),
    ];
    for failure in written.into_iter().filter_map(Result::err) {
        stderr::failure(&failure, settings.terminal.color);
        // What was asked for is not there, though all else is.
        code = if code == exit::OK { 1 } else { code };
    }
    exit::code(code)
}

/// Whole or not at all: written beside the file, and renamed.
fn write_report(path: &Path, report: &Report) -> Result<(), Failure> {
    let what = format!("the report {}", path.display());
    let failed = |error: &std::io::Error| cannot_write(&what, error);
    let mut bytes = serde_json::to_vec_pretty(report).map_err(|error| failed(&error.into()))?;
    bytes.push(b'\n');
    // A pipe or a device is written as it is: nothing can be renamed onto it.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, bytes).map_err(|error| failed(&error));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // It is our own half file.
        let _ = std::fs::remove_file(&beside);
        failed(&error)
    })
}

/// Says why a command did not begin.
pub(crate) fn refuse(refusal: &Refusal, settings: &Settings) -> ExitCode {
    let color = settings.terminal.color;
    match refusal {
        Refusal::Plan(errors) => {
            for problem in &errors.problems {
                stderr::line(&plan_problem(errors, problem, color));
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

/// A command that was stopped before it began.
pub(crate) fn stopped(reason: &str, code: Option<u8>, settings: &Settings) -> ExitCode {
    let _ = settings;
    stderr::line(&format!("{reason}: nothing was started"));
    exit::code(code.unwrap_or(1))
}

fn plan_problem(errors: &PlanErrors, problem: &Problem, color: Color) -> String {
    let path = errors.source.path.display().to_string();
    problem_text(&path, &errors.source.text, problem, color)
}

fn problem_text(path: &str, text: &str, problem: &Problem, color: Color) -> String {
    let hint = problem.hint.as_deref();
    match &problem.span {
        Some(at) => {
            diagnostic::snippet(&Snippet { path, text, range: at.range(), message: &problem.message, hint }, color)
        }
        None => diagnostic::message(&problem.message, hint, color),
    }
}

/// A warning about the plan, with its place.
pub(crate) fn plan_warning(problem: &Problem, loaded: &Loaded, settings: &Settings) {
    let place = problem.span.as_ref().map(|at| format!("{}:{}:{}: ", loaded.path().display(), at.line, at.column));
    let text = format!("{}{}", place.unwrap_or_default(), problem.message);
    stderr::line(&diagnostic::warning(&text, problem.hint.as_deref(), settings.terminal.color));
}
