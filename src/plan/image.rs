//! Reads one image of `images`.

use std::rc::Rc;

use crate::oci::{Platform, RepositoryPath};

use super::condition::{self, When};
use super::job::{self, ReadContext, ReadJob};
use super::keys::ecr;
use super::model::names::ImageName;
use super::model::places::InputPlaces;
use super::model::plan::{AttestationPolicy, Image, Job, NamedRegistry};
use super::read::distinct::distinct;
use super::read::forms;
use super::read::import;
use super::read::keys::{IMAGE, PLATFORM};
use super::read::node::{Entry, Map, Node, Origin, Value, get, merge_maps, put};
use super::read::reader::{Late, Read, Reader};
use super::read::set::{Set, Sets};
use super::read::suggest::{nearest, suggest};
use super::tags;

/// An image, and the places in the plan that name its parts.
pub(super) struct ReadImage {
    pub(super) image: Image,
    pub(super) name: Origin,
    pub(super) tags: Vec<Origin>,
    pub(super) arch_tags: Vec<Origin>,
    /// The bases of each job, and the places that name them.
    pub(super) bases: Vec<Vec<(ImageName, Origin)>>,
    /// The place of each job's exported cache.
    pub(super) caches: Vec<Option<Origin>>,
    /// The places of each job's inputs.
    pub(super) inputs: Vec<Option<InputPlaces>>,
}

/// The parts of a plan that all images share.
pub(super) struct Common<'a> {
    pub(super) around: ReadContext<'a>,
    pub(super) defaults: Map,
    /// The named registries.
    pub(super) registries: Vec<NamedRegistry>,
}

/// Reads the keys of an image or of `defaults`, and turns them into their long forms.
pub(super) fn settings(reader: &mut Reader<'_>, node: &Node, subject: &str) -> Read<Map> {
    let mut map = reader.map(node, subject, &IMAGE)?;
    forms::normalise(&mut map);
    Ok(map)
}

/// An image of the plan, or the reason why this run has no such image.
pub(super) enum Considered {
    Wanted(Box<ReadImage>),
    LeftOut(LeftOut),
}

/// An image whose `when` does not hold. Its other keys may need facts that this run does not have, so polyarch does not
/// read them.
pub(super) struct LeftOut {
    pub(super) name: ImageName,
    /// The conditions of its `when`.
    pub(super) when: String,
}

/// Reads the image `entry`, if this run has it.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, common: &Common<'_>, sets: &mut Sets) -> Read<Considered> {
    let text = &*entry.key.name;
    let name = text.parse::<ImageName>().map_err(|error| {
        let hint = Some("set `repository` if you want a name with dots or slashes".to_owned());
        reader.problem(&entry.key.origin, format!("`{text}` is not a valid name: {error}"), hint)
    });
    let own = settings(reader, &entry.value, &format!("the image `{text}`"))?;
    let mut map = merge_maps(&import::below(&common.defaults, &own, PLATFORM.known), &own);
    let sets = sets.apply(reader, text, &mut map);
    let when = get(&map, "when").map(|said| condition::read(reader, &said.value)).transpose();
    if let Ok(Some(When { holds: false, written })) = when {
        return Ok(Considered::LeftOut(LeftOut { name: name?, when: written }));
    }
    let late = Late { name: Some(text), ..Late::default() };
    let repository = repository(reader, &map, entry, &name, late, common);
    let tags = tags::read(reader, &map, entry, late, common.around.overrides);
    let attestations = attestations(reader, &map, late);
    let ecr = ecr::creation(reader, &map, late, common.around.directory);
    let platforms = platforms(reader, &map, entry, late);
    // The tags or the platforms may have errors. The rest is then read with stand-ins, so that its errors are reported
    // too.
    let first = tags.as_ref().ok().and_then(|tags| tags.first());
    let (tag, tag_origin) = first.map_or(("tag", &entry.key.origin), |(tag, origin)| (tag.as_str(), origin));
    let late = Late { tag: Some(tag), ..late };
    let stand_in = || Platform::new("linux", "amd64", None).map(|platform| (platform, Map::default()));
    let planned = platforms.clone().unwrap_or_else(|_| stand_in().into_iter().collect());
    let origins = (&entry.key.origin, tag_origin);
    let jobs = jobs(reader, &subset(&map), planned, &sets, late, origins, &common.around);
    platforms?;
    when?;
    let (tags, tag_origins) = tags?.into_iter().unzip();
    let jobs = jobs?;
    dropped(reader, &map, &jobs, attestations)?;
    let (name, repository, attestations, ecr) = (name?, repository?, attestations?, ecr?);
    let image = Image { name, repository, tags, attestations, ecr, jobs: Vec::new(), left_out: Vec::new() };
    let (arch_tags, bases, caches, inputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let name = entry.key.origin.clone();
    let mut read = ReadImage { image, name, tags: tag_origins, arch_tags, bases, caches, inputs };
    for ReadJob { job, arch_tag, bases, cache, inputs } in jobs {
        read.inputs.push(inputs);
        read.caches.push(cache);
        read.image.jobs.push(job);
        read.arch_tags.push(arch_tag);
        read.bases.push(bases);
    }
    Ok(Considered::Wanted(Box::new(read)))
}

