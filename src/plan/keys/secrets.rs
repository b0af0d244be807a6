//! Reads `secrets`: the ids of secrets and the places of their values. polyarch does not read the values here.

use std::path::Path;

use crate::plan::model::spec::{SecretSource, SecretSpec};
use crate::plan::read::distinct::distinct;
use crate::plan::read::keys::SECRET;
use crate::plan::read::node::{Map, Node, Value, get};
use crate::plan::read::paths;
use crate::plan::read::reader::{Late, Read, Reader};

/// The longest id, in bytes.
const MAX_ID: usize = 256;

/// Reads `secrets`. Each id may appear once.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    late: Late<'_>,
    directory: &Path,
) -> Read<Vec<SecretSpec>> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let items = reader.list(node, "`secrets`")?;
    let read = |reader: &mut Reader<'_>, item: &Node| {
        let map = reader.map(item, "a secret", &SECRET)?;
        let id = id(reader, item, &map, late);
        let source = source(reader, item, &map, late, directory);
        Ok((id?, source?))
    };
    let secrets = distinct(reader, &items, read)?;
    Ok(secrets.into_iter().map(|(id, source)| SecretSpec { id, source }).collect())
}

fn id(reader: &mut Reader<'_>, item: &Node, map: &Map, late: Late<'_>) -> Read<String> {
    let Some(entry) = get(map, "id") else {
        let hint = "add the id: { id: npm, env: NPM_TOKEN }".to_owned();
        return Err(reader.problem(&item.origin, "the secret has no `id`", Some(hint)));
    };
    let id = reader.text(&entry.value, "`id`", late)?;
    // The Dockerfile writes the id among options that are separated by commas.
    if id.is_empty() || id.len() > MAX_ID || id.contains(|c: char| c.is_control() || c.is_whitespace() || c == ',') {
        let message = format!("`id` must be 1 to {MAX_ID} bytes without spaces and commas");
        return Err(reader.problem(&entry.value.origin, message, None));
    }
    Ok(id)
}

fn source(reader: &mut Reader<'_>, item: &Node, map: &Map, late: Late<'_>, directory: &Path) -> Read<SecretSource> {
    match (get(map, "env"), get(map, "file")) {
        (Some(env), None) => variable(reader, &env.value, late).map(SecretSource::Env),
        (None, Some(file)) => {
            let path = reader.text(&file.value, "`file`", late)?;
            if path.is_empty() {
                return Err(reader.problem(&file.value.origin, "`file` is empty", None));
            }
            Ok(SecretSource::File(paths::join(directory, &path)))
        }
        (env, _) => {
            let both = if env.is_some() { "both `env` and `file`" } else { "neither `env` nor `file`" };
            let hint =
                "set exactly one of them: { id: npm, env: NPM_TOKEN } or { id: npm, file: npm.token }".to_owned();
            Err(reader.problem(&item.origin, format!("the secret has {both}"), Some(hint)))
        }
    }
}

/// The name of an environment variable. The name is not interpolated, because `env: ${TOKEN}` would show the secret in
/// the plan.
fn variable(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<String> {
    let written = match &node.value {
        Value::Text(text) | Value::Flag(text) => text.as_str(),
        _ => "",
    };
    if written.contains('$') {
        let hint = "write the name alone: env: NPM_TOKEN".to_owned();
        return Err(reader.problem(
            &node.origin,
            "`env` must be the name of a variable, and must not contain one",
            Some(hint),
        ));
    }
    let name = reader.text(node, "`env`", late)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(allowed) {
        let hint = "use letters, digits and `_`, as in NPM_TOKEN".to_owned();
        return Err(reader.problem(&node.origin, "`env` is not the name of a variable", Some(hint)));
    }
    Ok(name)
}
