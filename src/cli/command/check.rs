//! `polyarch build --check`

use std::process::ExitCode;

use polyarch::engine::LintFinding;
use polyarch::run::{self, BuildRun, CheckedFile};
use serde::Serialize;

use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::OutputArgs;
use crate::cli::args::values::Format;
use crate::cli::args::values::Progress;
use crate::cli::terminal::exit;
use crate::cli::terminal::{stderr, stdout};

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

/// Reports the findings in the plan's Dockerfiles.
pub(crate) async fn show(build: &BuildRun, output: &OutputArgs) -> Result<ExitCode, Refusal> {
    let files = run::check(build).await?;
    if output.format == Format::Json {
        stdout::json(&document(&files))?;
    }
    if files.iter().any(|file| !file.findings.is_empty()) {
        return Err(Refusal::Findings(files));
    }
    if !matches!(output.progress, Progress::Json | Progress::Quiet) {
        let files = if files.len() == 1 { "1 Dockerfile".to_owned() } else { format!("{} Dockerfiles", files.len()) };
        stderr::line(format!("checked {files}: nothing found"));
    }
    Ok(exit::code(exit::OK))
}

fn document(files: &[CheckedFile]) -> Document<'_> {
    let findings = files.iter().flat_map(|file| file.findings.iter().map(|finding| told(file, finding)));
    Document { version: 1, findings: findings.collect() }
}

fn told<'a>(file: &'a CheckedFile, finding: &'a LintFinding) -> FindingJson<'a> {
    FindingJson {
        file: &file.name,
        line: finding.at.map(|at| at.line),
        column: finding.at.map(|at| at.column),
        rule: finding.rule.as_deref(),
        message: &finding.message,
        url: finding.url.as_deref(),
    }
}
