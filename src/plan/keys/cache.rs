//! Reads `cache`: the caches that a build imports and the one that it exports. The keys are those of buildx.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache_service;
use crate::oci::{Platform, Reference, ReferenceError, Selector, Tag};

use crate::plan::model::plan::{Build, Plan};
use crate::plan::model::spec::{BuildCache, CacheExport, CacheImport, CacheMode, CachePlace};
use crate::plan::read::distinct::distinct;
use crate::plan::read::keys::{CACHE, CACHE_FROM, CACHE_TO, Keys};
use crate::plan::read::node::{Entry, Key, Map, Node, Origin, Value, get};
use crate::plan::read::paths;
use crate::plan::read::reader::{Late, Read, Reader, Reported};
use crate::plan::read::suggest::suggest;

/// The cache of a job, and the place in the plan that names the exported cache.
#[derive(Default)]
pub(in crate::plan) struct ReadCache {
    pub(in crate::plan) cache: BuildCache,
    pub(in crate::plan) to: Option<Origin>,
}

/// The parts of the job that its cache refers to.
#[derive(Clone, Copy)]
pub(in crate::plan) struct Own<'a> {
    pub(in crate::plan) platform: &'a Platform,
    /// The tag of the pushed image, which contains the inline cache.
    pub(in crate::plan) arch_tag: &'a Tag,
}

/// The types of caches, as buildx names them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Registry,
    Inline,
    Local,
}

/// Options of buildx that polyarch always uses, so a plan may repeat them:
/// <https://docs.docker.com/build/cache/backends/registry/>.
const ALWAYS: [&str; 2] = ["image-manifest=true", "oci-mediatypes=true"];

/// Reads `cache`.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    node: Option<&Node>,
    late: Late<'_>,
    own: Read<Own<'_>>,
    directory: &Path,
) -> Read<ReadCache> {
    let Some(node) = node else { return Ok(ReadCache::default()) };
    if !matches!(node.value, Value::Map(_) | Value::Null) {
        let hint = "write cache: { registry: true }, or cache: { from: […], to: {…} }".to_owned();
        let message = format!("`cache` must be a map, and this is {}", node.kind());
        return Err(reader.problem(&node.origin, message, Some(hint)));
    }
    let map = reader.map(node, "`cache`", &CACHE)?;
    let short = short(reader, &map, late, own);
    let from = from(reader, &map, late, own, directory);
    let to = get(&map, "to").map(|said| to(reader, &said.value, late, directory)).transpose();
    let (short, from, to) = (short?, from?, to?);
    let Some((place, mode, origin)) = short else {
        let origin = to.as_ref().and_then(|_| get(&map, "to")).map(|said| said.value.origin.clone());
        return Ok(ReadCache { cache: BuildCache { from, to }, to: origin });
    };
    if let Some(said) = get(&map, "to") {
        let hint = Some("remove one of them; `registry: false` overrides `registry: true` of `defaults`".to_owned());
        return Err(reader.problem(
            &said.value.origin,
            "both `registry: true` and `to` are set, and a build exports only one cache",
            hint,
        ));
    }
    let import = CacheImport::Registry(place.clone());
    let others = from.into_iter().filter(|other| *other != import);
    let from = std::iter::once(import.clone()).chain(others).collect();
    Ok(ReadCache { cache: BuildCache { from, to: Some(CacheExport::Registry { place, mode }) }, to: Some(origin) })
}

