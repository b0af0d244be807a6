//! Reads `args`, `labels` and `annotations`.

use std::collections::BTreeMap;

use super::export::EPOCH;
use super::node::{Map, Node, Origin, Value};
use super::reader::{Late, Read, Reader};

type Pairs = BTreeMap<String, String>;

/// Parts of a build argument's name that say that it holds a secret.
const SECRET_NAMES: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PRIVATE_KEY"];

/// Reads `args`, with `--build-arg` over them. A name without a value is taken from the environment, and is left out
/// with a warning where it is not set, as docker leaves it out.
pub(super) fn args(reader: &mut Reader<'_>, node: Option<&Node>, flags: &[String], late: Late<'_>) -> Read<Pairs> {
    let mut args = Ok(Pairs::new());
    for entry in entries(reader, node, "args")?.iter() {
        reader.go_on()?;
        let (origin, name) = (&entry.key.origin, &*entry.key.name);
        let value = check_name(reader, origin, "a build argument", name).and_then(|()| match &entry.value.value {
            Value::Null => Ok(from_environment(reader, origin, name)),
            _ => reader.text(&entry.value, &format!("the build argument `{name}`"), late).map(Some),
        });
        lint(reader, origin, name, value.as_ref().ok().and_then(Option::as_deref));
        let value = value.and_then(|value| controls(reader, origin, name, value));
        insert(&mut args, name, value);
    }
    for flag in flags {
        let name = flag.split('=').next().unwrap_or_default();
        let origin = Origin::Flag(format!("--build-arg {name}").into());
        let value = check_name(reader, &origin, "a build argument", name).map(|()| match flag.split_once('=') {
            Some((_, value)) => Some(value.to_owned()),
            None => from_environment(reader, &origin, name),
        });
        reader.charge(flag.len());
        lint(reader, &origin, name, value.as_ref().ok().and_then(Option::as_deref));
        let value = value.and_then(|value| controls(reader, &origin, name, value));
        insert(&mut args, name, value);
    }
    // As buildx does: what is said for every tool is said to the build, unless the plan says otherwise.
    if let Ok(args) = &mut args
        && let (false, Some(epoch)) =
            (args.contains_key(EPOCH), reader.environment().get(EPOCH).filter(|epoch| !epoch.is_empty()))
    {
        args.insert(EPOCH.to_owned(), epoch.clone());
    }
    epoch_is_a_time(reader, node, args)
}

/// Refuses an argument by which the Dockerfile frontend makes another result than one image: an index (BuildKit,
/// `frontend/dockerui/config.go`), or attestations beside it (`frontend/attestations/parse.go`). The plan has words for
/// these. Every other argument of BuildKit's changes a build within its image, and passes.
fn controls(reader: &mut Reader<'_>, origin: &Origin, name: &str, value: Option<String>) -> Read<Option<String>> {
    let is_off = |value: &str| matches!(value, "" | "0" | "f" | "F" | "false" | "False" | "FALSE");
    let message = |does: &str| format!("the build argument `{name}` {does}");
    let (message, hint) = match (name, value.as_deref()) {
        ("BUILDKIT_MULTI_PLATFORM", Some(value)) if !is_off(value) => (
            message("has BuildKit make an index, and polyarch makes the index of images"),
            "leave it out: `platforms` says what the index lists".to_owned(),
        ),
        ("BUILDKIT_INLINE_CACHE", Some(value)) if !is_off(value) => (
            message("is a word of buildx, which BuildKit itself does not read"),
            "say `cache: { to: { type: inline } }`".to_owned(),
        ),
        (name, Some(_)) => match name.strip_prefix("BUILDKIT_ATTEST_") {
            Some(kind) => {
                let key = if kind.eq_ignore_ascii_case("sbom") { "sbom: true" } else { "provenance: min" };
                (message("has BuildKit attest something beside the plan"), format!("say `{key}`"))
            }
            None => return Ok(value),
        },
        _ => return Ok(value),
    };
    Err(reader.problem(origin, message, Some(hint)))
}

/// BuildKit fails late, and without a place, on what is no number.
fn epoch_is_a_time(reader: &mut Reader<'_>, node: Option<&Node>, args: Read<Pairs>) -> Read<Pairs> {
    let args = args?;
    match args.get(EPOCH) {
        Some(epoch) if epoch.parse::<u64>().is_err() => {
            let origin = node.map_or_else(|| Origin::Flag(EPOCH.into()), |node| node.origin.clone());
            let message = format!("{EPOCH} is `{}`, which is no number of seconds since 1970", epoch.escape_debug());
            Err(reader.problem(&origin, message, Some("unset it, or set it as `date +%s` prints it".to_owned())))
        }
        _ => Ok(args),
    }
}

