//! Reads `engines`.

use std::num::NonZeroU16;
use std::path::Path;

use crate::oci::Platform;
use crate::plan::model::endpoint::buildkit::{BuildKitHost, BuilderHost};
use crate::plan::model::endpoint::either::Endpoint;
use crate::plan::model::endpoint::host::{EngineHost, EngineHostError};
use crate::plan::model::endpoint::tls::EngineTls;
use crate::plan::model::names::{EngineName, NameError};
use crate::plan::model::plan::{Emulation, EngineNeed, EnginePlatforms, EngineSpec};
use crate::plan::read::certificates;
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
    directory: &Path,
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
        match reader.go_on().and_then(|()| read_engine(reader, entry, directory)) {
            Ok(engine) => engines.push(engine),
            Err(told) => all = Err(told),
        }
    }
    (engines, all)
}

fn with_flags(reader: &mut Reader<'_>, mut map: Map, flags: &[String]) -> Read<Map> {
    for flag in flags {
        let origin = Origin::Flag(format!("--engine {flag}").into());
        let Some((name, way)) = flag.split_once('=') else {
            let hint = "pass a name and a host, such as --engine x86=tcp://127.0.0.1:2375".to_owned();
            return Err(reader.problem(&origin, "the value must have the form NAME=HOST", Some(hint)));
        };
        let (key, way) = match way.strip_prefix(OF_CONTEXT) {
            Some(context) => ("context", context),
            None if BuildKitHost::has_scheme_of(way) => ("buildkit", way),
            None => ("host", way),
        };
        // The flag replaces the way that the plan names. TLS is kept for another address of the same kind.
        let replaced = ENDPOINTS.into_iter().chain((!way.starts_with("tcp://")).then_some("tls"));
        for other in replaced.filter(|other| *other != key) {
            put(&mut map, &[name.into(), other.into()], &Node { origin: origin.clone(), value: Value::Null });
        }
        put(&mut map, &[name.into(), key.into()], &Node { origin, value: Value::Flag(way.to_owned()) });
    }
    Ok(map)
}

fn read_engine(reader: &mut Reader<'_>, entry: &Entry, directory: &Path) -> Read<EngineSpec> {
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
    let platforms = read_platforms(reader, &map, name);
    let emulate = boolean(reader, &map, "emulate");
    let required = boolean(reader, &map, "required");
    let insecure = boolean(reader, &map, "insecure")?;
    let host = read_endpoint(reader, entry, &map, directory)?;
    if let (Some(_), Some(true), Some(insecure)) = (get(&map, "tls"), insecure, get(&map, "insecure")) {
        let message = format!("the engine `{name}` has both `tls` and `insecure: true`");
        return Err(reader.problem(&insecure.key.origin, message, Some("remove `insecure`".to_owned())));
    }
    if !host.is_private() && insecure != Some(true) {
        let hint =
            "encrypt the connection with `tls:` or ssh://USER@HOST, or set `insecure: true` to accept unencrypted TCP"
                .to_owned();
        let message = format!(
            "{host} is unencrypted TCP to another machine; anyone on the network could \
            control that engine"
        );
        let said = get(&map, "host").or_else(|| get(&map, "buildkit"));
        let origin = said.map_or(&entry.key.origin, |host| &host.value.origin);
        return Err(reader.problem(origin, message, Some(hint)));
    }
    let emulation = if emulate? == Some(false) { Emulation::Refused } else { Emulation::Allowed };
    let need = if required? == Some(true) { EngineNeed::Required } else { EngineNeed::Optional };
    Ok(EngineSpec { name: parsed?, host, platforms: platforms?, slots: slots?, emulation, need })
}

/// The keys that name the way to an engine. An engine has one of them.
const ENDPOINTS: [&str; 5] = ["host", "command", "context", "buildkit", "builder"];
/// The beginning of `--engine NAME=context:CONTEXT`.
const OF_CONTEXT: &str = "context:";