/// Reads the job of every platform.
fn jobs(
    reader: &mut Reader<'_>,
    settings: &Map,
    planned: Vec<(Platform, Map)>,
    sets: &[(Platform, Set)],
    late: Late<'_>,
    origins: (&Origin, &Origin),
    around: &ReadContext<'_>,
) -> Read<Vec<ReadJob>> {
    let mut jobs = Ok(Vec::with_capacity(planned.len()));
    for (platform, mut said) in planned {
        reader.go_on()?;
        for (_, set) in sets.iter().filter(|(wanted, _)| *wanted == platform) {
            if !set.skips(settings) && !set.skips(&said) {
                put(&mut said, &set.path, &set.value);
            }
        }
        let settings = merge_maps(&import::below(settings, &said, PLATFORM.known), &said);
        match (job::read(reader, &settings, &platform, late, origins, around), &mut jobs) {
            (Ok(job), Ok(jobs)) => jobs.push(job),
            (Err(told), _) => jobs = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    jobs
}

/// The settings of an image that its platforms inherit.
fn subset(map: &Map) -> Map {
    Rc::new(map.iter().filter(|entry| PLATFORM.known.contains(&&*entry.key.name)).cloned().collect())
}

fn repository(
    reader: &mut Reader<'_>,
    map: &Map,
    entry: &Entry,
    name: &Read<ImageName>,
    late: Late<'_>,
    common: &Common<'_>,
) -> Read<RepositoryPath> {
    let (text, origin) = match get(map, "repository") {
        Some(said) => (reader.text(&said.value, "`repository`", late)?, &said.value.origin),
        // The reader reported the bad name already. Do not report the same text again as a repository.
        None => (name.as_ref().map_err(|told| *told)?.to_string(), &entry.key.origin),
    };
    if text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':'])) {
        let hint = "move the host to `registry`".to_owned();
        let message = format!("the repository `{text}` names a registry, which is not yet supported");
        return Err(reader.problem(origin, message, Some(hint)));
    }
    let path: RepositoryPath = text.parse().map_err(|error| {
        let hint = (*text != text.to_lowercase()).then(|| format!("write repository: {}", text.to_lowercase()));
        reader.problem(origin, format!("the repository `{text}` is not valid: {error}"), hint)
    })?;
    for registry in &common.registries {
        if registry.host.is_docker_hub() && registry.namespace.is_none() && !text.contains('/') {
            let hint = format!("write `registry: docker.io/USER`, or `repository: USER/{text}`");
            let message = format!("the repository `{text}` has no namespace, and Docker Hub requires one");
            return Err(reader.problem(origin, message, Some(hint)));
        }
        if let Err(error) = path.within(registry.namespace.as_ref()) {
            let message = format!("the repository `{registry}/{text}` is not valid: {error}");
            return Err(reader.problem(origin, message, None));
        }
    }
    Ok(path)
}

fn attestations(reader: &mut Reader<'_>, map: &Map, late: Late<'_>) -> Read<AttestationPolicy> {
    let Some(said) = get(map, "attestations") else { return Ok(AttestationPolicy::default()) };
    let text = reader.text(&said.value, "`attestations`", late)?;
    match &*text {
        "keep" => Ok(AttestationPolicy::Keep),
        "strip" => Ok(AttestationPolicy::Strip),
        other => {
            let message = format!("`{other}` is not a value of `attestations`");
            Err(reader.problem(&said.value.origin, message, suggest(other, ["keep", "strip"])))
        }
    }
}

