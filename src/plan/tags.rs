//! Reads `tags`: a list of tags, with conditions if you want them, or `auto`.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::oci::{Reference, Selector, Tag};

use super::condition::{self, HIGHEST, PRERELEASE, RELEASE, When, cannot_know};
use super::model::overrides::Overrides;
use super::read::keys::TAG;
use super::read::node::{Entry, Map, Node, Origin, Value, get};
use super::read::reader::{Late, Read, Reader};

/// The value of `tags` that stands for the tags of the run's reference.
const AUTO: &str = "auto";

/// The facts that `tags: auto` needs.
const AUTO_FACTS: [&str; 8] =
    [RELEASE, PRERELEASE, HIGHEST, "git.version", "git.major", "git.minor", "git.ref_slug", "git.short"];

/// Adds the facts that `tags` needs beyond the ones that it names, if it is `auto`.
pub(super) fn add_facts(tags: &Node, found: &mut BTreeSet<String>) {
    if is_auto(tags) {
        found.extend(AUTO_FACTS.map(str::to_owned));
    }
}

fn is_auto(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) | Value::Flag(text) if text == AUTO)
}

/// The final tags, each with its place. There is at least one.
pub(super) fn read(
    reader: &mut Reader<'_>,
    map: &Map,
    entry: &Entry,
    late: Late<'_>,
    overrides: &Overrides,
) -> Read<Vec<(Tag, Origin)>> {
    let flag = |tag: &String| {
        let origin = Origin::Flag(format!("--tag {tag}").into());
        Node { origin, value: Value::Flag(tag.clone()) }
    };
    let items: Rc<[Node]> = if !overrides.tags.is_empty() && overrides.selection.has_image(&entry.key.name) {
        overrides.tags.iter().map(flag).collect()
    } else if let Some(said) = get(map, "tags") {
        if is_auto(&said.value) {
            return auto(reader, &said.value);
        }
        reader.list(&said.value, "`tags`")?
    } else {
        Rc::default()
    };
    if items.is_empty() {
        let hint = "add tags: [\"1.0\", latest]".to_owned();
        let message = format!("the image `{}` has no tags", entry.key.name);
        return Err(reader.problem(&entry.key.origin, message, Some(hint)));
    }
    kept(reader, &items, entry, late)
}

/// The tags that are left of `items`, each once.
fn kept(reader: &mut Reader<'_>, items: &[Node], image: &Entry, late: Late<'_>) -> Read<Vec<(Tag, Origin)>> {
    let (mut all, mut seen) = (Ok(Vec::with_capacity(items.len().min(64))), HashMap::new());
    let mut unmet = Vec::new();
    for item in items {
        reader.go_on()?;
        let one = match considered(reader, item, late) {
            Ok(Considered::Tag(tag, text)) => match seen.insert(tag.clone(), text) {
                None => Ok((tag, item.origin.clone())),
                // The same tag in the same letters is a mistake. Two variables may well have the same value.
                Some(first) if is_fixed(first) && is_fixed(text) => {
                    Err(reader.problem(&item.origin, format!("`{tag}` appears twice"), None))
                }
                Some(_) => continue,
            },
            Ok(Considered::Unmet(when)) => {
                unmet.push(when);
                continue;
            }
            Ok(Considered::Empty) => continue,
            Err(told) => Err(told),
        };
        match (one, &mut all) {
            (Ok(one), Ok(all)) => all.push(one),
            (Err(told), _) => all = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    let kept = all?;
    if kept.is_empty() { Err(nothing_left(reader, image, &unmet)) } else { Ok(kept) }
}

/// An item of the list.
enum Considered<'n> {
    /// A tag, and the node that it was written as.
    Tag(Tag, &'n Node),
    /// The variables of the tag are empty.
    Empty,
    /// These conditions do not hold.
    Unmet(String),
}

fn considered<'n>(reader: &mut Reader<'_>, item: &'n Node, late: Late<'_>) -> Read<Considered<'n>> {
    let Value::Map(_) = &item.value else { return tag(reader, item, late) };
    let map = reader.map(item, "a tag", &TAG)?;
    let when = get(&map, "when").map(|said| condition::read(reader, &said.value)).transpose()?;
    let Some(said) = get_in(item, "tag") else {
        let hint = "write { tag: latest, when: highest }".to_owned();
        return Err(reader.problem(&item.origin, "this map has no key `tag`", Some(hint)));
    };
    match when {
        Some(When { holds: false, written }) => Ok(Considered::Unmet(written)),
        _ => tag(reader, said, late),
    }
}

