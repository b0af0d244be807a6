//! Resolves a plan from its text, without access to the machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::bases;
use super::checks;
use super::condition;
use super::image::{self, Common, Considered, LeftOut, ReadImage};
use super::job::ReadContext;
use super::keys::ecr;
use super::keys::engines;
use super::keys::registry::{self, Registries};
use super::keys::silence;
use super::model::error::{PlanErrors, Problem, SourceText};
use super::model::overrides::Overrides;
use super::model::plan::Plan;
use super::read::interpolate;
use super::read::keys::PLAN;
use super::read::node::{Map, Node, Origin, Value, get};
use super::read::raw;
use super::read::reader::{Environment, FACTS, Facts, Read, Reader};
use super::read::set::Sets;
use super::select::select;
use super::tags;
use crate::aws::AwsRegion;
use crate::plan::model::ecr::OWN_REGISTRY;

/// The version of the plan format that polyarch reads.
const VERSION: u32 = 1;

/// The facts that a plan uses, such as `git.sha` and `aws.account`. The caller looks up only these. A text that does
/// not parse has none, and [`resolve`] reports its errors.
pub fn needed_facts(source: &SourceText, overrides: &Overrides) -> BTreeSet<String> {
    let (mut found, mut conditions) = (BTreeSet::new(), BTreeSet::new());
    if let Ok(node) = raw::parse(source) {
        collect(&node, &mut found);
        collect_implied(&node, &mut conditions);
    }
    for set in &overrides.set {
        let Some((key, value)) = set.split_once('=') else { continue };
        let origin = Origin::Flag(key.into());
        implied(
            key.rsplit('.').next().unwrap_or(key),
            &Node { origin, value: Value::Flag(value.to_owned()) },
            &mut conditions,
        );
    }
    let flags = registry_flags(&overrides.registries);
    let said = raw::parse(source).ok().and_then(|node| said_registry(&node));
    if flags.or(said).as_ref().is_some_and(ecr::is_own) {
        found.insert(OWN_REGISTRY.to_owned());
    }
    overrides.set.iter().chain(&overrides.tags).for_each(|flag| found.extend(interpolate::names(flag)));
    found.retain(|name| FACTS.contains(&name.as_str()));
    found.extend(conditions);
    found
}

/// The region in which polyarch can ask for your account's registry: the plan names a region for each registry that
/// needs the account. `None` if one of them has no region, or if the plan names `aws.registry` itself.
pub fn own_region(source: &SourceText, overrides: &Overrides) -> Option<AwsRegion> {
    let node = raw::parse(source).ok()?;
    let mut named = BTreeSet::new();
    collect(&node, &mut named);
    overrides.set.iter().for_each(|set| named.extend(interpolate::names(set)));
    if named.contains(OWN_REGISTRY) {
        return None;
    }
    ecr::region_of_own(&registry_flags(&overrides.registries).or_else(|| said_registry(&node))?)
}

fn said_registry(node: &Node) -> Option<Node> {
    let Value::Map(map) = &node.value else { return None };
    get(map, "registry").map(|entry| entry.value.clone())
}

fn collect(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Text(text) if text.contains('$') => found.extend(interpolate::names(text)),
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => map.iter().for_each(|entry| collect(&entry.value, found)),
        _ => {}
    }
}

/// The names in a plan that complete a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The names of the images.
    pub images: BTreeSet<String>,
    /// The platforms, in the spelling of the plan.
    pub platforms: BTreeSet<String>,
}

