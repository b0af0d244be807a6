//! Reads `registry`.

use std::path::Path;

use crate::oci::{RegistryHost, RepositoryPath};

use super::keys::REGISTRY;
use super::model::{NamedRegistry, RegistryChoice, Transport};
use super::node::{Node, Origin, Value, get};
use super::paths;
use super::reader::{Late, Read, Reader};
use super::suggest::did_you_mean;

/// A registry, and the namespace that was written after its host.
pub(super) struct Target {
    pub(super) choice: RegistryChoice,
    pub(super) namespace: Option<RepositoryPath>,
}

/// Reads `registry`: a string, or a map of `host`, `insecure` and `ca`.
pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>, directory: &Path) -> Read<Target> {
    let Some(node) = node else { return Ok(Target { choice: RegistryChoice::Unnamed, namespace: None }) };
    match &node.value {
        Value::List(_) => {
            let hint = "name one".to_owned();
            Err(reader.problem(&node.origin, "several registries are not yet supported", Some(hint)))
        }
        Value::Map(_) => read_map(reader, node, directory),
        _ => {
            let text = reader.text(node, "`registry`", Late::default())?;
            if text == "local" {
                return Ok(Target { choice: RegistryChoice::Embedded, namespace: None });
            }
            let (host, namespace) = split(reader, &node.origin, &text)?;
            let transport = if host.is_loopback() { Transport::InsecureHttp } else { Transport::Https };
            Ok(Target { choice: RegistryChoice::Named(NamedRegistry { host, transport, ca: None }), namespace })
        }
    }
}

fn read_map(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Read<Target> {
    let map = reader.map(node, "`registry`", &REGISTRY)?;
    let insecure = get(&map, "insecure").map(|entry| reader.boolean(&entry.value, "`insecure`")).transpose();
    let ca = get(&map, "ca").map(|entry| reader.text(&entry.value, "`ca`", Late::default())).transpose();
    let Some(host) = get(&map, "host") else {
        let hint = "add it: { host: ghcr.io/NAMESPACE }".to_owned();
        return Err(reader.problem(&node.origin, "`registry` has no `host`", Some(hint)));
    };
    let text = reader.text(&host.value, "`host`", Late::default())?;
    if text == "local" {
        let hint = "write registry: local".to_owned();
        return Err(reader.problem(&host.value.origin, "the embedded registry has no settings", Some(hint)));
    }
    let (host, namespace) = split(reader, &host.value.origin, &text)?;
    let (insecure, ca) = (insecure?, ca?.map(|ca| paths::join(directory, &ca)));
    if insecure == Some(true) && ca.is_some() {
        return Err(reader.problem(&node.origin, "a registry is either `insecure` or has a `ca`", None));
    }
    // Loopback speaks HTTP unless something was said that only TLS can mean.
    let plain = insecure.unwrap_or(host.is_loopback() && ca.is_none());
    let transport = if plain { Transport::InsecureHttp } else { Transport::Https };
    Ok(Target { choice: RegistryChoice::Named(NamedRegistry { host, transport, ca }), namespace })
}

/// `host[:port][/namespace]`
fn split(reader: &mut Reader<'_>, origin: &Origin, text: &str) -> Read<(RegistryHost, Option<RepositoryPath>)> {
    if text == "ecr" {
        let hint = "name its host".to_owned();
        return Err(reader.problem(origin, "`registry: ecr` is not yet supported", Some(hint)));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let hint = format!("write {rest}; plain HTTP is {{ host: {rest}, insecure: true }}");
        return Err(reader.problem(origin, "a registry is named without a scheme", Some(hint)));
    }
    let (host, namespace) = match text.split_once('/') {
        Some((host, namespace)) => (host, Some(namespace)),
        None => (text, None),
    };
    if host != "localhost" && !host.contains(['.', ':']) {
        let hint = did_you_mean(text, ["local"])
            .unwrap_or_else(|| format!("Docker Hub is docker.io/{text}; the embedded registry is `local`"));
        return Err(reader.problem(
            origin,
            format!("`{host}` is not a registry: its host has a dot or a port"),
            Some(hint),
        ));
    }
    let host = host
        .parse()
        .map_err(|error| reader.problem(origin, format!("the registry `{host}` is not valid: {error}"), None))?;
    let parse = |namespace: &str| {
        namespace
            .parse()
            .map_err(|error| reader.problem(origin, format!("the namespace `{namespace}` is not valid: {error}"), None))
    };
    Ok((host, namespace.map(parse).transpose()?))
}