/// `registry: true` and `mode`: for each platform a tag in the image's own repository.
fn short(
    reader: &mut Reader<'_>,
    map: &Map,
    late: Late<'_>,
    own: Read<Own<'_>>,
) -> Read<Option<(CachePlace, CacheMode, Origin)>> {
    let registry = get(map, "registry").map(|said| reader.boolean(&said.value, "`registry`")).transpose();
    let mode = get(map, "mode").map(|said| mode(reader, &said.value, late)).transpose();
    let (registry, mode) = (registry?, mode?);
    match (registry, get(map, "registry"), get(map, "mode")) {
        (Some(true), Some(said), _) => {
            let platform = own?.platform;
            let tag = format!("buildcache-{}", platform.in_tags()).parse();
            let tag =
                tag.map_err(|error: ReferenceError| reader.problem(&said.value.origin, error.to_string(), None))?;
            Ok(Some((CachePlace::Own(tag), mode.unwrap_or_default(), said.value.origin.clone())))
        }
        (None, _, Some(said)) => {
            let hint = "set `mode` inside `to` for any other cache: { type: registry, ref: …, mode: max }".to_owned();
            Err(reader.problem(&said.value.origin, "`mode` needs `registry: true` beside it", Some(hint)))
        }
        _ => Ok(None),
    }
}

fn from(
    reader: &mut Reader<'_>,
    map: &Map,
    late: Late<'_>,
    own: Read<Own<'_>>,
    directory: &Path,
) -> Read<Vec<CacheImport>> {
    let Some(said) = get(map, "from") else { return Ok(Vec::new()) };
    let items = reader.list(&said.value, "`from`")?;
    let read = |reader: &mut Reader<'_>, item: &Node| {
        let fields = fields(reader, item, late)?;
        if let Some(service) = cache_service::service(&fields) {
            let (cache, _) = cache_service::read(reader, item, &fields, service, late)?;
            return Ok((CacheImport::Service(cache), ()));
        }
        keys(reader, &fields, &CACHE_FROM)?;
        let place = get(&fields, "ref").map(|said| place(reader, &said.value, late)).transpose();
        let path = get(&fields, "src").map(|said| path(reader, &said.value, late, directory)).transpose();
        let (kind, place, path) = (kind(reader, item, &fields, late)?, place?, path?);
        // BuildKit itself finds out whether the reference is a bare cache or an image with a cache in its config.
        match (kind, place, path) {
            (Kind::Local, None, Some(path)) => Ok((CacheImport::Directory(path), ())),
            (Kind::Local, None, None) => Err(no_directory(reader, item, "src")),
            (Kind::Local, Some(_), _) => Err(foreign(reader, item, &fields, "ref", "src")),
            (Kind::Registry | Kind::Inline, _, Some(_)) => Err(foreign(reader, item, &fields, "src", "ref")),
            (Kind::Registry | Kind::Inline, Some(place), None) => Ok((CacheImport::Registry(place), ())),
            (Kind::Inline, None, None) => Ok((CacheImport::Registry(CachePlace::Own(own?.arch_tag.clone())), ())),
            (Kind::Registry, None, None) => Err(no_ref(reader, item)),
        }
    };
    Ok(distinct(reader, &items, read)?.into_iter().map(|(from, ())| from).collect())
}

