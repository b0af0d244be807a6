//! Accepts commands and options of docker, buildx, bake and skopeo, or answers with polyarch's own.

use std::ffi::OsString;

use crate::cli::terminal::typed::as_typed;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of `docker build` that are keys of the plan.
const KEYS: [(&str, &str); 21] = [
    ("--add-host", "extra_hosts"),
    ("--annotation", "annotations"),
    ("--attest", "provenance"),
    ("--build-context", "contexts"),
    ("--builder", "engine"),
    ("--cache-from", "cache"),
    ("--cache-to", "cache"),
    ("--cgroup-parent", "cgroup_parent"),
    ("--context", "context"),
    ("--dockerfile", "dockerfile"),
    ("--label", "labels"),
    ("--network", "network"),
    ("--no-cache-filter", "no_cache_filter"),
    ("--provenance", "provenance"),
    ("--sbom", "sbom"),
    ("--secret", "secrets"),
    ("--shm-size", "shm_size"),
    ("--ssh", "ssh"),
    ("--target", "target"),
    ("--ulimit", "ulimits"),
    ("--repository", "repository"),
];

/// Other options of those tools, and polyarch's way to do the same.
const OPTIONS: [(&str, &str); 8] = [
    ("--iidfile", "use --report FILE: the report has the digests"),
    ("--metadata-file", "use --report FILE: the report has the digests"),
    ("--quiet", "use --progress quiet"),
    ("-q", "use --progress quiet"),
    ("--output", "--load leaves images on engines, and `polyarch copy REF oci:DIR:TAG` writes a layout"),
    ("-o", "--load leaves images on engines, and `polyarch copy REF oci:DIR:TAG` writes a layout"),
    ("--all-platforms", "leave it out: without --platform polyarch takes all platforms"),
    ("--print", "use --dry-run, or run `polyarch plan`"),
];

/// Commands of those tools, and polyarch's way to do the same.
const COMMANDS: [(&str, &str); 35] = [
    ("bake", "use `polyarch build`, which builds every image of the plan"),
    ("buildx", "use `polyarch build`, or `polyarch inspect` for `imagetools inspect`"),
    ("imagetools", "`polyarch inspect REF` shows an index, and `polyarch join -t TARGET SOURCE…` makes one"),
    ("manifest", "`polyarch inspect REF` shows an index, and `polyarch join -t TARGET SOURCE…` makes one"),
    ("login", "use `docker login`: polyarch takes docker's logins"),
    ("push", "use `polyarch build` to push, or `polyarch copy SOURCE TARGET` to copy an image to another registry"),
    ("tag", "use `polyarch copy SOURCE TARGET` to give an image another tag"),
    ("config", "use `polyarch plan` to print the plan with everything resolved"),
    ("validate", "`polyarch plan` checks the plan"),
    ("check", "`polyarch plan` checks the plan, and `polyarch build --check` checks Dockerfiles"),
    ("lint", "`polyarch plan` checks the plan, and `polyarch build --check` checks Dockerfiles"),
    ("up", ENGINE_RUNS),
    ("run", ENGINE_RUNS),
    ("create", ENGINE_RUNS),
    ("start", ENGINE_RUNS),
    ("exec", ENGINE_RUNS),
    ("pull", "use `docker pull`; `polyarch serve` keeps the embedded registry up for `docker pull`"),
    ("ls", LISTED),
    ("list", LISTED),
    ("list-tags", LISTED),
    ("image", LISTED),
    ("ps", "use `docker ps`: polyarch runs no containers"),
    ("rm", CLEANED),
    ("rmi", CLEANED),
    ("remove", CLEANED),
    ("delete", CLEANED),
    ("du", "`polyarch prune` shows the size of the embedded registry"),
    ("save", LAYOUT),
    ("export", LAYOUT),
    ("load", "`polyarch build --load` leaves images on engines, and `polyarch copy oci:DIR:TAG TARGET` reads a layout"),
    ("import", "`polyarch copy oci:DIR:TAG TARGET` reads a layout"),
    ("logout", "use `docker logout`: polyarch takes docker's logins"),
    ("history", "`polyarch inspect REF` shows an index"),
    ("annotate", "`polyarch join -t TARGET SOURCE… --annotate SOURCE=PLATFORM` sets the platform of an entry"),
    ("diff", "`polyarch inspect REF OTHER` shows the differences between two indexes"),
];

