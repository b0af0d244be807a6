//! Reads `engines`.

use std::num::NonZeroU16;

use crate::oci::Platform;

use crate::plan::model::endpoint::buildkit::{BuildKitHost, BuilderHost};
use crate::plan::model::endpoint::either::Endpoint;
use crate::plan::model::endpoint::host::{EngineHost, EngineHostError};
use crate::plan::model::names::{EngineName, NameError};
use crate::plan::model::plan::EngineSpec;
use crate::plan::read::distinct::distinct;
use crate::plan::read::keys::{ENGINE, ENGINE_BUILDKIT};
use crate::plan::read::node::{Entry, Map, Node, Origin, Value, get, put};
use crate::plan::read::reader::{Late, Read, Reader, Reported};

/// Reads `engines`, after `--engine NAME=HOST` was merged into it. The result contains every valid engine, even if
/// another engine has an error. So a reference to a valid engine is not reported as an error.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    flags: &[String],
) -> (Vec<EngineSpec>, Read<()>) {
    let (mut engines, mut all) = (Vec::new(), Ok(()));
    let map = node.map_or(Ok(Map::default()), |node| reader.any_map(node, "`engines`"));
    let map = map.unwrap_or_else(|told| {
        all = Err(told);
        Map::default()
    });
    let map = with_flags(reader, map, flags).unwrap_or_else(|told| {
        all = Err(told);
        Map::default()
    });
    for entry in map.iter() {
        match reader.go_on().and_then(|()| read_engine(reader, entry)) {
            Ok(engine) => engines.push(engine),
            Err(told) => all = Err(told),
        }
    }
    (engines, all)
}

fn with_flags(reader: &mut Reader<'_>, mut map: Map, flags: &[String]) -> Read<Map> {
    for flag in flags {
        let origin = Origin::Flag(format!("--engine {flag}").into());
        let Some((name, host)) = flag.split_once('=') else {
            let hint = "pass a name and a host, such as --engine x86=tcp://127.0.0.1:2375".to_owned();
            return Err(reader.problem(&origin, "the value must have the form NAME=HOST", Some(hint)));
        };
        let key = if BuildKitHost::has_scheme_of(host) { "buildkit" } else { "host" };
        put(&mut map, &[name.into(), key.into()], &Node { origin, value: Value::Flag(host.to_owned()) });
    }
    Ok(map)
}

fn read_engine(reader: &mut Reader<'_>, entry: &Entry) -> Read<EngineSpec> {
    let name = &entry.key.name;
    reader.charge(1024);
    let parsed = name.parse::<EngineName>().map_err(|error: NameError| {
        reader.problem(&entry.key.origin, format!("`{name}` is not a valid name: {error}"), None)
    });
    let map = reader.map(&entry.value, &format!("the engine `{name}`"), &ENGINE)?;
    let slots = match get(&map, "slots") {
        Some(slots) => reader.number::<NonZeroU16>(&slots.value, "`slots`", "a number from 1 to 65535"),
        None => Ok(EngineSpec::DEFAULT_SLOTS),
    };
    let platforms = get(&map, "platforms").map(|entry| read_platforms(reader, &entry.value)).transpose();
    let insecure = get(&map, "insecure").map(|entry| reader.boolean(&entry.value, "`insecure`")).transpose()?;
    let host = read_endpoint(reader, entry, &map)?;
    if !host.is_private() && insecure != Some(true) {
        let hint = "reach the engine as ssh://USER@HOST, or set `insecure: true` to accept unencrypted TCP".to_owned();
        let message = format!(
            "{host} is unencrypted TCP to another machine; anyone on the network could \
            control that engine"
        );
        let said = get(&map, "host").or_else(|| get(&map, "buildkit"));
        let origin = said.map_or(&entry.key.origin, |host| &host.value.origin);
        return Err(reader.problem(origin, message, Some(hint)));
    }
    Ok(EngineSpec { name: parsed?, host, platforms: platforms?, slots: slots? })
}

/// The keys that name the way to an engine. An engine has one of them.
const ENDPOINTS: [&str; 4] = ["host", "command", "buildkit", "builder"];

fn read_endpoint(reader: &mut Reader<'_>, engine: &Entry, map: &Map) -> Read<Endpoint> {
    let name = &engine.key.name;
    let mut said = ENDPOINTS.iter().filter_map(|key| get(map, key));
    let Some(first) = said.next() else {
        let hint = "add the host: { host: unix:///var/run/docker.sock }".to_owned();
        return Err(reader.problem(&engine.key.origin, format!("the engine `{name}` has no `host`"), Some(hint)));
    };
    if let Some(second) = said.next() {
        let hint = "remove one of the two keys".to_owned();
        let message = format!("the engine `{name}` has both `{}` and `{}`", first.key.name, second.key.name);
        return Err(reader.problem(&second.key.origin, message, Some(hint)));
    }
    match &*first.key.name {
        "command" => read_command(reader, &first.value).map(Endpoint::Docker),
        "buildkit" => read_buildkit(reader, &first.value).map(Endpoint::BuildKit),
        "builder" => {
            let text = reader.text(&first.value, "`builder`", Late::default())?;
            let builder = text.parse().map(|name| BuilderHost { name, platform: None });
            let builder = builder.map_err(|error| malformed(reader, &first.value, &text, &error))?;
            Ok(Endpoint::BuildKit(BuildKitHost::Builder(builder)))
        }
        _ => read_host(reader, &first.value).map(Endpoint::Docker),
    }
}

/// Reads an address of BuildKit, or `{ command: [ARGV…] }`.
fn read_buildkit(reader: &mut Reader<'_>, node: &Node) -> Read<BuildKitHost> {
    if let Value::Map(_) = &node.value {
        let map = reader.map(node, "`buildkit`", &ENGINE_BUILDKIT)?;
        if let Some(command) = get(&map, "command") {
            return read_command(reader, &command.value).map(BuildKitHost::Direct);
        }
    }
    let text = reader.text(node, "`buildkit`", Late::default())?;
    text.parse().map_err(|error| malformed(reader, node, &text, &error))
}

fn malformed(reader: &mut Reader<'_>, node: &Node, text: &str, error: &EngineHostError) -> Reported {
    reader.problem(&node.origin, format!("`{text}`: {error}"), error.hint().map(str::to_owned))
}

fn read_host(reader: &mut Reader<'_>, node: &Node) -> Read<EngineHost> {
    let text = reader.text(node, "`host`", Late::default())?;
    text.parse().map_err(|error| malformed(reader, node, &text, &error))
}

/// Reads a program and its arguments. polyarch starts the program without a shell.
fn read_command(reader: &mut Reader<'_>, node: &Node) -> Read<EngineHost> {
    let words: Vec<String> = reader
        .list(node, "`command`")?
        .iter()
        .map(|word| reader.text(word, "a word of `command`", Late::default()))
        .collect::<Read<_>>()?;
    if words.first().is_none_or(String::is_empty) {
        let hint = "name a program whose standard input and output are the connection, such as \
                    [docker, system, dial-stdio]";
        return Err(reader.problem(&node.origin, "`command` names no program", Some(hint.to_owned())));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(reader.problem(&node.origin, "a word of `command` has a null character", None));
    }
    Ok(EngineHost::Command(words))
}

fn read_platforms(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<Platform>> {
    let items = reader.list(node, "`platforms`")?;
    let read = |reader: &mut Reader<'_>, item: &Node| Ok((reader.platform(item, Late::default())?, ()));
    Ok(distinct(reader, &items, read)?.into_iter().map(|(platform, ())| platform).collect())
}
