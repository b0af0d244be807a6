//! Reads one of `images`.

use std::rc::Rc;

use crate::oci::{Platform, RepositoryPath, Tag};

use super::forms;
use super::job::{self, Surroundings};
use super::keys::{IMAGE, PLATFORM};
use super::model::Image;
use super::names::ImageName;
use super::node::{Entry, Map, Node, Origin, Value, get, merge_maps, put};
use super::reader::{Late, Reader};
use super::set::Sets;

/// An image, and where its names were written.
pub(super) struct ReadImage {
    pub(super) image: Image,
    pub(super) name: Origin,
    pub(super) tags: Vec<Origin>,
    pub(super) arch_tags: Vec<Origin>,
}

/// What the images of a plan have in common.
pub(super) struct Common<'a> {
    pub(super) around: Surroundings<'a>,
    pub(super) defaults: Map,
    pub(super) namespace: Option<RepositoryPath>,
    /// `None` where the registry could not be read: repositories are then not checked against it.
    pub(super) docker_hub: bool,
}

/// Reads the keys of an image or of `defaults`, in their long forms.
pub(super) fn settings(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Map> {
    let mut map = reader.map(node, what, &IMAGE)?;
    forms::normalise(&mut map);
    Some(map)
}

/// Reads the image `entry`.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, common: &Common<'_>, sets: &mut Sets) -> Option<ReadImage> {
    let text = &*entry.key.name;
    let name: Option<ImageName> = text
        .parse()
        .map_err(|error| {
            let hint = Some("a name with dots or slashes is for `repository`".to_owned());
            reader.problem(&entry.key.origin, format!("`{text}` is not a name: {error}"), hint);
        })
        .ok();
    let own = settings(reader, &entry.value, &format!("the image `{text}`"))?;
    let mut map = merge_maps(&common.defaults, &own);
    let platform_sets = sets.apply(reader, text, &mut map);
    let late = Late { name: Some(text), ..Late::default() };
    let repository = repository(reader, &map, entry, late, common);
    let tags = tags(reader, &map, entry, late, common);
    let platforms = platforms(reader, &map, entry, late)?;
    let settings = subset(&map);
    let (tags, tag_origins): (Vec<Tag>, Vec<Origin>) = tags?.into_iter().unzip();
    let late = Late { tag: tags.first().map(Tag::as_str), ..late };
    let (mut jobs, mut arch_tags, planned) = (Vec::new(), Vec::new(), platforms.len());
    for (platform, mut said) in platforms {
        if reader.is_exhausted() {
            return None;
        }
        for (_, set) in platform_sets.iter().filter(|(wanted, _)| *wanted == platform) {
            put(&mut said, &set.path, &set.value);
        }
        let settings = merge_maps(&settings, &said);
        let late = Late { platform: Some(&platform), ..late };
        let read = job::read(reader, &settings, late, tag_origins.first()?, &common.around);
        if let Some((job, origin)) = read {
            jobs.push(job);
            arch_tags.push(origin);
        }
    }
    let image = Image { name: name?, repository: repository?, tags, jobs, left_out: Vec::new() };
    (image.jobs.len() == planned).then(|| ReadImage {
        image,
        name: entry.key.origin.clone(),
        tags: tag_origins,
        arch_tags,
    })
}

/// What an image says of its builds.
fn subset(map: &Map) -> Map {
    Rc::new(map.iter().filter(|entry| PLATFORM.known.contains(&&*entry.key.name)).cloned().collect())
}

