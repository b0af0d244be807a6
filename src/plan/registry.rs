//! Reads `registry`.

use std::fmt;
use std::path::Path;

use crate::oci::{RegistryHost, RepositoryPath};

use super::distinct::distinct;
use super::keys::REGISTRY;
use super::model::{NamedRegistry, RegistryChoice, Transport};
use super::node::{Node, Origin, Value, get};
use super::paths;
use super::reader::{Late, Read, Reader};
use super::suggest::did_you_mean;

/// Most registries of a plan.
const MOST: usize = 16;

/// Where images are built to, and where they are copied to.
#[derive(Default)]
pub(super) struct Registries {
    pub(super) first: RegistryChoice,
    pub(super) copies: Vec<NamedRegistry>,
}

impl Registries {
    /// All that have a name.
    pub(super) fn named(&self) -> impl Iterator<Item = &NamedRegistry> {
        self.first.named().into_iter().chain(&self.copies)
    }
}

/// Reads `registry`: one, or a list of them.
pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>, directory: &Path) -> Read<Registries> {
    match node {
        None => Ok(Registries::default()),
        Some(Node { value: Value::List(items), origin }) => list(reader, origin, items, directory),
        Some(node) => Ok(Registries { first: one(reader, node, directory)?, copies: Vec::new() }),
    }
}

fn list(reader: &mut Reader<'_>, origin: &Origin, items: &[Node], directory: &Path) -> Read<Registries> {
    if items.len() > MOST {
        return Err(reader.problem(
            origin,
            format!("these are {} registries, at most {MOST} are taken", items.len()),
            None,
        ));
    }
    let read = distinct(reader, items, |reader, item| {
        let choice = one(reader, item, directory)?;
        let name = choice.named().map_or_else(|| "local".to_owned(), ToString::to_string);
        if name == "local" && !std::ptr::eq(item, &raw const items[0]) {
            let hint = "write it first, or leave it out".to_owned();
            let message = "images are built to the embedded registry, and not copied there: only this machine reads it";
            return Err(reader.problem(&item.origin, message, Some(hint)));
        }
        Ok((name, choice))
    })?;
    let mut choices = read.into_iter().map(|(_, choice)| choice);
    let Some(first) = choices.next() else {
        let hint = "name one, or leave the key out for the embedded registry".to_owned();
        return Err(reader.problem(origin, "`registry` is an empty list", Some(hint)));
    };
    Ok(Registries { first, copies: choices.filter_map(|choice| choice.named().cloned()).collect() })
}

/// Reads one registry: a string, or a map of `host`, `insecure` and `ca`.
fn one(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Read<RegistryChoice> {
    if let Value::Map(_) = &node.value {
        return read_map(reader, node, directory).map(RegistryChoice::Named);
    }
    let text = reader.text(node, "`registry`", Late::default())?;
    if text == "local" {
        return Ok(RegistryChoice::Embedded);
    }
    let (host, namespace) = split(reader, &node.origin, &text)?;
    let transport = if host.is_loopback() { Transport::InsecureHttp } else { Transport::Https };
    Ok(RegistryChoice::Named(NamedRegistry { host, namespace, transport, ca: None }))
}

fn read_map(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Read<NamedRegistry> {
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
    Ok(NamedRegistry { host, namespace, transport, ca })
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

impl fmt::Display for NamedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}", self.host),
            None => self.host.fmt(f),
        }
    }
}