fn get_in<'n>(item: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(map) = &item.value else { return None };
    get(map, key).map(|entry| &entry.value)
}

/// Whether the text of a tag has no variable.
fn is_fixed(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) | Value::Flag(text) if !text.contains('$'))
}

fn nothing_left(reader: &mut Reader<'_>, image: &Entry, unmet: &[String]) -> super::read::reader::Reported {
    let name = &image.key.name;
    let (message, hint) = if unmet.is_empty() {
        (format!("every tag of the image `{name}` is empty"), "write a default, such as `${VERSION:-dev}`".to_owned())
    } else {
        let conditions: BTreeSet<_> = unmet.iter().map(String::as_str).collect();
        let conditions = Vec::from_iter(conditions).join("; ");
        let message = format!("the image `{name}` has no tag in this run, because no condition holds: {conditions}");
        (message, format!("add a tag without a condition, or give `{name}` itself a `when`"))
    };
    reader.problem(&image.key.origin, message, Some(hint))
}

/// The tags of the reference that the run is for. The first one belongs to the reference alone, as it names the arch
/// tags.
fn auto(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<(Tag, Origin)>> {
    let names = auto_names(reader).map_err(|(condition, reason)| match condition {
        Some(condition) => cannot_know(reader, &node.origin, condition, &reason),
        None => reader.problem(&node.origin, format!("`tags: auto` has no tag for this run: {reason}"), None),
    })?;
    let parsed = names.iter().map(|name| {
        let tag = name.parse::<Tag>();
        tag.map_err(|error| reader.problem(&node.origin, format!("the tag `{name}` is not valid: {error}"), None))
    });
    let tags: Vec<_> = parsed.collect::<Read<_>>()?;
    Ok(tags.into_iter().map(|tag| (tag, node.origin.clone())).collect())
}

/// The names, or the condition that is unknown and the reason.
fn auto_names(reader: &Reader<'_>) -> Result<Vec<String>, (Option<&'static str>, String)> {
    let holds = |fact: &str, condition: &'static str| match reader.fact(fact) {
        Ok(value) => Ok(value == "true"),
        Err(reason) => Err((Some(condition), reason)),
    };
    let fact = |name: &str| reader.fact(name).map_err(|reason| (None, reason));
    if holds(RELEASE, "release")? {
        let (version, major) = (fact("git.version")?, fact("git.major")?);
        let mut names = vec![version, format!("{major}.{}", fact("git.minor")?)];
        // Version 0 promises nothing about its minor versions.
        if major != "0" {
            names.push(major);
        }
        if holds(HIGHEST, "highest")? {
            names.push("latest".to_owned());
        }
        return Ok(names);
    }
    if holds(PRERELEASE, "prerelease")? {
        return Ok(vec![fact("git.version")?]);
    }
    match reader.fact("git.ref_slug") {
        Ok(slug) => Ok(vec![slug]),
        // HEAD is detached: a commit without a name.
        Err(_) => Ok(vec![format!("sha-{}", fact("git.short")?)]),
    }
}

/// A tag. Users of docker often write a whole reference instead.
fn tag<'n>(reader: &mut Reader<'_>, item: &'n Node, late: Late<'_>) -> Read<Considered<'n>> {
    let text = reader.text(item, "the tag", late)?;
    if text.is_empty() && !is_fixed(item) {
        return Ok(Considered::Empty);
    }
    let parsed = text.parse::<Tag>();
    // A tag keeps its case. The rest of a reference is lower case.
    let lower = text.rsplit_once(':').map(|(name, tag)| format!("{}:{tag}", name.to_lowercase()));
    parsed.map(|tag| Considered::Tag(tag, item)).map_err(|error| {
        match lower.as_ref().unwrap_or(&text).parse::<Reference>() {
            Ok(Reference { repository, selector: Selector::Tag(tag) }) if text.contains(['/', ':']) => {
                let (namespace, name) = match repository.path().as_str().rsplit_once('/') {
                    Some((namespace, name)) => (format!("/{namespace}"), name),
                    None => (String::new(), repository.path().as_str()),
                };
                let hint = match item.origin {
                    Origin::Flag(_) => format!("pass only the tag: `-t {tag}`"),
                    Origin::Text(_) => {
                        format!(
                            "write registry: {}{namespace}, repository: {name}, tags: [\"{tag}\"]",
                            repository.host()
                        )
                    }
                };
                reader.problem(
                    &item.origin,
                    format!("`{text}` is a reference, and a tag is only the part after its colon"),
                    Some(hint),
                )
            }
            _ => reader.problem(&item.origin, format!("the tag `{text}` is not valid: {error}"), None),
        }
    })
}