/// Reads `labels`. docker takes a label without a value for an empty one.
pub(super) fn labels(reader: &mut Reader<'_>, node: Option<&Node>, late: Late<'_>) -> Read<Pairs> {
    let mut labels = Ok(Pairs::new());
    for entry in entries(reader, node, "labels")?.iter() {
        reader.go_on()?;
        let (origin, name) = (&entry.key.origin, &*entry.key.name);
        let value = check_name(reader, origin, "a label", name).and_then(|()| match &entry.value.value {
            Value::Null => Ok(String::new()),
            _ => reader.text(&entry.value, &format!("the label `{name}`"), late),
        });
        insert(&mut labels, name, value.map(Some));
    }
    labels
}

/// Reads `annotations`: those of each platform's manifest.
pub(super) fn annotations(reader: &mut Reader<'_>, node: Option<&Node>, late: Late<'_>) -> Read<Pairs> {
    let mut annotations = Ok(Pairs::new());
    for entry in entries(reader, node, "annotations")?.iter() {
        reader.go_on()?;
        let (origin, name) = (&entry.key.origin, &*entry.key.name);
        let value = check_name(reader, origin, "an annotation", name)
            .and_then(|()| of_manifest(reader, origin, name))
            .and_then(|()| reader.text(&entry.value, &format!("the annotation `{name}`"), late));
        insert(&mut annotations, name, value.map(Some));
    }
    annotations
}

/// buildx writes before a colon of what an annotation is (`docker buildx build --annotation`).
fn of_manifest(reader: &mut Reader<'_>, origin: &Origin, name: &str) -> Read<()> {
    let Some((of @ ("index" | "manifest" | "manifest-descriptor" | "index-descriptor"), _)) = name.split_once(':')
    else {
        return Ok(());
    };
    let hint = "without it, it is one of each platform's manifest; those of the index are not yet supported".to_owned();
    Err(reader.problem(origin, format!("the annotation `{name}` must not say `{of}:`"), Some(hint)))
}

/// Puts a pair, if it has a value; one that could not be read takes all of them away.
fn insert(pairs: &mut Read<Pairs>, name: &str, value: Read<Option<String>>) {
    match (value, pairs.as_mut()) {
        (Ok(Some(value)), Ok(pairs)) => drop(pairs.insert(name.to_owned(), value)),
        (Err(told), Ok(_)) => *pairs = Err(told),
        (Ok(None), _) | (_, Err(_)) => {}
    }
}

fn lint(reader: &mut Reader<'_>, origin: &Origin, name: &str, value: Option<&str>) {
    let upper = name.to_ascii_uppercase();
    if value.is_some_and(|value| !value.is_empty()) && SECRET_NAMES.iter().any(|part| upper.contains(part)) {
        let message = format!("the build argument `{name}` looks like a secret, and stays in the image's history");
        let hint = "list it under `secrets`, and read it with RUN --mount=type=secret,id=…".to_owned();
        reader.warning(origin, message, Some(hint));
    }
}

fn entries(reader: &mut Reader<'_>, node: Option<&Node>, key: &str) -> Read<Map> {
    let Some(node) = node else { return Ok(Map::default()) };
    // Lists were made maps of, but for those that cannot be.
    if matches!(node.value, Value::List(_)) {
        let hint = "each is a string NAME=VALUE, or NAME, and no name is there twice".to_owned();
        return Err(reader.problem(&node.origin, format!("`{key}` is not a list of names and values"), Some(hint)));
    }
    reader.any_map(node, &format!("`{key}`"))
}

fn from_environment(reader: &mut Reader<'_>, origin: &Origin, name: &str) -> Option<String> {
    let value = reader.environment().get(name).cloned();
    if value.is_none() {
        let message = format!("the build argument `{name}` is left out: the environment does not have it");
        reader.warning(origin, message, Some(format!("give it a value, or set {name}")));
    }
    value
}

/// `=` would end the name in the request to the engine; blanks and control characters are never meant.
fn check_name(reader: &mut Reader<'_>, origin: &Origin, what: &str, name: &str) -> Read<()> {
    if !name.is_empty() && !name.contains(|c: char| c == '=' || c == '$' || c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    let hint = "names are not interpolated; they have no blanks, `=` or `$`".to_owned();
    Err(reader.problem(origin, format!("`{}` is not the name of {what}", name.escape_debug()), Some(hint)))
}
