//! Reads `registry`.

use std::path::Path;

use crate::oci::{RegistryHost, RepositoryPath};

use super::keys::REGISTRY;
use super::model::{NamedRegistry, RegistryChoice, Transport};
use super::node::{Node, Origin, Value, get};
use super::reader::{Late, Reader};
use super::suggest::suggest;

/// A registry, and the namespace that was written after its host.
pub(super) struct Target {
    pub(super) choice: RegistryChoice,
    pub(super) namespace: Option<RepositoryPath>,
}

impl Target {
    const EMBEDDED: Self = Self { choice: RegistryChoice::Embedded, namespace: None };
    const UNNAMED: Self = Self { choice: RegistryChoice::Unnamed, namespace: None };
}

/// Reads `registry`: a string, or a map of `host`, `insecure` and `ca`.
pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>, directory: &Path) -> Option<Target> {
    let Some(node) = node else { return Some(Target::UNNAMED) };
    match &node.value {
        Value::Null => Some(Target::UNNAMED),
        Value::List(_) => {
            reader.problem(&node.origin, "several registries are not yet supported", Some("name one".to_owned()));
            None
        }
        Value::Map(_) => read_map(reader, node, directory),
        _ => {
            let text = reader.text(node, "`registry`", Late::default())?;
            if text == "local" {
                return Some(Target::EMBEDDED);
            }
            let (host, namespace) = split(reader, &node.origin, &text)?;
            let transport = if host.is_loopback() { Transport::InsecureHttp } else { Transport::Https };
            Some(Target { choice: RegistryChoice::Named(NamedRegistry { host, transport, ca: None }), namespace })
        }
    }
}

fn read_map(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Option<Target> {
    let map = reader.map(node, "`registry`", &REGISTRY)?;
    let insecure = get(&map, "insecure").map(|entry| (reader.boolean(&entry.value, "`insecure`"), &entry.value.origin));
    let ca = get(&map, "ca").map(|entry| reader.text(&entry.value, "`ca`", Late::default()));
    let Some(host) = get(&map, "host") else {
        reader.problem(
            &node.origin,
            "`registry` has no `host`",
            Some("add it: { host: ghcr.io/NAMESPACE }".to_owned()),
        );
        return None;
    };
    let text = reader.text(&host.value, "`host`", Late::default())?;
    if text == "local" {
        reader.problem(
            &host.value.origin,
            "the embedded registry has no settings",
            Some("write registry: local".to_owned()),
        );
        return None;
    }
    let (host, namespace) = split(reader, &host.value.origin, &text)?;
    let transport = match insecure {
        Some((Some(true), origin)) if ca.is_some() => {
            reader.problem(origin, "a registry is either `insecure` or has a `ca`", None);
            return None;
        }
        Some((Some(true), _)) => Transport::InsecureHttp,
        Some((Some(false), _)) => Transport::Https,
        Some((None, _)) => return None,
        None if host.is_loopback() && ca.is_none() => Transport::InsecureHttp,
        None => Transport::Https,
    };
    let ca = match ca {
        Some(path) => Some(super::paths::join(directory, &path?)),
        None => None,
    };
    Some(Target { choice: RegistryChoice::Named(NamedRegistry { host, transport, ca }), namespace })
}

/// `host[:port][/namespace]`
fn split(reader: &mut Reader<'_>, origin: &Origin, text: &str) -> Option<(RegistryHost, Option<RepositoryPath>)> {
    if text == "ecr" {
        reader.problem(origin, "`registry: ecr` is not yet supported", Some("name its host".to_owned()));
        return None;
    }
    if let Some((_, rest)) = text.split_once("://") {
        let hint = format!("write {rest}; plain HTTP is {{ host: {rest}, insecure: true }}");
        reader.problem(origin, "a registry is named without a scheme", Some(hint));
        return None;
    }
    let (host, namespace) = match text.split_once('/') {
        Some((host, namespace)) => (host, Some(namespace)),
        None => (text, None),
    };
    if host != "localhost" && !host.contains(['.', ':']) {
        let hint = suggest(text, ["local"]).filter(|hint| hint.starts_with("did you mean"));
        let hint = hint.unwrap_or_else(|| format!("Docker Hub is docker.io/{text}; the embedded registry is `local`"));
        reader.problem(origin, format!("`{host}` is not a registry: its host has a dot or a port"), Some(hint));
        return None;
    }
    let host: RegistryHost = host
        .parse()
        .map_err(|error| reader.problem(origin, format!("the registry `{host}` is not valid: {error}"), None))
        .ok()?;
    let namespace = match namespace {
        Some(namespace) => Some(
            namespace
                .parse()
                .map_err(|error| {
                    reader.problem(origin, format!("the namespace `{namespace}` is not valid: {error}"), None)
                })
                .ok()?,
        ),
        None => None,
    };
    Some((host, namespace))
}
