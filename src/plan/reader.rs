//! Reads typed values from the tree and collects what is wrong with them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use crate::oci::{Platform, platforms_in};

use super::ecr::OWN_REGISTRY;
use super::error::{Location, Problem, SourceText};
use super::interpolate::{Lookup, interpolate};
use super::keys::{ELSEWHERE, Keys};
use super::model::Plan;
use super::node::{Entry, Map, Node, Origin, Value};
use super::suggest::suggest;

/// The environment that a plan may take values from. The caller chooses what is in it.
pub type Environment = BTreeMap<String, String>;

/// What was asked of the machine because the plan names it: `git.sha` and so on, each the fact, or why it is not
/// known.
pub type Facts = BTreeMap<String, Result<String, String>>;

/// Names of the facts that exist.
pub(super) const FACTS: [&str; 6] = ["git.sha", "git.short", "git.tag", "aws.account", "aws.region", OWN_REGISTRY];
/// Names that get their value where they are used.
const LATE: [&str; 5] = ["name", "tag", "os", "arch", "variant"];

/// Most problems that are collected; a plan with more of them has one cause.
const MAX_PROBLEMS: usize = 100;
/// Most bytes of the plan's strings once every default is in its place.
const MAX_RESOLVED: usize = 64 * 1024 * 1024;

/// What `${name}`, `${tag}`, `${os}`, `${arch}` and `${variant}` stand for at one place of the plan.
#[derive(Clone, Copy, Default)]
pub(super) struct Late<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    pub(super) platform: Option<&'a Platform>,
}

/// A problem was told: only [`Reader::problem`] and its own limits make one, so what could not be read is never
/// passed over in silence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told(());

/// What was read.
pub(super) type Read<T> = Result<T, Told>;