/// Reads the outline of a plan, which may have errors elsewhere. A text that is not YAML has an empty outline.
#[must_use]
pub fn outline(source: &SourceText) -> Outline {
    let mut found = Outline::default();
    let Ok(Node { value: Value::Map(plan), .. }) = raw::parse(source) else { return found };
    let defaults = get(&plan, "defaults").map(|entry| &entry.value);
    let images = get(&plan, "images").map(|entry| &entry.value.value);
    let of_images = match images {
        Some(Value::Map(images)) => {
            found.images = images.iter().map(|entry| entry.key.name.to_string()).collect();
            images.iter().map(|entry| &entry.value).collect()
        }
        _ => Vec::new(),
    };
    for node in defaults.into_iter().chain(of_images) {
        let Value::Map(settings) = &node.value else { continue };
        match get(settings, "platforms").map(|entry| &entry.value.value) {
            Some(Value::List(platforms)) => {
                found.platforms.extend(platforms.iter().filter_map(|node| match &node.value {
                    Value::Text(platform) => Some(platform.clone()),
                    _ => None,
                }));
            }
            Some(Value::Map(platforms)) => {
                found.platforms.extend(platforms.iter().map(|entry| entry.key.name.to_string()));
            }
            _ => {}
        }
    }
    found
}

/// Adds the facts that a plan needs without their names: for `when`, and for `tags: auto`.
fn collect_implied(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect_implied(item, found)),
        Value::Map(map) => map.iter().for_each(|entry| {
            implied(&entry.key.name, &entry.value, found);
            collect_implied(&entry.value, found);
        }),
        _ => {}
    }
}

fn implied(key: &str, value: &Node, found: &mut BTreeSet<String>) {
    match key {
        "when" => condition::add_facts(value, found),
        "tags" => tags::add_facts(value, found),
        _ => {}
    }
}

/// Resolves a plan: YAML, defaults, variables, the overrides of the command line, and the selection.
///
/// polyarch checks the whole plan, even if you select only a part of it. Paths are joined to the directory of
/// `source`. Limits: 4 MiB of text and 64 MiB of resolved strings.
///
/// # Errors
/// All problems in the order of the text, at most a hundred. A text that is not YAML has only one problem.
pub fn resolve(
    source: &SourceText,
    environment: &Environment,
    facts: &Facts,
    overrides: &Overrides,
) -> Result<Plan, PlanErrors> {
    let failed = |problems: Vec<Problem>| PlanErrors { source: source.clone(), problems };
    let node = raw::parse(source).map_err(|problem| failed(vec![problem]))?;
    let mut reader = Reader::new(source, environment, facts);
    let plan = read(&mut reader, &node, overrides);
    let plan = reader.finish(plan).map_err(failed)?;
    select(plan, &overrides.selection).map_err(failed)
}

fn read(reader: &mut Reader<'_>, node: &Node, overrides: &Overrides) -> Read<Plan> {
    let directory = reader.source().path.parent().unwrap_or(Path::new(""));
    let top = top_level(reader, node)?;
    let said = |key: &str| get(&top, key).map(|entry| &entry.value);
    let flags = registry_flags(&overrides.registries);
    let registries = registry::read(reader, flags.as_ref().or(said("registry")), directory);
    let (engines, all_engines) = engines::read(reader, said("engines"), &overrides.engines, directory);
    let names = engines.iter().map(|engine| engine.name.clone()).collect();
    let defaults = said("defaults").map(|node| image::settings(reader, node, "`defaults`")).transpose();
    let common = Common {
        around: ReadContext { directory, engines: names, overrides },
        defaults: defaults?.unwrap_or_default(),
        registries: registries.as_ref().map(|registries| registries.named().cloned().collect()).unwrap_or_default(),
    };
    let silence = silence::read(reader, said("silence"));
    let (images, unwanted, all_images) = images(reader, node, &top, &common);
    checks::check(reader, &images, &common.registries);
    bases::check(reader, &images, &unwanted, &names_of(&top));
    all_engines.and(all_images)?;
    let places = |read: &ReadImage| {
        let jobs = read.image.jobs.iter().zip(&read.inputs);
        let name = read.image.name.clone();
        jobs.filter_map(move |(job, inputs)| Some(((name.clone(), job.platform.clone()), inputs.clone()?)))
            .collect::<Vec<_>>()
    };
    let places = images.iter().flat_map(places).collect();
    let images = images.into_iter().map(|read| read.image).collect();
    let Registries { first, copies } = registries?;
    let silence = silence?;
    let left_out = unwanted.iter().map(|image| image.name.clone()).collect();
    let notes = unwanted.iter().map(note).collect();
    let warnings = Vec::new();
    Ok(Plan { registry: first, copies, engines, images, left_out, notes, silence, warnings, places })
}

