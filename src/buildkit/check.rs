//! BuildKit's lint of a Dockerfile: `docker build --check`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::client::BuildKit;
use super::error::BuildKitError;
use super::failure::failure_of;
use super::request::{BuildRequest, Caches, Worker, frontend_attrs};
use super::session::{Session, UPLOAD_IDLE};
use super::status::Steps;
use crate::oci::null;
use crate::plan::{Location, NamedContext};
use crate::text::Text;

/// The result of a lint: a Dockerfile and its faults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lint {
    /// The Dockerfile's text, as the engine read it.
    pub text: String,
    /// The faults, in the order of the text.
    pub findings: Vec<LintFinding>,
}

/// A fault of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LintFinding {
    /// The place of the fault. `None` means that it concerns the whole file.
    pub at: Option<Location>,
    /// The rule that the Dockerfile breaks. Without a rule, the Dockerfile cannot be built.
    pub rule: Option<Text>,
    /// The description of the fault.
    pub message: Text,
    /// A page with more about the rule.
    pub url: Option<Text>,
}

impl BuildKit {
    /// Lints the Dockerfile of a build. BuildKit builds nothing, and base images from the plan count as empty images.
    ///
    /// # Errors
    /// BuildKit cannot read the Dockerfile, its frontend has no lint, or the connection is lost.
    pub(crate) async fn check(&self, request: &BuildRequest<'_>, session: &Session) -> Result<Lint, BuildKitError> {
        let answered = tokio::select! {
            answered = self.ask_frontend(session, attrs(&self.worker, request)) => answered,
            bytes = session.stalled() => {
                return Err(BuildKitError::UploadStalled { bytes, seconds: UPLOAD_IDLE.as_secs() });
            }
        };
        let metadata =
            answered.map_err(|status| failure_of(&status, session, &Steps::default(), (&self.worker, request)))?;
        let result = metadata.get("result.json").map(Vec::as_slice).unwrap_or_default();
        read(result).map_err(BuildKitError::NoProof)
    }
}

/// The options of the build, and the request for a lint instead of a build (buildx, `build/build.go`).
fn attrs(worker: &Worker, request: &BuildRequest<'_>) -> HashMap<String, String> {
    // The lint searches no step in a cache.
    let mut attrs = frontend_attrs(worker, request, &Caches::default());
    let images = request.build.contexts.iter().filter(|(_, context)| matches!(context, NamedContext::Image(_)));
    attrs.extend(images.map(|(name, _)| (format!("context:{name}"), "docker-image://scratch".to_owned())));
    let contexts = attrs.keys().any(|key| key.starts_with("context:"));
    let contexts = if contexts { "moby.buildkit.frontend.contexts+forward," } else { "" };
    attrs.insert("frontend.caps".to_owned(), format!("{contexts}moby.buildkit.frontend.subrequests+forward"));
    attrs.insert("requestid".to_owned(), "frontend.lint".to_owned());
    attrs
}

/// `LintResults` (BuildKit, `frontend/subrequests/lint`). Its JSON omits fields that are zero.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LintResults {
    #[serde(default, deserialize_with = "null::or_default")]
    warnings: Vec<Warning>,
    #[serde(default, deserialize_with = "null::or_default")]
    sources: Vec<SourceInfo>,
    build_error: Option<BuildError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Warning {
    rule_name: String,
    #[serde(default, deserialize_with = "null::or_default")]
    description: String,
    url: Option<String>,
    #[serde(default, deserialize_with = "null::or_default")]
    detail: String,
    #[serde(default, deserialize_with = "null::or_default")]
    location: Ranges,
}

#[derive(Deserialize)]
struct BuildError {
    message: String,
    #[serde(default, deserialize_with = "null::or_default")]
    location: Ranges,
}

#[derive(Deserialize)]
struct SourceInfo {
    /// The text, in base64.
    #[serde(default, deserialize_with = "null::or_default")]
    data: String,
}

#[derive(Deserialize, Default)]
struct Ranges {
    #[serde(default, deserialize_with = "null::or_default")]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    /// Counted from 1.
    #[serde(default, deserialize_with = "null::or_default")]
    line: usize,
}

/// Parses `result.json`. A lint has one source, the Dockerfile.
fn read(result: &[u8]) -> Result<Lint, String> {
    let results: LintResults = serde_json::from_slice(result).map_err(|error| format!("malformed lint: {error}"))?;
    let source = results.sources.into_iter().next().map(|source| source.data).unwrap_or_default();
    let text = STANDARD.decode(source).map_err(|error| format!("malformed Dockerfile in the lint: {error}"))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let at = |location: Ranges| {
        let line = location.ranges.iter().map(|range| range.start.line).min().filter(|line| *line > 0)?;
        Some(Location::line(&text, line))
    };
    let warning = |Warning { rule_name, description, url, detail, location }: Warning| LintFinding {
        at: at(location),
        rule: Some(rule_name.into()),
        message: if detail.is_empty() { description } else { detail }.into(),
        url: url.filter(|url| !url.is_empty()).map(Text::from),
    };
    let broken = |BuildError { message, location }| LintFinding {
        at: at(location),
        rule: None,
        message: message.into(),
        url: None,
    };
    let warnings = results.warnings.into_iter().map(warning);
    let mut findings: Vec<_> = warnings.chain(results.build_error.map(broken)).collect();
    findings.sort();
    Ok(Lint { text, findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lint_findings_are_read_with_their_places() {
        let text = "from scratch\nFROM scratch AS Second\n  RUN [\n";
        let result = serde_json::json!({
            "warnings": [
                { "ruleName": "StageNameCasing", "description": "Stage names", "detail": "'Second' should be lowercase",
                  "url": "https://h/casing", "location": { "ranges": [
                    { "start": { "line": 2 }, "end": { "line": 2 } } ] } },
                { "ruleName": "Whole", "description": "Of all", "location": { "sourceIndex": -1 } },
            ],
            "sources": [{ "filename": "Dockerfile", "language": "Dockerfile", "data": STANDARD.encode(text) }],
            "buildError": { "message": "broken", "location": { "ranges": [{ "start": { "line": 3 }, "end": {} }] } },
        });
        let Lint { text: found, findings } = read(result.to_string().as_bytes()).unwrap();
        assert_eq!(found, text);
        let told: Vec<_> = findings
            .iter()
            .map(|finding| {
                let at = finding.at.map(|at| (at.line, at.column, &text[at.range()]));
                (at, finding.rule.as_deref(), &*finding.message, finding.url.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [
                (None, Some("Whole"), "Of all", None),
                (
                    Some((2, 1, "FROM scratch AS Second")),
                    Some("StageNameCasing"),
                    "'Second' should be lowercase",
                    Some("https://h/casing")
                ),
                (Some((3, 3, "RUN [")), None, "broken", None),
            ]
        );
    }

    #[test]
    fn empty_lint_result_is_accepted_and_an_empty_answer_is_not() {
        assert_eq!(read(br#"{"warnings": null, "sources": [{"filename": "x", "data": null}]}"#), Ok(Lint::default()));
        let bare =
            br#"{"sources": null, "warnings": [{"ruleName": "R", "detail": null, "location": {"ranges": null}}]}"#;
        assert_eq!(read(bare).unwrap().findings.len(), 1);
        assert!(read(b"").is_err());
    }
}
