//! Reads what is said of one platform of an image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::oci::{EntryOverride, Platform, Tag};

use super::keys::ENTRY;
use super::model::{BuildSpec, CachePolicy, Job, Network, PullPolicy};
use super::names::EngineName;
use super::node::{Map, Node, Origin, get};
use super::overrides::Overrides;
use super::pairs;
use super::paths;
use super::reader::{Late, Reader};
use super::suggest::suggest;

/// What a job is read with.
pub(super) struct Surroundings<'a> {
    /// The directory of the plan.
    pub(super) directory: &'a Path,
    /// The names of the plan's engines.
    pub(super) engines: &'a [EngineName],
    /// The command line.
    pub(super) overrides: &'a Overrides,
}

/// Reads a job from `settings`: the image's, with the platform's over them. `tag_origin` is blamed for an arch tag
/// that nobody wrote.
pub(super) fn read(
    reader: &mut Reader<'_>,
    settings: &Map,
    late: Late<'_>,
    tag_origin: &Origin,
    around: &Surroundings<'_>,
) -> Option<(Job, Origin)> {
    let platform = late.platform?.clone();
    reader.charge(1024);
    let arch_tag = arch_tag(reader, settings, late, tag_origin);
    let build = build(reader, settings, late, around);
    let engine = engine(reader, settings, late, around.engines);
    let timeout = timeout(reader, settings, late);
    let entry = entry(reader, settings, late, &platform);
    let (arch_tag, origin) = arch_tag?;
    Some((Job { platform, arch_tag, build: build?, engine: engine?, timeout: timeout?, entry: entry? }, origin))
}

/// `arch_tag`, and where it comes from; `${tag}-${arch}` and the variant, if any, where nothing is said.
fn arch_tag(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>, tag_origin: &Origin) -> Option<(Tag, Origin)> {
    if let Some(entry) = get(settings, "arch_tag") {
        let origin = entry.value.origin.clone();
        return reader.parsed(&entry.value, "`arch_tag`", late).map(|tag| (tag, origin));
    }
    let (tag, platform) = (late.tag?, late.platform?);
    let variant = platform.variant().map(|variant| format!("-{variant}")).unwrap_or_default();
    let text = format!("{tag}-{}{variant}", platform.architecture());
    let parsed = text.parse().map_err(|error| {
        let hint = Some("choose a shorter tag, or set arch_tag".to_owned());
        reader.problem(tag_origin, format!("the arch tag `{text}` is not valid: {error}"), hint);
    });
    parsed.ok().map(|tag| (tag, tag_origin.clone()))
}

fn build(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>, around: &Surroundings<'_>) -> Option<BuildSpec> {
    let context = path(reader, settings, "context", late).map(|path| path.unwrap_or_else(|| ".".to_owned()));
    let dockerfile =
        path(reader, settings, "dockerfile", late).map(|path| path.unwrap_or_else(|| "Dockerfile".to_owned()));
    let target = match get(settings, "target") {
        Some(entry) => reader.text(&entry.value, "`target`", late).map(|target| Some(target).filter(|t| !t.is_empty())),
        None => Some(None),
    };
    let args = pairs::args(reader, value(settings, "args"), &around.overrides.build_args, late);
    let labels = pairs::labels(reader, value(settings, "labels"), late);
    let network = network(reader, settings, late);
    let no_cache = match value(settings, "no_cache") {
        Some(node) => {
            reader.boolean(node, "`no_cache`").map(|on| if on { CachePolicy::Ignore } else { CachePolicy::Use })
        }
        None => Some(CachePolicy::default()),
    };
    let pull = match value(settings, "pull") {
        Some(node) => {
            reader.boolean(node, "`pull`").map(|on| if on { PullPolicy::Always } else { PullPolicy::IfMissing })
        }
        None => Some(PullPolicy::default()),
    };
    let context: PathBuf = paths::join(around.directory, &context?);
    Some(BuildSpec {
        dockerfile: paths::join(&context, &dockerfile?),
        context,
        target: target?,
        args: args?,
        labels: labels?,
        network: network?,
        no_cache: around.overrides.no_cache.unwrap_or(no_cache?),
        pull: around.overrides.pull.unwrap_or(pull?),
    })
}

fn value<'a>(settings: &'a Map, key: &str) -> Option<&'a Node> {
    get(settings, key).map(|entry| &entry.value)
}

