//! From a plan's text to the plan: everything that can be known without asking a machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::oci::RegistryHost;

use super::checks;
use super::engines;
use super::error::{PlanErrors, Problem, SourceText};
use super::image::{self, Common, ReadImage};
use super::interpolate;
use super::job::Surroundings;
use super::keys::PLAN;
use super::model::{Image, Plan, RegistryChoice};
use super::names::EngineName;
use super::node::{Map, Node, Origin, Value, get};
use super::overrides::Overrides;
use super::raw;
use super::reader::{Environment, FACTS, Facts, Reader};
use super::registry::{self, Target};
use super::select::select;
use super::set::Sets;

/// The version of the plan's language that is read.
const VERSION: u32 = 1;

/// The facts that a plan names (`git.sha`, `git.short`, `git.tag`), so that only these are asked for. A text that
/// does not parse names none: [`resolve`] says what is wrong with it.
pub fn needed_facts(source: &SourceText, overrides: &Overrides) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(node) = raw::parse(source) {
        collect(&node, &mut found);
    }
    overrides.set.iter().for_each(|set| found.extend(interpolate::names(set)));
    found.retain(|name| FACTS.contains(&name.as_str()));
    found
}

fn collect(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Text(text) if text.contains('$') => found.extend(interpolate::names(text)),
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => map.iter().for_each(|entry| collect(&entry.value, found)),
        _ => {}
    }
}

/// Resolves a plan: YAML, defaults, variables, the command line over all of it, and the selection.
///
/// The whole plan is checked, whatever is selected of it. Paths are joined to the directory of `source`.
/// Bounds: 4 MiB of text and 64 MiB of resolved strings.
///
/// # Errors
/// Everything that is wrong, up to a hundred problems, in the order of the text; but what is not YAML is told alone.
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
    let warnings = reader.finish().map_err(failed)?;
    // Nothing was found wrong, so everything was read.
    let Some(mut plan) = plan else {
        let message = "the plan could not be read".to_owned();
        return Err(failed(vec![Problem { span: None, message, hint: None }]));
    };
    plan.warnings = warnings;
    select(plan, &overrides.selection).map_err(failed)
}

fn read(reader: &mut Reader<'_>, node: &Node, overrides: &Overrides) -> Option<Plan> {
    let directory = reader.source().path.parent().unwrap_or(Path::new(""));
    let top = top_level(reader, node)?;
    let target = match &overrides.registry {
        Some(flag) => {
            let origin = Origin::Flag(format!("--registry {flag}").into());
            registry::read(reader, Some(&Node { origin, value: Value::Flag(flag.clone()) }), directory)
        }
        None => registry::read(reader, get(&top, "registry").map(|entry| &entry.value), directory),
    };
    let engines = engines::read(reader, get(&top, "engines").map(|entry| &entry.value), &overrides.engines);
    let names: Vec<EngineName> = engines.iter().map(|engine| engine.name.clone()).collect();
    let defaults = match get(&top, "defaults") {
        Some(entry) => image::settings(reader, &entry.value, "`defaults`")?,
        None => Map::default(),
    };
    let common = Common {
        around: Surroundings { directory, engines: &names, overrides },
        defaults,
        docker_hub: target.as_ref().is_some_and(is_docker_hub),
        namespace: target.as_ref().and_then(|target| target.namespace.clone()),
    };
    let images = images(reader, node, &top, &common);
    checks::check(reader, &images);
    let planned = get(&top, "images").and_then(|entry| entry.value.len())?;
    let images: Vec<Image> = images.into_iter().map(|read| read.image).collect();
    // An image that could not be read is told of; that it is missing here must never depend on it.
    if images.len() != planned {
        return None;
    }
    Some(Plan { registry: target?.choice, engines, images, left_out: Vec::new(), warnings: Vec::new() })
}

/// The keys of the plan but its extensions, with the version checked.
fn top_level(reader: &mut Reader<'_>, node: &Node) -> Option<Map> {
    if matches!(node.value, Value::Null) {
        let hint = "begin it with version: 1 and images:".to_owned();
        reader.problem(&node.origin, "the plan is empty", Some(hint));
        return None;
    }
    let all = reader.any_map(node, "a plan")?;
    let ours = all.iter().filter(|entry| !entry.key.name.starts_with("x-")).cloned().collect();
    let ours = Node { origin: node.origin.clone(), value: Value::Map(Rc::new(ours)) };
    let top = reader.map(&ours, "a plan", &PLAN)?;
    match get(&top, "version") {
        Some(entry) => {
            let version: u32 = reader.number(&entry.value, "`version`", "the number 1")?;
            if version != VERSION {
                let message =
                    format!("this is version {version} of the plan's language, and version {VERSION} is read");
                reader.problem(&entry.value.origin, message, None);
                return None;
            }
        }
        None => reader.problem(&node.origin, "the plan has no `version`", Some("begin it with version: 1".to_owned())),
    }
    Some(top)
}

fn is_docker_hub(target: &Target) -> bool {
    let hub = |host: &RegistryHost| host.is_docker_hub();
    matches!(&target.choice, RegistryChoice::Named(named) if hub(&named.host))
}

fn images(reader: &mut Reader<'_>, node: &Node, top: &Map, common: &Common<'_>) -> Vec<ReadImage> {
    let images = match get(top, "images") {
        Some(entry) => match reader.any_map(&entry.value, "`images`") {
            Some(images) => images,
            None => return Vec::new(),
        },
        None => Map::default(),
    };
    if images.is_empty() {
        let hint = "add one: images: { hello: { tags: [latest], platforms: [linux/amd64] } }".to_owned();
        let origin = get(top, "images").map_or(&node.origin, |entry| &entry.value.origin);
        reader.problem(origin, "the plan has no images", Some(hint));
    }
    let mut sets = Sets::parse(reader, &common.around.overrides.set);
    let mut read = Vec::with_capacity(images.len().min(1024));
    for entry in images.iter() {
        if reader.is_exhausted() {
            break;
        }
        read.extend(image::read(reader, entry, common, &mut sets));
    }
    sets.check_used(reader, images.iter().map(|entry| &*entry.key.name));
    read
}