/// Reads values and collects problems and warnings.
pub(super) struct Reader<'a> {
    source: &'a SourceText,
    environment: &'a Environment,
    facts: &'a Facts,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    seen: HashSet<(Option<Range<usize>>, String)>,
    resolved: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a SourceText, environment: &'a Environment, facts: &'a Facts) -> Self {
        let (problems, warnings, seen) = (Vec::new(), Vec::new(), HashSet::new());
        Self { source, environment, facts, problems, warnings, seen, resolved: 0 }
    }

    pub(super) fn source(&self) -> &'a SourceText {
        self.source
    }

    pub(super) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The plan with its warnings, or else the problems, in the order of the text.
    pub(super) fn finish(mut self, plan: Read<Plan>) -> Result<Plan, Vec<Problem>> {
        self.problems.sort();
        self.warnings.sort();
        if self.problems.len() >= MAX_PROBLEMS {
            let message = format!("there are more than {MAX_PROBLEMS} problems: the others are not listed");
            self.problems.push(Problem { span: None, message, hint: None });
        }
        match plan {
            Ok(plan) if self.problems.is_empty() => Ok(Plan { warnings: self.warnings, ..plan }),
            Ok(_) | Err(Told(())) => Err(self.problems),
        }
    }

    /// Whether reading on is of no use: too many problems, or too much of everything.
    pub(super) fn go_on(&self) -> Read<()> {
        let exhausted = self.problems.len() >= MAX_PROBLEMS || self.resolved > MAX_RESOLVED;
        if exhausted { Err(Told(())) } else { Ok(()) }
    }

    /// Counts what the resolved plan takes. What defaults repeat is bounded here, whatever the text's size.
    pub(super) fn charge(&mut self, bytes: usize) {
        let before = self.resolved;
        self.resolved = self.resolved.saturating_add(bytes);
        if before <= MAX_RESOLVED && self.resolved > MAX_RESOLVED {
            let message = format!("the resolved plan is larger than {} MiB", MAX_RESOLVED / 1024 / 1024);
            self.problems.push(Problem { span: None, message, hint: None });
        }
    }

    pub(super) fn problem(&mut self, origin: &Origin, message: impl AsRef<str>, hint: Option<String>) -> Told {
        if self.problems.len() < MAX_PROBLEMS
            && let Some(problem) = self.place(origin, message.as_ref(), hint)
        {
            self.problems.push(problem);
        }
        Told(())
    }

    /// `origin` for a problem of which neither the text of the plan nor that of the flag may be shown.
    pub(super) fn unseen(&self, origin: &Origin) -> Origin {
        let place = match origin {
            Origin::Text(range) => {
                let at = Location::of(&self.source.text, range.clone());
                format!("{}:{}:{}", self.source.path.display(), at.line, at.column)
            }
            Origin::Flag(flag) => flag.split('=').next().unwrap_or_default().to_owned(),
        };
        Origin::Flag(place.into())
    }

    pub(super) fn warning(&mut self, origin: &Origin, message: impl AsRef<str>, hint: Option<String>) {
        if self.warnings.len() < MAX_PROBLEMS
            && let Some(warning) = self.place(origin, message.as_ref(), hint)
        {
            self.warnings.push(warning);
        }
    }

    /// A problem at its place, but once: what defaults say wrongly is read again for every image.
    fn place(&mut self, origin: &Origin, message: &str, hint: Option<String>) -> Option<Problem> {
        let (range, message) = match origin {
            Origin::Text(range) => (Some(range.clone()), message.to_owned()),
            Origin::Flag(flag) => (None, format!("{flag}: {message}")),
        };
        if !self.seen.insert((range.clone(), message.clone())) {
            return None;
        }
        let span = range.map(|range| Location::of(&self.source.text, range));
        Some(Problem { span, message, hint })
    }

    fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) -> Told {
        self.problem(&node.origin, format!("{what} must be {wanted}, and this is {}", node.kind()), None)
    }

    /// A map's entries, without those that `keys` does not have; each of these is a problem.
    pub(super) fn map(&mut self, node: &Node, what: &str, keys: &Keys) -> Read<Map> {
        let map = self.any_map(node, what)?;
        let mut known: Vec<Entry> = Vec::with_capacity(keys.known.len());
        for entry in map.iter() {
            if self.key(&entry.key.origin, &entry.key.name, keys).is_ok() {
                known.push(entry.clone());
            }
            self.go_on()?;
        }
        Ok(Rc::new(known))
    }

    /// Refuses a key that `keys` does not have.
    pub(super) fn key(&mut self, origin: &Origin, name: &str, keys: &Keys) -> Read<()> {
        if keys.known.contains(&name) {
            return Ok(());
        }
        if keys.not_yet.contains(&name) {
            return Err(self.problem(origin, format!("`{name}` is not yet supported"), None));
        }
        let ours = ELSEWHERE.iter().find(|(theirs, ours)| *theirs == name && keys.known.contains(ours));
        let hint = ours.map(|(_, ours)| format!("it is `{ours}` here"));
        let hint = hint.or_else(|| suggest(name, keys.known.iter().copied()));
        Err(self.problem(origin, format!("{} has no key `{name}`", keys.of), hint))
    }

    /// A map whose keys are names. Nothing is an empty map.
    pub(super) fn any_map(&mut self, node: &Node, what: &str) -> Read<Map> {
        match &node.value {
            Value::Map(map) => Ok(Rc::clone(map)),
            Value::Null => Ok(Map::default()),
            _ => Err(self.wrong_type(node, what, "a map")),
        }
    }

    /// A list; a flag's value is split at its commas.
    pub(super) fn list(&mut self, node: &Node, what: &str) -> Read<Rc<[Node]>> {
        let flag = |item: &str| Node { origin: node.origin.clone(), value: Value::Flag(item.trim().to_owned()) };
        match &node.value {
            Value::List(items) => Ok(Rc::clone(items)),
            Value::Flag(text) => Ok(text.split(',').map(flag).collect()),
            _ => {
                let hint = list_of(node, what.trim_matches('`'));
                let message = format!("{what} must be a list, and this is {}", node.kind());
                Err(self.problem(&node.origin, message, hint))
            }
        }
    }

    /// A platform. If one text names several, the hint shows them as a list.
    pub(super) fn platform(&mut self, node: &Node, late: Late<'_>) -> Read<Platform> {
        let text = self.text(node, "the platform", late)?;
        text.parse().map_err(|error| {
            let hint = match (&platforms_in(&text)[..], &node.value) {
                ([], Value::Flag(_)) if text.is_empty() => Some("leave out the comma that nothing follows".to_owned()),
                ([], _) => None,
                ([one], _) => Some(format!("write {one}")),
                (several, Value::Flag(_)) => Some(format!("separate them by commas: {}", several.join(","))),
                (several, _) => Some(format!("write platforms: [{}]", several.join(", "))),
            };
            self.problem(&node.origin, format!("the platform `{text}` is not valid: {error}"), hint)
        })
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Read<bool> {
        match &node.value {
            Value::Bool(value) => Ok(*value),
            Value::Flag(text) if text == "true" || text == "false" => Ok(text == "true"),
            _ => Err(self.wrong_type(node, what, "true or false")),
        }
    }

    /// A number, by its text.
    pub(super) fn number<T: FromStr>(&mut self, node: &Node, what: &str, wanted: &str) -> Read<T> {
        let (Value::Number(text) | Value::Flag(text)) = &node.value else {
            return Err(self.wrong_type(node, what, wanted));
        };
        text.parse()
            .map_err(|_| self.problem(&node.origin, format!("{what} must be {wanted}, and this is {text}"), None))
    }

    /// A string with its variables replaced.
    pub(super) fn text(&mut self, node: &Node, what: &str, late: Late<'_>) -> Read<String> {
        let text = self.written(node, what)?;
        let interpolated = interpolate(text, &|name| self.look_up(name, late));
        match interpolated {
            Ok(text) if text.contains('\0') => {
                Err(self.problem(&node.origin, format!("{what} contains a NUL byte"), None))
            }
            Ok(text) => {
                self.charge(text.len() + 64);
                Ok(text)
            }
            Err(bad) => {
                let at = self.inside(&node.origin, text.get(bad.at).unwrap_or_default());
                Err(self.problem(&at, bad.message, bad.hint))
            }
        }
    }

    /// A string as it is written.
    fn written<'n>(&mut self, node: &'n Node, what: &str) -> Read<&'n str> {
        let unquoted = match &node.value {
            Value::Text(text) | Value::Flag(text) => return Ok(text),
            Value::Number(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            _ => return Err(self.wrong_type(node, what, "a string")),
        };
        let message = format!("{what} must be a string, and this is {}", node.kind());
        Err(self.problem(&node.origin, message, Some(format!("quote it: \"{unquoted}\""))))
    }

    /// A string that is parsed.
    pub(super) fn parsed<T>(&mut self, node: &Node, what: &str, late: Late<'_>) -> Read<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.text(node, what, late)?;
        text.parse()
            .map_err(|error: T::Err| self.problem(&node.origin, format!("{what} `{text}` is not valid: {error}"), None))
    }

    /// The place of `part` inside of a scalar, where the scalar is written as it is read.
    fn inside(&self, origin: &Origin, part: &str) -> Origin {
        let Origin::Text(range) = origin else { return origin.clone() };
        let written = self.source.text.get(range.clone()).unwrap_or_default();
        let mut found = written.match_indices(part);
        match (found.next(), found.next()) {
            (Some((at, _)), None) if !part.is_empty() => Origin::Text(range.start + at..range.start + at + part.len()),
            _ => origin.clone(),
        }
    }

    /// A fact that a key is read with, or why it is not known.
    pub(super) fn fact(&self, name: &str) -> Result<String, String> {
        self.facts.get(name).cloned().unwrap_or_else(|| Err(not_asked(name)))
    }

    fn look_up(&self, name: &str, late: Late<'_>) -> Lookup {
        if LATE.contains(&name) {
            return look_up_late(name, late);
        }
        if let Some(fact) = self.facts.get(name) {
            return match fact {
                Ok(value) => Lookup::Value(value.clone()),
                Err(reason) => Lookup::Unset(Some(reason.clone())),
            };
        }
        if FACTS.contains(&name) {
            return Lookup::Unset(Some(not_asked(name)));
        }
        if name.contains('.') {
            return Lookup::Refused(format!("there is no fact `{name}`"), suggest(name, FACTS));
        }
        self.environment.get(name).map_or(Lookup::Unset(None), |value| Lookup::Value(value.clone()))
    }
}

