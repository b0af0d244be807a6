//! Reads `args`, `labels` and `annotations`.

use std::collections::BTreeMap;

use super::node::{Origin, Value};
use crate::plan::read::node::{Map, Node};
use crate::plan::read::reader::{Late, Read, Reader};

type Pairs = BTreeMap<String, String>;

/// Parts of a build argument's name which suggest that the value is a secret.
const SECRET_NAMES: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PRIVATE_KEY"];

/// Reads `args`, overridden by `--build-arg`. A name without a value takes its value from the environment. If the
/// environment does not set it, polyarch warns and omits the argument, as docker does.
pub(in crate::plan) fn args(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    flags: &[String],
    late: Late<'_>,
) -> Read<Pairs> {
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
    // The same as in buildx: the variable of the environment applies to the build, unless the plan sets the argument.
    if let Ok(args) = &mut args
        && let (false, Some(epoch)) =
            (args.contains_key(EPOCH), reader.environment().get(EPOCH).filter(|epoch| !epoch.is_empty()))
    {
        args.insert(EPOCH.to_owned(), epoch.clone());
    }
    epoch_is_a_time(reader, node, args)
}

/// Refuses arguments that make the Dockerfile frontend return more than one image. Some create an index (BuildKit,
/// `frontend/dockerui/config.go`), and some create attestations (`frontend/attestations/parse.go`). The plan has its
/// own keys for both. All other arguments of BuildKit are allowed.
fn controls(reader: &mut Reader<'_>, origin: &Origin, name: &str, value: Option<String>) -> Read<Option<String>> {
    let is_off = |value: &str| matches!(value, "" | "0" | "f" | "F" | "false" | "False" | "FALSE");
    let message = |does: &str| format!("the build argument `{name}` {does}");
    let (message, hint) = match (name, value.as_deref()) {
        ("BUILDKIT_MULTI_PLATFORM", Some(value)) if !is_off(value) => (
            message("makes BuildKit create an index, and polyarch creates the image index itself"),
            "remove the argument: `platforms` specifies the entries of the index".to_owned(),
        ),
        ("BUILDKIT_INLINE_CACHE", Some(value)) if !is_off(value) => (
            message("is an option of buildx that BuildKit does not read"),
            "set `cache: { to: { type: inline } }`".to_owned(),
        ),
        (name, Some(_)) => match name.strip_prefix("BUILDKIT_ATTEST_") {
            Some(kind) => {
                let key = if kind.eq_ignore_ascii_case("sbom") { "sbom: true" } else { "provenance: min" };
                (
                    message("makes BuildKit add an attestation that the plan does not specify"),
                    format!(
                        "set \
                    `{key}` in the plan"
                    ),
                )
            }
            None => return Ok(value),
        },
        _ => return Ok(value),
    };
    Err(reader.problem(origin, message, Some(hint)))
}

/// Checks the epoch here, because BuildKit reports a wrong number late and without a place.
fn epoch_is_a_time(reader: &mut Reader<'_>, node: Option<&Node>, args: Read<Pairs>) -> Read<Pairs> {
    let args = args?;
    match args.get(EPOCH) {
        Some(epoch) if epoch.parse::<u64>().is_err() => {
            let origin = node.map_or_else(|| Origin::Flag(EPOCH.into()), |node| node.origin.clone());
            let message = format!("{EPOCH} is `{}`, which is not a number of seconds since 1970", epoch.escape_debug());
            Err(reader.problem(
                &origin,
                message,
                Some("unset the variable, or set it to the output of `date +%s`".to_owned()),
            ))
        }
        _ => Ok(args),
    }
}

/// Reads `labels`. A label without a value is empty, as in docker.
pub(in crate::plan) fn labels(reader: &mut Reader<'_>, node: Option<&Node>, late: Late<'_>) -> Read<Pairs> {
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

/// Reads `annotations` of each platform's manifest.
pub(in crate::plan) fn annotations(reader: &mut Reader<'_>, node: Option<&Node>, late: Late<'_>) -> Read<Pairs> {
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

/// Refuses a prefix of buildx that selects the annotated document (`docker buildx build --annotation`).
fn of_manifest(reader: &mut Reader<'_>, origin: &Origin, name: &str) -> Read<()> {
    let Some((of @ ("index" | "manifest" | "manifest-descriptor" | "index-descriptor"), _)) = name.split_once(':')
    else {
        return Ok(());
    };
    let hint =
        "remove the prefix to annotate each platform's manifest; a plan cannot annotate the index yet".to_owned();
    Err(reader.problem(origin, format!("the annotation `{name}` must not begin with `{of}:`"), Some(hint)))
}

/// Inserts a pair that has a value. An error replaces all pairs.
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
        let message = format!("the build argument `{name}` looks like a secret, and the image's history keeps it");
        let hint = "list the secret under `secrets`, and read it with RUN --mount=type=secret,id=…".to_owned();
        reader.warning(origin, message, Some(hint));
    }
}

fn entries(reader: &mut Reader<'_>, node: Option<&Node>, key: &str) -> Read<Map> {
    let Some(node) = node else { return Ok(Map::default()) };
    // `forms` turned valid lists into maps. A list that is left is not valid.
    if matches!(node.value, Value::List(_)) {
        let hint = "write each item as NAME=VALUE or NAME, and each name once".to_owned();
        return Err(reader.problem(
            &node.origin,
            format!("`{key}` must be a list of different NAME=VALUE strings"),
            Some(hint),
        ));
    }
    reader.any_map(node, &format!("`{key}`"))
}

fn from_environment(reader: &mut Reader<'_>, origin: &Origin, name: &str) -> Option<String> {
    let value = reader.environment().get(name).cloned();
    if value.is_none() {
        let message = format!("polyarch omits the build argument `{name}`, which the environment does not set");
        reader.warning(origin, message, Some(format!("give the argument a value, or set {name} in the environment")));
    }
    value
}

/// A `=` would end the name in the request to the engine. Blanks and control characters are always mistakes.
fn check_name(reader: &mut Reader<'_>, origin: &Origin, subject: &str, name: &str) -> Read<()> {
    if !name.is_empty() && !name.contains(|c: char| c == '=' || c == '$' || c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    let hint = "write a name without blanks, `=` and `$`; polyarch does not interpolate names".to_owned();
    Err(reader.problem(origin, format!("`{}` is not the name of {subject}", name.escape_debug()), Some(hint)))
}

/// The build argument with the time that BuildKit writes into the image
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub(in crate::plan) const EPOCH: &str = "SOURCE_DATE_EPOCH";
