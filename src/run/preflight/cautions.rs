//! Cautions about settings that work but may be dangerous. A run prints each caution once, unless the plan silences
//! it.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::is_dockers_frontend;
use crate::engine::given_dockerfile;
use crate::plan::{BuildSpec, Caution};
use crate::run::event::Warning;
use crate::run::schedule::engines::Engines;
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

/// All cautions except the `silenced` ones.
pub(in crate::run) fn cautions(schedule: &Schedule, engines: &Engines, silenced: &BTreeSet<Caution>) -> Vec<Warning> {
    let all = [
        (Caution::VulnerableEngine, vulnerable_engines(schedule, engines)),
        (Caution::ForeignFrontend, foreign_frontends(schedule)),
        (Caution::SecretNames, secret_names(schedule)),
    ];
    let wanted = all.into_iter().filter(|(caution, _)| !silenced.contains(caution));
    let texts =
        wanted.flat_map(|(caution, texts)| texts.into_iter().map(move |(message, hint)| (caution, message, hint)));
    texts
        .map(|(caution, message, hint)| Warning {
            image: None,
            platform: None,
            message: message.into(),
            hint: Some(format!("{hint}; `silence: [{}]` in the plan ends this warning", caution.as_str()).into()),
        })
        .collect()
}

/// The messages of a caution, each with its hint.
type Messages = Vec<(String, &'static str)>;

/// Each engine that builds and has a known vulnerability that lets a build escape.
fn vulnerable_engines(schedule: &Schedule, engines: &Engines) -> Messages {
    let building: BTreeSet<_> = schedule.builds_at_equal_places().map(|job| job.engine).collect();
    let warnings = building.into_iter().filter_map(|engine| {
        let reached = &engines.list()[engine];
        let (name, version, escapes) = (&reached.spec.name, &reached.facts().version, reached.facts().escapes());
        let message = format!(
            "engine {name} ({version}) has known vulnerabilities that let a build escape, judged by its versions: {}",
            escapes.join(" and ")
        );
        (!escapes.is_empty()).then_some((message, "update the engine, or build only trusted Dockerfiles on it"))
    });
    warnings.collect()
}

/// Each frontend that is not Docker's own, with the images that it builds.
fn foreign_frontends(schedule: &Schedule) -> Messages {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ScheduledBuild { id, job, .. } in schedule.builds() {
        if let Some(frontend) = frontend(&job.work.spec).filter(|frontend| !is_dockers_frontend(frontend)) {
            found.entry(frontend).or_default().insert(id.image.clone());
        }
    }
    let warnings = found.into_iter().map(|(frontend, images)| {
        let images = Vec::from_iter(images).join(", ");
        let message = format!("{images}: the frontend {frontend} is not docker/dockerfile, and it controls the build");
        (message, "pin the frontend by its digest if you trust it (`# syntax=IMAGE@sha256:…`)")
    });
    warnings.collect()
}

/// The frontend that a build argument or the Dockerfile names. polyarch does not read a Dockerfile that the engine
/// fetches. If the Dockerfile cannot be read, its build fails later.
fn frontend(build: &BuildSpec) -> Option<String> {
    let given = build.args.get("BUILDKIT_SYNTAX").cloned();
    given.or_else(|| given_dockerfile(&build.dockerfile)?.frontend().ok()?)
}

/// The build arguments and labels whose names look like secrets.
fn secret_names(schedule: &Schedule) -> Messages {
    let mut found = BTreeSet::new();
    for ScheduledBuild { job, .. } in schedule.builds() {
        let BuildSpec { args, labels, .. } = &job.work.spec;
        let args = args.keys().filter(|name| has_word(name, &[&SECRET, &SECRET_IN_ARGS]));
        let labels = labels.keys().filter(|name| has_word(name, &[&SECRET]));
        found.extend(args.map(|name| format!("args.{name}")).chain(labels.map(|name| format!("labels.{name}"))));
    }
    if found.is_empty() {
        return Vec::new();
    }
    let names = Vec::from_iter(found).join(", ");
    let message = format!(
        "{names}: the name looks like a secret, but anyone who has the image or its provenance can read the value"
    );
    vec![(message, "mount the secret: `secrets: [{ id: ID, env: NAME }]` and `RUN --mount=type=secret,id=ID`")]
}

/// Words in the names of secrets (BuildKit, lint rule `SecretsUsedInArgOrEnv`). The two entries of `SECRET_IN_ARGS`
/// also occur in labels that configure something: `traefik.http.middlewares.auth.basicauth.users`.
const SECRET: [&str; 8] = ["apikey", "credential", "credentials", "password", "pword", "passwd", "secret", "token"];
const SECRET_IN_ARGS: [&str; 2] = ["auth", "key"];
/// The word in names that hold no secret.
const PUBLIC: &str = "public";

fn has_word(name: &str, secret: &[&[&str]]) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<_> = name.split(['_', '-', '.', '/']).collect();
    words.iter().any(|word| secret.concat().contains(word)) && !words.contains(&PUBLIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_looking_names_are_recognised_by_words() {
        let (arg, label) = (|name| has_word(name, &[&SECRET, &SECRET_IN_ARGS]), |name| has_word(name, &[&SECRET]));
        for name in ["NPM_TOKEN", "password", "APIKEY", "aws_secret_access_key", "com.example.db.passwd"] {
            assert!(arg(name) && label(name), "{name}");
        }
        for name in ["API_KEY", "x-auth", "traefik.http.middlewares.auth.basicauth.users"] {
            assert!(arg(name) && !label(name), "{name}");
        }
        for name in ["VERSION", "KEYBOARD", "TOKENIZER", "PUBLIC_KEY", "AUTHOR", "org.opencontainers.image.authors", ""]
        {
            assert!(!arg(name) && !label(name), "{name}");
        }
    }
}