fn to(reader: &mut Reader<'_>, node: &Node, late: Late<'_>, directory: &Path) -> Read<CacheExport> {
    // Compose and bake write a list here.
    let item = match &node.value {
        Value::List(items) => match &items[..] {
            [item] => item,
            _ => {
                return Err(reader.problem(
                    &node.origin,
                    "`to` must name exactly one cache",
                    Some("keep one cache in `to`, and import the others with `from`".to_owned()),
                ));
            }
        },
        _ => node,
    };
    let fields = fields(reader, item, late)?;
    if let Some(service) = cache_service::service(&fields) {
        let (cache, mode) = cache_service::read(reader, item, &fields, service, late)?;
        let mode = mode.map(|node| self::mode(reader, &node, late)).transpose()?.unwrap_or_default();
        return Ok(CacheExport::Service { cache, mode });
    }
    keys(reader, &fields, &CACHE_TO)?;
    let kind = kind(reader, item, &fields, late);
    let place = get(&fields, "ref").map(|said| place(reader, &said.value, late)).transpose();
    let path = get(&fields, "dest").map(|said| path(reader, &said.value, late, directory)).transpose();
    let mode = get(&fields, "mode").map(|said| mode(reader, &said.value, late)).transpose();
    let (kind, place, path, mode) = (kind?, place?, path?, mode?.unwrap_or_default());
    let mut refuse = |key: &str, message: &str, hint: &str| {
        let origin = get(&fields, key).map_or(&item.origin, |said| &said.value.origin);
        Err(reader.problem(origin, message, Some(hint.to_owned())))
    };
    match (kind, place, path) {
        (Kind::Local, None, Some(path)) => Ok(CacheExport::Directory { path, mode }),
        (Kind::Local, None, None) => Err(no_directory(reader, item, "dest")),
        (Kind::Local, Some(_), _) => Err(foreign(reader, item, &fields, "ref", "dest")),
        (Kind::Registry | Kind::Inline, _, Some(_)) => Err(foreign(reader, item, &fields, "dest", "ref")),
        (Kind::Inline, Some(_), None) => refuse(
            "ref",
            "an inline cache is part of the image, and has no `ref`",
            "remove `ref`, or set type: registry",
        ),
        (Kind::Inline, None, None) if mode == CacheMode::Max => {
            refuse("mode", "an inline cache has no `mode: max`", "set type: registry, or mode: min")
        }
        (Kind::Inline, None, None) => Ok(CacheExport::Inline),
        (Kind::Registry, Some(CachePlace::Reference(Reference { selector: Selector::Digest(_), .. })), None) => {
            refuse("ref", "a cache must be exported to a tag, and this is a digest", "end the reference with :TAG")
        }
        (Kind::Registry, Some(place), None) => Ok(CacheExport::Registry { place, mode }),
        (Kind::Registry, None, None) => Err(no_ref(reader, item)),
    }
}

/// Checks the keys of a cache.
fn keys(reader: &mut Reader<'_>, fields: &Map, keys: &Keys) -> Read<()> {
    fields.iter().try_for_each(|entry| reader.key(&entry.key.origin, &entry.key.name, keys))
}

/// The fields of one cache. A string has the form that buildx reads: a reference, or `type=registry,ref=…`. The type decides
/// about the keys.
fn fields(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Map> {
    if matches!(node.value, Value::Map(_)) {
        return reader.any_map(node, "a cache");
    }
    let text = reader.text(node, "a cache", late)?;
    let field = |name: &str, value: &str| {
        let value = Value::Text(value.replace('$', "$$"));
        let key = Key { origin: node.origin.clone(), name: name.trim().into() };
        Entry { key, value: Node { origin: node.origin.clone(), value } }
    };
    let entries: Vec<Entry> = if text.contains('=') {
        let said = text.split(',').filter(|part| !ALWAYS.contains(&part.trim()));
        said.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(name, value)| field(name, value)).collect()
    } else {
        vec![field("type", "registry"), field("ref", &text)]
    };
    let map = Node { origin: node.origin.clone(), value: Value::Map(Rc::new(entries)) };
    reader.any_map(&map, "a cache")
}

fn kind(reader: &mut Reader<'_>, node: &Node, fields: &Map, late: Late<'_>) -> Read<Kind> {
    let Some(said) = get(fields, "type") else {
        let hint = "add type: registry, type: local or type: inline".to_owned();
        return Err(reader.problem(&node.origin, "the cache has no `type`", Some(hint)));
    };
    let text = reader.text(&said.value, "`type`", late)?;
    match &*text {
        "registry" => Ok(Kind::Registry),
        "inline" => Ok(Kind::Inline),
        "local" => Ok(Kind::Local),
        other => {
            let message = format!("`{}` is not a type of cache", other.escape_debug());
            let hint = suggest(other, ["registry", "inline", "local", "s3", "azblob", "gha"]);
            Err(reader.problem(&said.value.origin, message, hint))
        }
    }
}