/// Refuses `attestations: strip` if the plan also asks a build for attestations.
fn dropped(reader: &mut Reader<'_>, map: &Map, jobs: &[ReadJob], policy: Read<AttestationPolicy>) -> Read<()> {
    let attests = |job: &&Job| job.build().is_some_and(|build| !build.spec.attest.is_nothing());
    let attested = jobs.iter().map(|read| &read.job).find(attests);
    match (policy?, get(map, "attestations"), attested) {
        (AttestationPolicy::Strip, Some(said), Some(job)) => {
            let message =
                format!("`attestations: strip` would remove the attestations that {} is built with", job.platform);
            let hint = "set `attestations: keep`, or `provenance: false` and `sbom: false`".to_owned();
            Err(reader.problem(&said.value.origin, message, Some(hint)))
        }
        _ => Ok(()),
    }
}

/// A platform. An unknown platform may be a new one, so it is only a warning.
fn platform(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Platform> {
    if let Some(hint) = platform_with_settings(node) {
        let message = format!("an item of the list `platforms` must be a string, and this is {}", node.kind());
        return Err(reader.problem(&node.origin, message, Some(hint)));
    }
    let platform = reader.platform(node, late)?;
    if !platform.is_known() {
        let message = format!("polyarch does not know the platform {platform}");
        reader.warning(
            &node.origin,
            message,
            Some("check the spelling; polyarch builds the platform as you wrote it".to_owned()),
        );
    }
    Ok(platform)
}

/// The map of platforms that a map in their list probably means: `{ linux/arm64: { args: … } }`.
fn platform_with_settings(node: &Node) -> Option<String> {
    let Value::Map(settings) = &node.value else { return None };
    let is_platform = |text: &str| text.parse::<Platform>().is_ok();
    let name = settings.iter().find_map(|entry| match &entry.value.value {
        _ if is_platform(&entry.key.name) => Some(&*entry.key.name),
        Value::Text(text) if is_platform(text) => Some(&**text),
        _ => None,
    })?;
    let own = settings.iter().find_map(|entry| match &entry.value.value {
        Value::Map(own) if is_platform(&entry.key.name) => Some(own),
        _ => None,
    });
    let mut keys = own.unwrap_or(settings).iter().map(|entry| &*entry.key.name);
    let key = keys.find(|key| PLATFORM.known.contains(key)).unwrap_or("args");
    Some(format!("write `platforms` as a map: platforms: {{ {name}: {{ {key}: … }} }}"))
}

/// Refuses a misspelled `platforms`, which is the reason why an image has none.
fn misspelled(reader: &mut Reader<'_>, image: &Entry) -> Read<()> {
    let Value::Map(settings) = &image.value.value else { return Ok(()) };
    let is_near = |entry: &&Entry| nearest(&entry.key.name, IMAGE.known.iter().copied()) == Some("platforms");
    let near = settings.iter().filter(|entry| &*entry.key.name != "platforms").find(is_near);
    near.map_or(Ok(()), |entry| reader.key(&entry.key.origin, &entry.key.name, &IMAGE))
}

/// The platforms in their order, each with its settings. There is at least one.
fn platforms(reader: &mut Reader<'_>, map: &Map, entry: &Entry, late: Late<'_>) -> Read<Vec<(Platform, Map)>> {
    let read = match get(map, "platforms").map(|said| &said.value) {
        Some(Node { value: Value::Map(platforms), .. }) => distinct(reader, platforms, |reader, entry| {
            let name = Value::Text(entry.key.name.to_string());
            let name = Node { origin: entry.key.origin.clone(), value: name };
            let platform = platform(reader, &name, Late::default());
            let settings = reader.map(&entry.value, &format!("`{}`", entry.key.name), &PLATFORM)?;
            Ok((platform?, settings))
        })?,
        Some(list) => {
            let items = reader.list(list, "`platforms`")?;
            distinct(reader, &items, |reader, item| Ok((platform(reader, item, late)?, Map::default())))?
        }
        None => Vec::new(),
    };
    if read.is_empty() {
        misspelled(reader, entry)?;
        let hint = "add platforms: [linux/amd64, linux/arm64]".to_owned();
        let message = format!("the image `{}` has no platforms", entry.key.name);
        return Err(reader.problem(&entry.key.origin, message, Some(hint)));
    }
    Ok(read)
}
