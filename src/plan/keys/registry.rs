//! Reads `registry`.

use std::fmt;
use std::path::Path;

use super::ecr;
use crate::aws::{self, EcrHost};
use crate::oci::{RegistryHost, RepositoryPath};
use crate::plan::model::ecr::EcrControl;
use crate::plan::model::plan::{NamedRegistry, RegistryChoice, Transport};
use crate::plan::read::certificates;
use crate::plan::read::distinct::distinct;
use crate::plan::read::keys::REGISTRY;
use crate::plan::read::node::{Map, Node, Origin, Value, get};
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::did_you_mean;

/// The most registries of a plan.
const MOST: usize = 16;

/// The registry that polyarch builds to, and those that it copies to.
#[derive(Default)]
pub(in crate::plan) struct Registries {
    pub(in crate::plan) first: RegistryChoice,
    pub(in crate::plan) copies: Vec<NamedRegistry>,
}

impl Registries {
    /// All named registries.
    pub(in crate::plan) fn named(&self) -> impl Iterator<Item = &NamedRegistry> {
        self.first.named().into_iter().chain(&self.copies)
    }
}

/// Reads `registry`: one registry, or a list of registries.
pub(in crate::plan) fn read(reader: &mut Reader<'_>, node: Option<&Node>, directory: &Path) -> Read<Registries> {
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
            format!("the list has {} registries, and polyarch accepts at most {MOST}", items.len()),
            None,
        ));
    }
    let read = distinct(reader, items, |reader, item| {
        let choice = one(reader, item, directory)?;
        let name = choice.named().map_or_else(|| "local".to_owned(), ToString::to_string);
        if name == "local" && !std::ptr::eq(item, &raw const items[0]) {
            let hint = "write `local` first, or remove it".to_owned();
            let message = "polyarch does not copy images to the embedded registry, which only this machine can read";
            return Err(reader.problem(&item.origin, message, Some(hint)));
        }
        Ok((name, choice))
    })?;
    let mut choices = read.into_iter().map(|(_, choice)| choice);
    let Some(first) = choices.next() else {
        let hint = "name a registry, or remove the key to use the embedded registry".to_owned();
        return Err(reader.problem(origin, "`registry` is an empty list", Some(hint)));
    };
    Ok(Registries { first, copies: choices.filter_map(|choice| choice.named().cloned()).collect() })
}

/// Reads one registry: a string, or a map.
fn one(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Read<RegistryChoice> {
    if let Value::Map(_) = &node.value {
        return read_map(reader, node, directory).map(RegistryChoice::Named);
    }
    let text = reader.text(node, "`registry`", Late::default())?;
    if text == "local" {
        return Ok(RegistryChoice::Embedded);
    }
    let (host, namespace) = split(reader, &node.origin, &text)?;
    // The account's own registry counts as ECR even under another host name, such as that of a stand-in in tests.
    let ecr = (aws::is_ecr(&host) || ecr::is_own(node)).then(EcrControl::default);
    Ok(RegistryChoice::Named(NamedRegistry { namespace, ecr, ..host.into() }))
}

fn read_map(reader: &mut Reader<'_>, node: &Node, directory: &Path) -> Read<NamedRegistry> {
    let map = reader.map(node, "`registry`", &REGISTRY)?;
    let insecure = get(&map, "insecure").map(|entry| reader.boolean(&entry.value, "`insecure`")).transpose();
    let ca = certificates::authorities(reader, &map, directory);
    let cert = certificates::client(reader, &map, directory);
    let may_send_to = may_send_to(reader, &map);
    let kind = kind(reader, &map);
    let control = ecr::control(reader, &map);
    let (kind, control) = (kind?, control?);
    let (host, namespace) = match get(&map, "host") {
        Some(host) => read_host(reader, &host.value)?,
        None if kind == Some(Kind::Ecr) => (ecr::own_host(reader, &node.origin, control.region.as_ref())?, None),
        None => {
            let hint = "add the host: { host: ghcr.io/NAMESPACE }".to_owned();
            return Err(reader.problem(&node.origin, "`registry` has no `host`", Some(hint)));
        }
    };
    let is_ecr = kind == Some(Kind::Ecr) || aws::is_ecr(&host);
    if let (false, Some(entry)) = (is_ecr, get(&map, "region").or(get(&map, "endpoint"))) {
        let message = format!(
            "`{}` is only for Amazon ECR, and {host} does not have the name of an ECR registry",
            entry.key.name
        );
        return Err(reader.problem(
            &entry.key.origin,
            message,
            Some("set type: ecr if the host is an ECR registry".to_owned()),
        ));
    }
    if let (Some(EcrHost::Private(named)), Some(said)) = (EcrHost::of(&host), get(&map, "region"))
        && control.region.as_ref().is_some_and(|region| *region != named.region)
    {
        let message = format!("{host} is in the region {}, and `region` names another one", named.region);
        return Err(reader.problem(&said.value.origin, message, Some("remove `region`".to_owned())));
    }
    let (insecure, ca, cert) = (insecure?, ca?, cert?);
    let encrypted = ca.as_ref().map(|_| "ca").or(cert.as_ref().map(|_| "cert"));
    if let (Some(true), Some(key)) = (insecure, encrypted) {
        return Err(reader.problem(
            &node.origin,
            format!("a registry must not have both `insecure: true` and `{key}`"),
            None,
        ));
    }
    // Loopback uses plain HTTP, unless the plan has a setting that only makes sense with TLS.
    let plain = insecure.unwrap_or(host.is_loopback() && encrypted.is_none());
    let transport = if plain { Transport::InsecureHttp } else { Transport::Https };
    let ecr = is_ecr.then_some(control);
    Ok(NamedRegistry { host, namespace, transport, ca, cert, may_send_to: may_send_to?, ecr })
}

/// `may_send_to`: hosts, each with one port or with all ports.
fn may_send_to(reader: &mut Reader<'_>, map: &Map) -> Read<Vec<RegistryHost>> {
    let Some(entry) = get(map, "may_send_to") else { return Ok(Vec::new()) };
    let items = reader.list(&entry.value, "`may_send_to`")?;
    let read = distinct(reader, &items, |reader, item| {
        let text = reader.text(item, "a host of `may_send_to`", Late::default())?;
        let parsed = text.parse::<RegistryHost>();
        let host = parsed.map_err(|error| {
            let hint = "write HOST or HOST:PORT, such as 10.0.0.5:8443".to_owned();
            reader.problem(&item.origin, format!("`{}` is not a host: {error}", text.escape_debug()), Some(hint))
        })?;
        Ok((host.to_string(), host))
    })?;
    Ok(read.into_iter().map(|(_, host)| host).collect())
}

/// The type of a registry that needs special treatment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ecr,
}

