//! Reads `args` and `labels`.

use std::collections::BTreeMap;

use super::node::{Map, Node, Origin, Value};
use super::reader::{Late, Reader};

type Pairs = BTreeMap<String, String>;

/// Parts of a build argument's name that say that it holds a secret.
const SECRET_NAMES: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PRIVATE_KEY"];

/// Reads `args`, with `--build-arg` over them. A name without a value is taken from the environment, and is left out
/// with a warning where it is not set, as docker leaves it out.
pub(super) fn args(reader: &mut Reader<'_>, node: Option<&Node>, flags: &[String], late: Late<'_>) -> Option<Pairs> {
    let mut args = Some(Pairs::new());
    for entry in entries(reader, node, "args")?.iter() {
        let (origin, name) = (&entry.key.origin, &*entry.key.name);
        let value = match &entry.value.value {
            _ if !is_name(reader, origin, "a build argument", name) => None,
            Value::Null => Some(from_environment(reader, origin, name)),
            _ => reader.text(&entry.value, &format!("the build argument `{name}`"), late).map(Some),
        };
        insert(reader, &mut args, origin, name, value);
    }
    for flag in flags {
        let origin = Origin::Flag(format!("--build-arg {}", flag.split('=').next().unwrap_or_default()).into());
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (&**flag, from_environment(reader, &origin, flag)),
        };
        reader.charge(flag.len());
        let value = is_name(reader, &origin, "a build argument", name).then_some(value);
        insert(reader, &mut args, &origin, name, value);
    }
    args
}

/// Reads `labels`.
pub(super) fn labels(reader: &mut Reader<'_>, node: Option<&Node>, late: Late<'_>) -> Option<Pairs> {
    let mut labels = Some(Pairs::new());
    for entry in entries(reader, node, "labels")?.iter() {
        let (origin, name) = (&entry.key.origin, &*entry.key.name);
        let value = match &entry.value.value {
            _ if !is_name(reader, origin, "a label", name) => None,
            // docker takes a label without a value for an empty one.
            Value::Null => Some(String::new()),
            _ => reader.text(&entry.value, &format!("the label `{name}`"), late),
        };
        match (value, &mut labels) {
            (Some(value), Some(labels)) => drop(labels.insert(name.to_owned(), value)),
            _ => labels = None,
        }
    }
    labels
}

/// Puts an argument; one that could not be read takes all of them away.
fn insert(
    reader: &mut Reader<'_>,
    args: &mut Option<Pairs>,
    origin: &Origin,
    name: &str,
    value: Option<Option<String>>,
) {
    let Some(value) = value else {
        *args = None;
        return;
    };
    let (Some(value), Some(args)) = (value, args) else { return };
    let upper = name.to_ascii_uppercase();
    if !value.is_empty() && SECRET_NAMES.iter().any(|part| upper.contains(part)) {
        let message = format!("the build argument `{name}` looks like a secret, and stays in the image's history");
        reader.warning(
            origin,
            message,
            Some("build secrets are not yet supported: fetch it outside of the build".to_owned()),
        );
    }
    args.insert(name.to_owned(), value);
}

fn entries(reader: &mut Reader<'_>, node: Option<&Node>, key: &str) -> Option<Map> {
    let Some(node) = node else { return Some(Map::default()) };
    match &node.value {
        Value::List(_) => {
            let hint = "each is a string NAME=VALUE, or NAME, and no name is there twice".to_owned();
            reader.problem(&node.origin, format!("`{key}` is not a list of names and values"), Some(hint));
            None
        }
        _ => reader.any_map(node, &format!("`{key}`")),
    }
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
fn is_name(reader: &mut Reader<'_>, origin: &Origin, what: &str, name: &str) -> bool {
    let valid =
        !name.is_empty() && !name.contains(|c: char| c == '=' || c == '$' || c.is_whitespace() || c.is_control());
    if !valid {
        let hint = "names are not interpolated; they have no blanks, `=` or `$`".to_owned();
        reader.problem(origin, format!("`{}` is not the name of {what}", name.escape_debug()), Some(hint));
    }
    valid
}
