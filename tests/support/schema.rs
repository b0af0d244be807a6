//! The published schemas of what polyarch writes for programs: every run of a test is held against them.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

static REPORT: LazyLock<Validator> = LazyLock::new(|| validator(polyarch::run::REPORT_SCHEMA));
static EVENTS: LazyLock<Validator> = LazyLock::new(|| validator(include_str!("../../src/cli/output/schema.json")));
static RESULTS: LazyLock<Validator> = LazyLock::new(|| validator(include_str!("../../src/cli/output/results.json")));
static VERIFY: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../src/cli/command/verify/schema.json")));

static ENGINES: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../src/cli/command/engines/schema.json")));

static DOCTOR: LazyLock<Validator> =
    LazyLock::new(|| validator(include_str!("../../src/cli/command/doctor/schema.json")));

/// How the first line of `--progress json` begins.
const FIRST: &str = r#"{"at":0.0,"event":"polyarch""#;

/// A schema that is one itself.
pub(crate) fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("it is no schema: {error}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Fails with all that the schema does not allow.
pub(crate) fn hold(validator: &Validator, document: &Value) {
    let errors = || validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path()));
    assert!(validator.is_valid(document), "{}\n{document:#}", errors().collect::<Vec<_>>().join("\n"));
}

/// The report in the file at `path`. A run that was killed has written none.
pub(crate) fn hold_report(path: &Path) {
    if path.is_file() {
        hold(&REPORT, &serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
    }
}

/// What a command of `args` printed, where that is a document with a schema.
pub(crate) fn hold_results(args: &[String], printed: &str) {
    let says = |words: &[&str]| args.windows(words.len()).any(|some| some == words);
    // They print documents of their own.
    let others = says(&["--check"]) || says(&["--dry-run"]);
    let schema = match args.first().map(String::as_str) {
        Some("verify") if says(&["--json"]) || says(&["--format", "json"]) => &VERIFY,
        Some("doctor") if says(&["--json"]) && !says(&["ecr"]) => &DOCTOR,
        Some("engines") if says(&["--json"]) || says(&["--format", "json"]) => &ENGINES,
        Some("build" | "join" | "copy") if says(&["--format", "json"]) && !others => &RESULTS,
        _ => return,
    };
    // What was refused has no result.
    if !printed.is_empty() {
        hold(schema, &serde_json::from_str(printed).unwrap());
    }
}

/// The events among the lines that a run printed. The last line of a run that was killed may be torn.
pub(crate) fn hold_events(printed: &str) {
    let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
    for line in whole.lines().filter(|_| printed.starts_with(FIRST)) {
        hold(&EVENTS, &serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    }
}
