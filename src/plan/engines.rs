//! Reads `engines`.

use std::num::NonZeroU16;

use crate::oci::Platform;

use super::host::{EngineHost, EngineHostError};
use super::keys::ENGINE;
use super::model::EngineSpec;
use super::names::EngineName;
use super::node::{Entry, Map, Node, Origin, Value, get, put};
use super::reader::{Late, Reader};

/// Reads `engines`, with `--engine NAME=HOST` put into it first.
pub(super) fn read(reader: &mut Reader<'_>, node: Option<&Node>, flags: &[String]) -> Vec<EngineSpec> {
    let map = node.and_then(|node| reader.any_map(node, "`engines`")).unwrap_or_default();
    let map = with_flags(reader, map, flags);
    let mut engines = Vec::new();
    for entry in map.iter() {
        if reader.is_exhausted() {
            break;
        }
        engines.extend(read_engine(reader, entry));
    }
    engines
}

fn with_flags(reader: &mut Reader<'_>, mut map: Map, flags: &[String]) -> Map {
    for flag in flags {
        let origin = Origin::Flag(format!("--engine {flag}").into());
        let Some((name, host)) = flag.split_once('=') else {
            reader.problem(
                &origin,
                "this has the form NAME=HOST",
                Some("as --engine x86=tcp://127.0.0.1:2375".to_owned()),
            );
            continue;
        };
        let value = Node { origin: origin.clone(), value: Value::Flag(host.to_owned()) };
        put(&mut map, &[name.into(), "host".into()], &value);
    }
    map
}

fn read_engine(reader: &mut Reader<'_>, entry: &Entry) -> Option<EngineSpec> {
    let name = &entry.key.name;
    let parsed = name
        .parse::<EngineName>()
        .map_err(|error| reader.problem(&entry.key.origin, format!("`{name}` is not a name: {error}"), None))
        .ok();
    let map = reader.map(&entry.value, &format!("the engine `{name}`"), &ENGINE)?;
    let slots = match get(&map, "slots") {
        Some(slots) => reader.number::<NonZeroU16>(&slots.value, "`slots`", "a number from 1 to 65535"),
        None => Some(EngineSpec::DEFAULT_SLOTS),
    };
    let platforms = match get(&map, "platforms") {
        Some(platforms) => read_platforms(reader, &platforms.value).map(Some),
        None => Some(None),
    };
    let insecure = get(&map, "insecure").and_then(|entry| reader.boolean(&entry.value, "`insecure`"));
    let Some(host) = get(&map, "host") else {
        let hint = "add it: { host: unix:///var/run/docker.sock }".to_owned();
        reader.problem(&entry.key.origin, format!("the engine `{name}` has no `host`"), Some(hint));
        return None;
    };
    let host = read_host(reader, &host.value, insecure == Some(true));
    Some(EngineSpec { name: parsed?, host: host?, platforms: platforms?, slots: slots? })
}

fn read_host(reader: &mut Reader<'_>, node: &Node, insecure: bool) -> Option<EngineHost> {
    let text = reader.text(node, "`host`", Late::default())?;
    let host = text
        .parse::<EngineHost>()
        .map_err(|error: EngineHostError| {
            reader.problem(&node.origin, format!("`{text}`: {error}"), error.hint().map(str::to_owned));
        })
        .ok()?;
    if !host.is_local() && !insecure {
        let hint = "say `insecure: true` to speak to it in clear, or tunnel it to loopback".to_owned();
        let message = format!("{host} is not loopback, and plain tcp gives the engine to whoever is on the way");
        reader.problem(&node.origin, message, Some(hint));
        return None;
    }
    Some(host)
}

fn read_platforms(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Platform>> {
    let items = reader.list(node, "`platforms`")?;
    let mut platforms = Vec::new();
    for item in items.iter() {
        let platform: Platform = reader.parsed(item, "the platform", Late::default())?;
        if platforms.contains(&platform) {
            reader.problem(&item.origin, format!("{platform} is there twice"), None);
        } else {
            platforms.push(platform);
        }
    }
    Some(platforms)
}