/// Commands that run containers.
const ENGINE_RUNS: &str = "use `docker run NAME:TAG`: `registry: local` and --load leave NAME:TAG on your engine";
const LISTED: &str = "`polyarch images` lists the images of repositories";
const CLEANED: &str =
    "`polyarch clean` deletes old images, and `polyarch prune` unused content of the embedded registry";
const LAYOUT: &str = "`polyarch copy REF oci:DIR:TAG` writes a layout";

/// `help [COMMAND]` is `[COMMAND] --help`, `version` is `--version`.
pub(crate) fn words(mut words: Vec<OsString>) -> Vec<OsString> {
    match words.get(1).and_then(|word| word.to_str()) {
        Some("help") => {
            words.remove(1);
            words.push("--help".into());
        }
        Some("version") if words.len() == 2 => words[1] = "--version".into(),
        _ => {}
    }
    words
}

/// `error` with polyarch's word for the typed word.
pub(crate) fn answered(mut error: clap::Error) -> clap::Error {
    let typed = |kind| match error.get(kind) {
        Some(ContextValue::String(typed)) => Some(typed.clone()),
        _ => None,
    };
    let of = |table: &[(&str, &str)], typed: &str| {
        table.iter().find(|(theirs, _)| *theirs == typed).map(|(_, ours)| (*ours).to_owned())
    };
    let tip = match error.kind() {
        ErrorKind::UnknownArgument => typed(ContextKind::InvalidArg).and_then(|typed| {
            let key = |key: String| format!("set `{key}` in the plan, or pass --set '*.{key}=…' for one run");
            of(&KEYS, &typed).map(key).or_else(|| of(&OPTIONS, &typed))
        }),
        ErrorKind::InvalidSubcommand => typed(ContextKind::InvalidSubcommand).and_then(|typed| of(&COMMANDS, &typed)),
        _ => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![as_typed(&tip).into_owned().into()]));
    }
    error
}

/// The first word among `images` that is a directory, a file or a URL, and a hint.
pub(crate) fn no_image(images: &[String]) -> Option<(&str, String)> {
    let is_plan = |word: &str| [".yaml", ".yml"].iter().any(|end| word.ends_with(end));
    let is_place = |word: &str| word == "." || word == ".." || word.contains('/') || is_plan(word);
    let word = images.iter().map(String::as_str).find(|word| is_place(word))?;
    let hint = if is_plan(word) {
        format!("name another plan with -f {word}")
    } else {
        "leave it out: `context` in the plan names the directory; -f FILE names another plan".to_owned()
    };
    Some((word, hint))
}

/// Whether `text` is a Dockerfile and not a plan.
pub(crate) fn is_dockerfile(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    words.len() > 1 && ["FROM", "ARG"].iter().any(|keyword| words[0].eq_ignore_ascii_case(keyword))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_version_words_become_options() {
        for (typed, read) in [
            (&["polyarch", "help"][..], &["polyarch", "--help"][..]),
            (&["polyarch", "help", "build"], &["polyarch", "build", "--help"]),
            (&["polyarch", "version"], &["polyarch", "--version"]),
            (&["polyarch", "build", "help"], &["polyarch", "build", "help"]),
            (&["polyarch", "version", "x"], &["polyarch", "version", "x"]),
        ] {
            assert_eq!(words(typed.iter().map(OsString::from).collect()), read, "{typed:?}");
        }
    }

    #[test]
    fn dockerfile_is_distinguished_from_a_plan() {
        for text in ["FROM scratch", "# syntax=x\n\nfrom a AS b\n", "ARG A=1\nFROM b"] {
            assert!(is_dockerfile(text), "{text}");
        }
        for text in ["version: 1", "", "# FROM a\nversion: 1", "FROM:\n  a: 1", "{from: a}"] {
            assert!(!is_dockerfile(text), "{text}");
        }
    }
}