fn kind(reader: &mut Reader<'_>, map: &Map) -> Read<Option<Kind>> {
    let Some(said) = get(map, "type") else { return Ok(None) };
    match &*reader.text(&said.value, "`type`", Late::default())? {
        "ecr" => Ok(Some(Kind::Ecr)),
        other => {
            let message = format!("`{}` is not a type of registry", other.escape_debug());
            let hint = "remove `type`, or write `ecr` for Amazon ECR".to_owned();
            Err(reader.problem(&said.value.origin, message, Some(hint)))
        }
    }
}

fn read_host(reader: &mut Reader<'_>, node: &Node) -> Read<(RegistryHost, Option<RepositoryPath>)> {
    let text = reader.text(node, "`host`", Late::default())?;
    if text == "local" {
        let hint = "write registry: local".to_owned();
        return Err(reader.problem(&node.origin, "the embedded registry has no settings", Some(hint)));
    }
    split(reader, &node.origin, &text)
}

/// `host[:port][/namespace]`
fn split(reader: &mut Reader<'_>, origin: &Origin, text: &str) -> Read<(RegistryHost, Option<RepositoryPath>)> {
    if let Some((_, rest)) = text.split_once("://") {
        let hint = format!("write {rest}, or {{ host: {rest}, insecure: true }} for plain HTTP");
        return Err(reader.problem(origin, "the name of a registry must not have a scheme", Some(hint)));
    }
    let (host, namespace) = match text.split_once('/') {
        Some((host, namespace)) => (host, Some(namespace)),
        None => (text, None),
    };
    let parse = |reader: &mut Reader<'_>, namespace: &str| {
        namespace
            .parse()
            .map_err(|error| reader.problem(origin, format!("the namespace `{namespace}` is not valid: {error}"), None))
    };
    if host == "ecr" {
        let host = ecr::own_host(reader, origin, None)?;
        return Ok((host, namespace.map(|namespace| parse(reader, namespace)).transpose()?));
    }
    if host != "localhost" && !host.contains(['.', ':']) {
        let hint = did_you_mean(text, ["local"]).unwrap_or_else(|| {
            format!("write docker.io/{} for Docker Hub, or `local` for the embedded registry", text.to_lowercase())
        });
        return Err(reader.problem(
            origin,
            format!("`{host}` is not a registry: the host of a registry has a dot or a port"),
            Some(hint),
        ));
    }
    let host = host
        .parse()
        .map_err(|error| reader.problem(origin, format!("the registry `{host}` is not valid: {error}"), None))?;
    Ok((host, namespace.map(|namespace| parse(reader, namespace)).transpose()?))
}

impl fmt::Display for NamedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}", self.host),
            None => self.host.fmt(f),
        }
    }
}
