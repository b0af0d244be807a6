//! Reads `secrets`: what a build may mount, by id, and where its value will be found. No value is read here.

use std::path::Path;

use super::distinct::distinct;
use super::keys::SECRET;
use super::node::{Map, Node, Value, get};
use super::paths;
use super::reader::{Late, Read, Reader};
use super::spec::{SecretSource, SecretSpec};

/// Longest id, in bytes.
const MAX_ID: usize = 256;

/// Reads `secrets`, each of its ids once.
pub(super) fn read(
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
        let hint = "add it: { id: npm, env: NPM_TOKEN }".to_owned();
        return Err(reader.problem(&item.origin, "the secret has no `id`", Some(hint)));
    };
    let id = reader.text(&entry.value, "`id`", late)?;
    // The Dockerfile names it among options that commas separate.
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
            let hint = "say one of them: { id: npm, env: NPM_TOKEN } or { id: npm, file: npm.token }".to_owned();
            Err(reader.problem(&item.origin, format!("the secret has {both}"), Some(hint)))
        }
    }
}

/// The name of a variable. It takes no variables itself: `env: ${TOKEN}` would show in the plan what must not be seen.
fn variable(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<String> {
    let written = match &node.value {
        Value::Text(text) | Value::Flag(text) => text.as_str(),
        _ => "",
    };
    if written.contains('$') {
        let hint = "write the name alone: env: NPM_TOKEN".to_owned();
        return Err(reader.problem(&node.origin, "`env` is the name of a variable, and takes none", Some(hint)));
    }
    let name = reader.text(node, "`env`", late)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(allowed) {
        let hint = "letters, digits and `_`, as NPM_TOKEN".to_owned();
        return Err(reader.problem(&node.origin, "`env` is not the name of a variable", Some(hint)));
    }
    Ok(name)
}