fn not_asked(fact: &str) -> String {
    if fact.starts_with("aws.") { "AWS was not asked".to_owned() } else { "git was not asked".to_owned() }
}

fn look_up_late(name: &str, late: Late<'_>) -> Lookup {
    let platform = |part: fn(&Platform) -> &str| late.platform.map(part);
    let value = match name {
        "name" => late.name,
        "tag" => late.tag,
        "os" => platform(Platform::os),
        "arch" => platform(Platform::architecture),
        // A platform without a variant has an empty one: `${arch}${variant}` is `arm64` and `armv7`.
        _ => platform(|platform| platform.variant().unwrap_or_default()),
    };
    let known = || match late {
        Late { platform: Some(_), .. } => "known here: name, tag, os, arch, variant",
        Late { name: Some(_), .. } => {
            "known here: name; platforms are known in arch_tag, args, labels and the other keys of a build"
        }
        _ => "it is known inside of an image",
    };
    match value {
        Some(value) => Lookup::Value(value.to_owned()),
        None => Lookup::Refused(format!("`${{{name}}}` is not known here"), Some(known().to_owned())),
    }
}
/// Keys of which the items are words, so that a text in the place of their list can be told as one.
const LISTS_OF_WORDS: [&str; 3] = ["platforms", "tags", "no_cache_filter"];

/// The list that somebody meant who wrote a text: `platforms: [linux/amd64, linux/arm64]`.
fn list_of(node: &Node, key: &str) -> Option<String> {
    let (Value::Text(text) | Value::Number(text)) = &node.value else { return None };
    let by_commas = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    let items = match &platforms_in(text)[..] {
        _ if !LISTS_OF_WORDS.contains(&key) => return None,
        [] => by_commas(text),
        platforms => platforms.iter().map(|one| (*one).to_owned()).collect(),
    };
    // What YAML may read as something else than a string is quoted.
    let is_plain = |item: &str| item.starts_with(|c: char| c.is_ascii_alphabetic()) && item.contains('/');
    let quoted = |item: &String| if is_plain(item) { item.clone() } else { format!("\"{}\"", item.escape_debug()) };
    let items: Vec<_> = items.iter().filter(|item| !item.is_empty()).map(quoted).collect();
    (!items.is_empty()).then(|| format!("write {key}: [{}]", items.join(", ")))
}