fn note(LeftOut { name, when }: &LeftOut) -> String {
    format!("{name} is not in this run: no condition holds of its `when: {when}`")
}

/// The keys of the plan without its extensions. Checks the version.
fn top_level(reader: &mut Reader<'_>, node: &Node) -> Read<Map> {
    if matches!(node.value, Value::Null) {
        let hint = "begin the plan with version: 1 and images:".to_owned();
        return Err(reader.problem(&node.origin, "the plan is empty", Some(hint)));
    }
    let all = reader.any_map(node, "a plan")?;
    if let Some(entry) = get(&all, "version") {
        let version = reader.number::<u32>(&entry.value, "`version`", "the number 1");
        if let Ok(version) = version
            && version != VERSION
        {
            // The keys of another version may have other meanings, so they are not read.
            let message = format!("the plan has version {version}, and polyarch reads version {VERSION}");
            return Err(reader.problem(&entry.value.origin, message, None));
        }
    } else {
        reader.problem(&node.origin, "the plan has no `version`", Some("begin the plan with version: 1".to_owned()));
    }
    let ours = all.iter().filter(|entry| !entry.key.name.starts_with("x-")).cloned().collect();
    let ours = Node { origin: node.origin.clone(), value: Value::Map(Rc::new(ours)) };
    reader.map(&ours, "a plan", &PLAN)
}

/// The names of all images, including images with errors.
fn names_of(top: &Map) -> BTreeSet<&str> {
    match get(top, "images").map(|entry| &entry.value.value) {
        Some(Value::Map(images)) => images.iter().map(|entry| &*entry.key.name).collect(),
        _ => BTreeSet::new(),
    }
}

/// The list of `--registry`, which replaces the list of the plan.
fn registry_flags(flags: &[String]) -> Option<Node> {
    let node = |flag: &String| {
        let origin = Origin::Flag(format!("--registry {flag}").into());
        Node { origin, value: Value::Flag(flag.clone()) }
    };
    let origin = node(flags.first()?).origin;
    Some(Node { origin, value: Value::List(flags.iter().map(node).collect()) })
}

/// The images that could be read, the images that this run does not have, and an error if others could not be read.
fn images(
    reader: &mut Reader<'_>,
    node: &Node,
    top: &Map,
    common: &Common<'_>,
) -> (Vec<ReadImage>, Vec<LeftOut>, Read<()>) {
    let (mut read, mut unwanted, mut all) = (Vec::new(), Vec::new(), Ok(()));
    let said = get(top, "images").map(|entry| &entry.value);
    let images = match said.map(|node| reader.any_map(node, "`images`")).transpose() {
        Ok(images) => images.unwrap_or_default(),
        Err(told) => return (read, unwanted, Err(told)),
    };
    if images.is_empty() {
        let hint = "add an image: images: { hello: { tags: [latest], platforms: [linux/amd64] } }".to_owned();
        all = Err(reader.problem(&said.unwrap_or(node).origin, "the plan has no images", Some(hint)));
    }
    let mut sets = Sets::parse(reader, &common.around.overrides.set);
    for entry in images.iter() {
        match reader.go_on().and_then(|()| image::read(reader, entry, common, &mut sets)) {
            Ok(Considered::Wanted(image)) => read.push(*image),
            Ok(Considered::LeftOut(image)) => unwanted.push(image),
            Err(told) => all = Err(told),
        }
    }
    let names: Vec<&str> = images.iter().map(|entry| &*entry.key.name).collect();
    sets.check_used(reader, &names);
    (read, unwanted, all)
}
