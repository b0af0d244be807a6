//! Reads certificates: `ca`, `cert` and `key`, and `tls` of an engine.

use std::path::{Path, PathBuf};

use super::keys::TLS;
use super::node::{Entry, Map, Value, get};
use super::paths;
use super::reader::{Late, Read, Reader};
use crate::plan::model::endpoint::tls::{ClientCertificate, EngineTls};

/// Reads `tls`: a map, which may be empty, or `true` for an empty map.
pub(in crate::plan) fn tls(reader: &mut Reader<'_>, entry: &Entry, directory: &Path) -> Read<EngineTls> {
    match &entry.value.value {
        Value::Bool(true) => return Ok(EngineTls::default()),
        Value::Flag(text) if text == "true" => return Ok(EngineTls::default()),
        Value::Bool(false) => {
            let hint = "remove `tls`: an address without it has no TLS".to_owned();
            return Err(reader.problem(&entry.value.origin, "`tls` must be a map or true", Some(hint)));
        }
        _ => {}
    }
    let map = reader.map(&entry.value, "`tls`", &TLS)?;
    let ca = authorities(reader, &map, directory);
    let client = client(reader, &map, directory);
    let name = get(&map, "servername");
    let name = name.map(|entry| reader.parsed(&entry.value, "`servername`", Late::default())).transpose();
    Ok(EngineTls { ca: ca?, client: client?, server_name: name? })
}

/// Reads `ca`: a file with authorities.
pub(in crate::plan) fn authorities(reader: &mut Reader<'_>, map: &Map, directory: &Path) -> Read<Option<PathBuf>> {
    Ok(file(reader, map, "ca")?.map(|file| paths::join(directory, &file)))
}

/// Reads `cert` and `key`: both or neither.
pub(in crate::plan) fn client(reader: &mut Reader<'_>, map: &Map, directory: &Path) -> Read<Option<ClientCertificate>> {
    let (cert, key) = (file(reader, map, "cert"), file(reader, map, "key"));
    if let (Some(cert), Some(key)) = (cert?, key?) {
        let (cert, key) = (paths::join(directory, &cert), paths::join(directory, &key));
        return Ok(Some(ClientCertificate { cert, key }));
    }
    for (present, missing) in [("cert", "key"), ("key", "cert")] {
        if let Some(entry) = get(map, present) {
            let message = format!("`{present}` is set, and `{missing}` is missing");
            let hint = format!("add `{missing}:` with its PEM file");
            return Err(reader.problem(&entry.key.origin, message, Some(hint)));
        }
    }
    Ok(None)
}

fn file(reader: &mut Reader<'_>, map: &Map, key: &str) -> Read<Option<String>> {
    get(map, key).map(|entry| reader.text(&entry.value, &format!("`{key}`"), Late::default())).transpose()
}