fn repository(
    reader: &mut Reader<'_>,
    map: &Map,
    entry: &Entry,
    late: Late<'_>,
    common: &Common<'_>,
) -> Option<RepositoryPath> {
    let (text, origin) = match get(map, "repository") {
        Some(said) => (reader.text(&said.value, "`repository`", late)?, &said.value.origin),
        None => (entry.key.name.to_string(), &entry.key.origin),
    };
    if text.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':'])) || text.contains("://") {
        let hint = "the host belongs in `registry`".to_owned();
        reader.problem(
            origin,
            format!("the repository `{text}` names a registry, which is not yet supported"),
            Some(hint),
        );
        return None;
    }
    let path = common.namespace.as_ref().map_or_else(|| text.clone(), |namespace| format!("{namespace}/{text}"));
    if common.docker_hub && !path.contains('/') {
        let hint = format!("say `registry: docker.io/USER`, or `repository: USER/{text}`");
        reader.problem(origin, format!("`{text}` has no namespace, and Docker Hub wants one"), Some(hint));
        return None;
    }
    path.parse()
        .map_err(|error| {
            let hint = (*text != text.to_lowercase()).then(|| format!("repository: {}", text.to_lowercase()));
            reader.problem(origin, format!("the repository `{path}` is not valid: {error}"), hint);
        })
        .ok()
}

/// The final tags, each with its place. At least one.
fn tags(
    reader: &mut Reader<'_>,
    map: &Map,
    entry: &Entry,
    late: Late<'_>,
    common: &Common<'_>,
) -> Option<Vec<(Tag, Origin)>> {
    let overrides = common.around.overrides;
    let items: Rc<[Node]> = if !overrides.tags.is_empty() && overrides.selection.has_image(&entry.key.name) {
        let node = |tag: &String| Node {
            origin: Origin::Flag(format!("--tag {tag}").into()),
            value: Value::Flag(tag.clone()),
        };
        overrides.tags.iter().map(node).collect()
    } else if let Some(said) = get(map, "tags") {
        reader.list(&said.value, "`tags`")?
    } else {
        Rc::default()
    };
    if items.is_empty() {
        let hint = "add them: tags: [\"1.0\", latest]".to_owned();
        reader.problem(&entry.key.origin, format!("the image `{}` has no tags", entry.key.name), Some(hint));
        return None;
    }
    let mut tags: Vec<(Tag, Origin)> = Vec::with_capacity(items.len());
    let mut seen = std::collections::HashSet::new();
    let mut complete = true;
    for item in items.iter() {
        let Some(tag) = reader.parsed::<Tag>(item, "the tag", late) else {
            complete = false;
            continue;
        };
        if seen.insert(tag.clone()) {
            tags.push((tag, item.origin.clone()));
        } else {
            reader.problem(&item.origin, format!("the tag `{tag}` is there twice"), None);
            complete = false;
        }
    }
    complete.then_some(tags)
}

/// The platforms in their order, each with what is said of it. At least one.
fn platforms(reader: &mut Reader<'_>, map: &Map, entry: &Entry, late: Late<'_>) -> Option<Vec<(Platform, Map)>> {
    let mut read: Vec<(Platform, Map)> = Vec::new();
    let mut complete = true;
    let said = get(map, "platforms").map(|said| &said.value);
    if let Some(Node { value: Value::Map(platforms), .. }) = said {
        for platform in platforms.iter() {
            let name = Node { origin: platform.key.origin.clone(), value: Value::Text(platform.key.name.to_string()) };
            let parsed = reader.parsed(&name, "the platform", Late::default());
            let settings = reader.map(&platform.value, &format!("`{}`", platform.key.name), &PLATFORM);
            complete &= push(reader, &mut read, &name.origin, parsed.zip(settings));
        }
    } else if let Some(list) = said {
        for item in reader.list(list, "`platforms`")?.iter() {
            let parsed = reader.parsed(item, "the platform", late);
            complete &= push(reader, &mut read, &item.origin, parsed.map(|platform| (platform, Map::default())));
        }
    }
    if read.is_empty() && complete {
        let hint = "add them: platforms: [linux/amd64, linux/arm64]".to_owned();
        reader.problem(&entry.key.origin, format!("the image `{}` has no platforms", entry.key.name), Some(hint));
        return None;
    }
    complete.then_some(read)
}

fn push(
    reader: &mut Reader<'_>,
    read: &mut Vec<(Platform, Map)>,
    origin: &Origin,
    platform: Option<(Platform, Map)>,
) -> bool {
    let Some((platform, settings)) = platform else { return false };
    if read.iter().any(|(other, _)| *other == platform) {
        reader.problem(origin, format!("{platform} is there twice"), None);
        return false;
    }
    read.push((platform, settings));
    true
}
