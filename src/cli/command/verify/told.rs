//! Prints the results of `verify` on stdout, and everything else on stderr.

use std::collections::BTreeSet;

use polyarch::run::{
    Checked, CheckedBlob, Failure, Kept, NotCheckedReport, Outcome, Phase, PulledImage, VerifiedIndex,
};
use serde_json::{Value, json};

use super::finding::{self, Finding};
use super::outcome::{Subject, Verified};
use crate::cli::args::values::Format;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::style::{count, size};
use crate::cli::terminal::{diagnostic, exit, stderr, stdout};

pub(crate) fn print(
    verified: &[Verified],
    findings: &[Finding],
    format: Format,
    settings: &Settings,
) -> Result<(), Failure> {
    match format {
        Format::Text => lines(verified, settings)?,
        Format::Json => stdout::json(&document(verified, findings))?,
    }
    for alike in alike(findings) {
        let Failure { message, hint, .. } = &alike[0].of.failure;
        let also: Vec<_> =
            alike[1..].iter().filter_map(|finding| finding.tag.as_ref()).map(ToString::to_string).collect();
        let also = if also.is_empty() { String::new() } else { format!("\nthe same for: {}", also.join(", ")) };
        let lines = diagnostic::message(&format!("{message}{also}"), hint.as_deref());
        stderr::lines(lines, settings.terminal.color);
    }
    if !findings.is_empty() {
        stderr::line(summary(verified, findings));
    }
    Ok(())
}

/// The findings in groups: all of a group are of one repository, and differ in the tag alone.
fn alike(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        match groups.iter_mut().find(|group| group[0].is_like(finding)) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

/// Prints each index once, even if several tags show it.
fn lines(verified: &[Verified], settings: &Settings) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for Verified { subject: Subject { name, .. }, result, pulled, .. } in verified {
        let Ok(index) = result else { continue };
        if !seen.insert(&index.index) {
            stderr::line(format!("{name}: verified, the same index"));
            continue;
        }
        tell(name, index, settings);
        for pulled in pulled.iter().flatten() {
            stderr::line(format!("{name}: {}", of_engine(pulled)));
        }
        stdout::lines([index.index.to_string()])?;
    }
    Ok(())
}

/// The number of both kinds of failure: the exit code shows only one kind.
fn summary(verified: &[Verified], findings: &[Finding]) -> String {
    let good = verified.iter().filter(|one| one.result.is_ok()).count();
    let (wrong, unasked): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.of.failure.phase == Phase::Verify);
    let mut parts = vec![format!("verified {good} of {}", count(verified.len(), "reference"))];
    parts.extend((!wrong.is_empty()).then(|| count(wrong.len(), "finding")));
    parts.extend((!unasked.is_empty()).then(|| format!("{} could not be checked", unasked.len())));
    parts.join(", ")
}

pub(crate) fn document(verified: &[Verified], findings: &[Finding]) -> Value {
    let found = verified.iter().filter_map(|Verified { subject, result, pulled, .. }| {
        let mut document = json!({ "reference": subject.name });
        let (own, Ok(Value::Object(index))) = (document.as_object_mut()?, serde_json::to_value(result.as_ref().ok()?))
        else {
            return None;
        };
        own.extend(subject.image.as_ref().map(|image| ("image".to_owned(), json!(image))));
        own.extend(index);
        own.extend(pulled.as_ref().map(|pulled| ("pulled".to_owned(), json!(pulled))));
        Some(document)
    });
    let code = finding::exit_code(findings);
    let outcome = if code == exit::OK { Outcome::Succeeded } else { Outcome::Failed };
    let run = json!({ "outcome": outcome, "exit_code": code, "failures": findings });
    json!({ "version": 1, "run": run, "verified": found.collect::<Vec<_>>(), "failed": findings })
}

fn of_engine(PulledImage { engine, platform, kept, .. }: &PulledImage) -> String {
    let kept = match kept {
        Kept::WasThere => "kept, because the engine had it before",
        Kept::Removed => "removed again",
    };
    format!("engine {engine} pulled {platform}, as the registry has it; {kept}")
}

/// Prints the number of parts that polyarch checked, and warnings about the rest.
fn tell(name: &str, index: &VerifiedIndex, settings: &Settings) {
    let VerifiedIndex { entries, attestations, blobs, not_checked, .. } = index;
    let mut parts = vec![count(entries.len(), "platform")];
    parts.extend((*attestations > 0).then(|| count(*attestations, "attestation")));
    let bytes = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    parts.push(format!("{} ({})", count(blobs.len(), "blob"), size(bytes)));
    stderr::line(format!("{name}: verified: {}", parts.join(", ")));
    let of = |checked: Checked| blobs.iter().filter(move |blob| blob.checked == checked).collect::<Vec<_>>();
    for (checked, result) in [
        (Checked::Foreign, "not checked: registries do not distribute such layers"),
        (Checked::Present, "exists, but the registry does not report its size"),
        (Checked::Unanswered, "not checked: the registry answers only if polyarch downloads the whole blob"),
    ] {
        if let [first, rest @ ..] = &of(checked)[..] {
            stderr::lines(
                diagnostic::warning(&lacking(name, first, rest.len(), result), None),
                settings.terminal.color,
            );
        }
    }
    for NotCheckedReport { platforms, reason } in not_checked {
        let platforms = platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        stderr::line(format!("{name}: programs of {platforms} not checked: {reason}"));
    }
}

fn lacking(name: &str, first: &CheckedBlob, more: usize, result: &str) -> String {
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{name}: {}{more}: {result}", first.digest)
}