/// A path of this machine, if one is said.
fn path(reader: &mut Reader<'_>, settings: &Map, key: &str, late: Late<'_>) -> Option<Option<String>> {
    let Some(node) = value(settings, key) else { return Some(None) };
    let text = reader.text(node, &format!("`{key}`"), late)?;
    if text.is_empty() {
        reader.problem(&node.origin, format!("`{key}` is empty"), Some("`.` is the directory of the plan".to_owned()));
        return None;
    }
    if text.contains("://") || text.starts_with("git@") {
        let hint = "fetch it first, and name its directory".to_owned();
        reader.problem(&node.origin, format!("a remote `{key}` is not yet supported"), Some(hint));
        return None;
    }
    Some(Some(text))
}

fn network(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Option<Network> {
    let Some(node) = value(settings, "network") else { return Some(Network::default()) };
    let text = reader.text(node, "`network`", late)?;
    match &*text {
        "default" => Some(Network::Default),
        "none" => Some(Network::None),
        "host" => Some(Network::Host),
        other => {
            let hint = suggest(other, ["default", "none", "host"]);
            reader.problem(&node.origin, format!("`{other}` is not a network of a build"), hint);
            None
        }
    }
}

fn engine(
    reader: &mut Reader<'_>,
    settings: &Map,
    late: Late<'_>,
    engines: &[EngineName],
) -> Option<Option<EngineName>> {
    let Some(node) = value(settings, "engine") else { return Some(None) };
    let name = reader.text(node, "`engine`", late)?;
    if let Some(engine) = engines.iter().find(|engine| engine.as_str() == name) {
        return Some(Some(engine.clone()));
    }
    let hint = suggest(&name, engines.iter().map(EngineName::as_str));
    let hint = hint.unwrap_or_else(|| format!("name it under `engines`, or with --engine {name}=HOST"));
    reader.problem(&node.origin, format!("there is no engine `{name}`"), Some(hint));
    None
}

fn timeout(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Option<Option<Duration>> {
    let Some(node) = value(settings, "timeout") else { return Some(None) };
    let text = reader.text(node, "`timeout`", late)?;
    let duration = super::duration::parse(&text);
    if duration.is_none() {
        let hint = "as 90s, 10m or 1h30m".to_owned();
        reader.problem(&node.origin, format!("`{text}` is not a duration of at least a second"), Some(hint));
    }
    duration.map(Some)
}

/// `entry`: the words of `docker manifest annotate`. What it does not say of a platform is the planned one's.
fn entry(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>, planned: &Platform) -> Option<EntryOverride> {
    let Some(node) = value(settings, "entry") else { return Some(EntryOverride::default()) };
    let map = reader.map(node, "`entry`", &ENTRY)?;
    let platform = entry_platform(reader, &map, late, planned);
    let os_version = match value(&map, "os_version") {
        Some(node) => reader.text(node, "`os_version`", late).map(Some),
        None => Some(None),
    };
    let os_features = match value(&map, "os_features") {
        Some(node) => {
            let items = reader.list(node, "`os_features`")?;
            items.iter().map(|item| reader.text(item, "a feature", late)).collect::<Option<Vec<String>>>().map(Some)
        }
        None => Some(None),
    };
    Some(EntryOverride { platform: platform?, os_version: os_version?, os_features: os_features? })
}

fn entry_platform(
    reader: &mut Reader<'_>,
    entry: &Map,
    late: Late<'_>,
    planned: &Platform,
) -> Option<Option<Platform>> {
    let parts = ["os", "arch", "variant"].map(|key| (key, value(entry, key)));
    let said = parts.iter().find(|(_, node)| node.is_some());
    if let Some(node) = value(entry, "platform") {
        if let Some((key, _)) = said {
            reader.problem(&node.origin, format!("an entry has either `platform` or `{key}`"), None);
            return None;
        }
        return reader.parsed(node, "`platform`", late).map(Some);
    }
    let Some((_, Some(first))) = said else { return Some(None) };
    let [os, arch, variant] = parts.map(|(key, node)| match node {
        Some(node) => reader.text(node, &format!("`{key}`"), late).map(Some),
        None => Some(None),
    });
    let (os, arch, variant) = (os?, arch?, variant?);
    // Another architecture has other variants.
    let planned_variant = if arch.is_none() { planned.variant() } else { None };
    let platform = Platform::new(
        os.as_deref().unwrap_or(planned.os()),
        arch.as_deref().unwrap_or(planned.architecture()),
        variant.as_deref().or(planned_variant),
    );
    platform
        .map(Some)
        .map_err(|error| reader.problem(&first.origin, format!("the entry's platform: {error}"), None))
        .ok()
}