fn mode(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<CacheMode> {
    let text = reader.text(node, "`mode`", late)?;
    match &*text {
        "min" => Ok(CacheMode::Min),
        "max" => Ok(CacheMode::Max),
        other => {
            let message = format!("`{}` is not a mode of a cache", other.escape_debug());
            Err(reader.problem(&node.origin, message, suggest(other, ["min", "max"])))
        }
    }
}

/// A reference, or `:TAG` for a tag of the image's own repository.
fn place(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<CachePlace> {
    let text = reader.text(node, "`ref`", late)?;
    let parsed = match text.strip_prefix(':') {
        Some(tag) => tag.parse().map(CachePlace::Own),
        None => text.parse().map(CachePlace::Reference),
    };
    parsed.map_err(|error: ReferenceError| {
        let message = format!("`ref` `{}` is not valid: {error}", text.escape_debug());
        reader.problem(&node.origin, message, Some(FORMS.to_owned()))
    })
}

fn no_ref(reader: &mut Reader<'_>, node: &Node) -> Reported {
    reader.problem(&node.origin, "the cache has no `ref`", Some(FORMS.to_owned()))
}

/// A directory, relative to the directory of the plan.
fn path(reader: &mut Reader<'_>, node: &Node, late: Late<'_>, directory: &Path) -> Read<PathBuf> {
    let text = reader.text(node, "the directory of a cache", late)?;
    if text.is_empty() {
        return Err(reader.problem(&node.origin, "the directory of a cache is empty", Some(DIRECTORIES.to_owned())));
    }
    Ok(paths::join(directory, &text))
}

fn no_directory(reader: &mut Reader<'_>, node: &Node, key: &str) -> Reported {
    reader.problem(&node.origin, format!("the local cache has no `{key}`"), Some(DIRECTORIES.to_owned()))
}

/// Reports that `key` belongs to a cache of another type. `other` is the key for this type.
fn foreign(reader: &mut Reader<'_>, item: &Node, fields: &Map, key: &str, other: &str) -> Reported {
    let (message, hint) = if key == "ref" {
        ("a local cache is a directory, and has no `ref`".to_owned(), format!("set `{other}: DIRECTORY` instead"))
    } else {
        (format!("only a cache of `type: local` has a `{key}`"), format!("set type: local, or use `{other}` instead"))
    };
    let origin = get(fields, key).map_or(&item.origin, |said| &said.value.origin);
    reader.problem(origin, message, Some(hint))
}

/// The hint with the form of a directory.
const DIRECTORIES: &str = "name one directory for each platform, such as .cache/${name}-${arch}";

/// The hint with the forms of a `ref`.
const FORMS: &str = "write ghcr.io/acme/web:buildcache-${arch}, or :buildcache-${arch} for the image's own repository";

impl fmt::Display for CachePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(tag) => write!(f, ":{tag}"),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl fmt::Display for CacheImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(place) => place.fmt(f),
            Self::Directory(path) => path.display().fmt(f),
            Self::Service(cache) => cache.fmt(f),
        }
    }
}

impl Plan {
    /// The same plan for builds that stay on their engines. This plan exports no cache to a registry. Without a named
    /// registry, this plan also imports no cache from the image's own repository.
    #[must_use]
    pub fn without_own_registry(mut self) -> Self {
        let named = self.registry.named().is_some();
        for job in self.images.iter_mut().flat_map(|image| &mut image.jobs) {
            let Some(Build { spec, .. }) = job.build_mut() else { continue };
            let BuildCache { from, to } = &mut spec.cache;
            from.retain(|from| named || !matches!(from, CacheImport::Registry(CachePlace::Own(_))));
            *to = to.take().filter(|to| !matches!(to, CacheExport::Registry { .. }));
        }
        self
    }
}

impl CacheMode {
    /// The name in the plan, in BuildKit and in buildx.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}