fn read_endpoint(reader: &mut Reader<'_>, engine: &Entry, map: &Map, directory: &Path) -> Read<Endpoint> {
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
    let tls = get(map, "tls").map(|entry| Ok((entry, certificates::tls(reader, entry, directory)?))).transpose()?;
    let key = &*first.key.name;
    if let Some((entry, _)) = tls.as_ref().filter(|_| !["host", "buildkit"].contains(&key)) {
        let message = format!("`tls` is only for `host` and `buildkit`, and the engine `{name}` has `{key}`");
        return Err(reader.problem(&entry.key.origin, message, Some("remove `tls`".to_owned())));
    }
    let tls = tls.map(|(_, tls)| tls);
    match key {
        "context" => {
            let context = reader.parsed(&first.value, "`context`", Late::default())?;
            Ok(Endpoint::Docker(EngineHost::Context(context)))
        }
        "command" => read_command(reader, &first.value).map(Endpoint::Docker),
        "buildkit" => read_buildkit(reader, &first.value, tls).map(Endpoint::BuildKit),
        "builder" => {
            let text = reader.text(&first.value, "`builder`", Late::default())?;
            let builder = text.parse().map(|name| BuilderHost { name, platform: None });
            let builder = builder.map_err(|error| malformed(reader, &first.value, &text, &error))?;
            Ok(Endpoint::BuildKit(BuildKitHost::Builder(builder)))
        }
        _ => read_host(reader, &first.value, tls).map(Endpoint::Docker),
    }
}

/// Reads an address of BuildKit, or `{ command: [ARGV…] }`.
fn read_buildkit(reader: &mut Reader<'_>, node: &Node, tls: Option<EngineTls>) -> Read<BuildKitHost> {
    let encrypted = |host: BuildKitHost| match tls {
        Some(tls) => host.with_tls(tls),
        None => Ok(host),
    };
    if let Value::Map(_) = &node.value {
        let map = reader.map(node, "`buildkit`", &ENGINE_BUILDKIT)?;
        if let Some(command) = get(&map, "command") {
            let host = read_command(reader, &command.value).map(BuildKitHost::Direct)?;
            return encrypted(host).map_err(|error| malformed(reader, node, "command", &error));
        }
    }
    let text = reader.text(node, "`buildkit`", Late::default())?;
    text.parse().and_then(encrypted).map_err(|error| malformed(reader, node, &text, &error))
}

fn malformed(reader: &mut Reader<'_>, node: &Node, text: &str, error: &EngineHostError) -> Reported {
    reader.problem(&node.origin, format!("`{text}`: {error}"), error.hint().map(str::to_owned))
}

fn read_host(reader: &mut Reader<'_>, node: &Node, tls: Option<EngineTls>) -> Read<EngineHost> {
    let text = reader.text(node, "`host`", Late::default())?;
    let host = match tls {
        Some(tls) => EngineHost::with_tls(&text, tls),
        None => text.parse(),
    };
    host.map_err(|error| malformed(reader, node, &text, &error))
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

fn boolean(reader: &mut Reader<'_>, map: &Map, key: &str) -> Read<Option<bool>> {
    get(map, key).map(|entry| reader.boolean(&entry.value, &format!("`{key}`"))).transpose()
}

fn read_platforms(reader: &mut Reader<'_>, map: &Map, name: &str) -> Read<EnginePlatforms> {
    match (get(map, "platforms"), get(map, "platforms_only")) {
        (None, None) => Ok(EnginePlatforms::Own),
        (Some(also), None) => Ok(EnginePlatforms::Also(list(reader, &also.value, "`platforms`")?)),
        (None, Some(only)) => {
            let platforms = list(reader, &only.value, "`platforms_only`")?;
            if platforms.is_empty() {
                let hint = "list a platform, or remove the engine".to_owned();
                return Err(reader.problem(&only.value.origin, "`platforms_only` is empty", Some(hint)));
            }
            Ok(EnginePlatforms::Only(platforms))
        }
        (Some(_), Some(only)) => {
            let hint = "remove one of the two keys: `platforms` adds to the platforms of the processor".to_owned();
            let message = format!("the engine `{name}` has both `platforms` and `platforms_only`");
            Err(reader.problem(&only.key.origin, message, Some(hint)))
        }
    }
}

fn list(reader: &mut Reader<'_>, node: &Node, subject: &str) -> Read<Vec<Platform>> {
    let items = reader.list(node, subject)?;
    let read = |reader: &mut Reader<'_>, item: &Node| Ok((reader.platform(item, Late::default())?, ()));
    Ok(distinct(reader, &items, read)?.into_iter().map(|(platform, ())| platform).collect())
}
