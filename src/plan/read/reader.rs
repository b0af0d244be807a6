//! Reads typed values from the tree, and collects their problems.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use super::interpolate::{Lookup, interpolate};
use super::keys::{ELSEWHERE, Keys, UNDER};
use super::node::{Entry, Map, Node, Origin, Value};
use super::suggest::suggest;
use crate::oci::{Platform, platforms_in};
use crate::plan::model::ecr::OWN_REGISTRY;
use crate::plan::model::error::{Location, Problem, SourceText};
use crate::plan::model::plan::Plan;

/// The environment variables that a plan may use. The caller selects them.
pub type Environment = BTreeMap<String, String>;

/// Facts that the plan names, such as `git.sha`. Each has a value, or the reason why the value is unknown.
pub type Facts = BTreeMap<String, Result<String, String>>;

/// Names of the facts that exist.
pub(in crate::plan) const FACTS: [&str; 16] = [
    "git.sha",
    "git.short",
    "git.tag",
    "git.version",
    "git.major",
    "git.minor",
    "git.patch",
    "git.prerelease",
    "git.branch",
    "git.pr",
    "git.ref_slug",
    "git.commit_date",
    "build.date",
    "aws.account",
    "aws.region",
    OWN_REGISTRY,
];
/// Names that get a value where the plan uses them.
const LATE: [&str; 5] = ["name", "tag", "os", "arch", "variant"];

/// The most problems that are collected. A plan with more problems usually has one cause.
const MAX_PROBLEMS: usize = 100;
/// The most bytes of strings after all defaults were applied.
const MAX_RESOLVED: usize = 64 * 1024 * 1024;

/// The values of `${name}`, `${tag}`, `${os}`, `${arch}` and `${variant}` at one place of the plan.
#[derive(Clone, Copy, Default)]
pub(in crate::plan) struct Late<'a> {
    pub(in crate::plan) name: Option<&'a str>,
    pub(in crate::plan) tag: Option<&'a str>,
    pub(in crate::plan) platform: Option<&'a Platform>,
}

/// Proof that a problem was reported. Only [`Reader::problem`] and the limits of the reader create it, so no value is
/// skipped in silence.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Reported(());

/// The result of reading a value.
pub(in crate::plan) type Read<T> = Result<T, Reported>;

/// Reads values and collects problems and warnings.
pub(in crate::plan) struct Reader<'a> {
    source: &'a SourceText,
    environment: &'a Environment,
    facts: &'a Facts,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    seen: HashSet<(Option<Range<usize>>, String)>,
    resolved: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::plan) fn new(source: &'a SourceText, environment: &'a Environment, facts: &'a Facts) -> Self {
        let (problems, warnings, seen) = (Vec::new(), Vec::new(), HashSet::new());
        Self { source, environment, facts, problems, warnings, seen, resolved: 0 }
    }

    pub(in crate::plan) fn source(&self) -> &'a SourceText {
        self.source
    }

    pub(in crate::plan) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The plan with its warnings, or the problems in the order of the text.
    pub(in crate::plan) fn finish(mut self, plan: Read<Plan>) -> Result<Plan, Vec<Problem>> {
        self.problems.sort();
        self.warnings.sort();
        if self.problems.len() >= MAX_PROBLEMS {
            let message = format!("there are more than {MAX_PROBLEMS} problems; polyarch does not list the others");
            self.problems.push(Problem { span: None, message, hint: None });
        }
        match plan {
            Ok(plan) if self.problems.is_empty() => Ok(Plan { warnings: self.warnings, ..plan }),
            Ok(_) | Err(Reported(())) => Err(self.problems),
        }
    }

    /// Returns an error if reading must stop: there are too many problems, or the resolved plan is too large.
    pub(in crate::plan) fn go_on(&self) -> Read<()> {
        let exhausted = self.problems.len() >= MAX_PROBLEMS || self.resolved > MAX_RESOLVED;
        if exhausted { Err(Reported(())) } else { Ok(()) }
    }

    /// Counts bytes of the resolved plan. The limit bounds the repetition of defaults, for any size of the text.
    pub(in crate::plan) fn charge(&mut self, bytes: usize) {
        let before = self.resolved;
        self.resolved = self.resolved.saturating_add(bytes);
        if before <= MAX_RESOLVED && self.resolved > MAX_RESOLVED {
            let message = format!("the resolved plan is larger than {} MiB", MAX_RESOLVED / 1024 / 1024);
            self.problems.push(Problem { span: None, message, hint: None });
        }
    }

    pub(in crate::plan) fn problem(
        &mut self,
        origin: &Origin,
        message: impl AsRef<str>,
        hint: Option<String>,
    ) -> Reported {
        if self.problems.len() < MAX_PROBLEMS
            && let Some(problem) = self.place(origin, message.as_ref(), hint)
        {
            self.problems.push(problem);
        }
        Reported(())
    }

    /// A place for a problem whose message must not show the text of the plan or of the flag.
    pub(in crate::plan) fn unseen(&self, origin: &Origin) -> Origin {
        let place = match origin {
            Origin::Text(range) => {
                let at = Location::of(&self.source.text, range.clone());
                format!("{}:{}:{}", self.source.path.display(), at.line, at.column)
            }
            Origin::Flag(flag) => flag.split('=').next().unwrap_or_default().to_owned(),
        };
        Origin::Flag(place.into())
    }

    pub(in crate::plan) fn warning(&mut self, origin: &Origin, message: impl AsRef<str>, hint: Option<String>) {
        if self.warnings.len() < MAX_PROBLEMS
            && let Some(warning) = self.place(origin, message.as_ref(), hint)
        {
            self.warnings.push(warning);
        }
    }

    /// A problem at its place. Duplicates are dropped, because an error in the defaults is read again for every image.
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

    fn wrong_type(&mut self, node: &Node, subject: &str, wanted: &str) -> Reported {
        self.problem(&node.origin, format!("{subject} must be {wanted}, and this is {}", node.kind()), None)
    }

    /// The entries of a map that `keys` contains. Every other entry is reported as a problem.
    pub(in crate::plan) fn map(&mut self, node: &Node, subject: &str, keys: &Keys) -> Read<Map> {
        let map = self.any_map(node, subject)?;
        let mut known: Vec<Entry> = Vec::with_capacity(keys.known.len());
        for entry in map.iter() {
            if self.key(&entry.key.origin, &entry.key.name, keys).is_ok() {
                known.push(entry.clone());
            }
            self.go_on()?;
        }
        Ok(Rc::new(known))
    }

    /// Refuses a key that `keys` does not contain.
    pub(in crate::plan) fn key(&mut self, origin: &Origin, name: &str, keys: &Keys) -> Read<()> {
        if keys.known.contains(&name) {
            return Ok(());
        }
        if keys.not_yet.contains(&name) {
            return Err(self.problem(origin, format!("`{name}` is not yet supported"), None));
        }
        let here = ELSEWHERE.iter().find(|(elsewhere, here)| *elsewhere == name && keys.known.contains(here));
        let hint = here.map(|(_, here)| format!("use `{here}` instead"));
        let under = UNDER.iter().find(|(inner, outer)| *inner == name && keys.known.contains(outer));
        let hint =
            hint.or_else(|| under.map(|(inner, outer)| format!("write it under `{outer}`: {outer}: {{ {inner}: … }}")));
        let hint = hint.or_else(|| suggest(name, keys.known.iter().copied()));
        Err(self.problem(origin, format!("{} has no key `{name}`", keys.of), hint))
    }

    /// A map with any keys. An empty value is an empty map.
    pub(in crate::plan) fn any_map(&mut self, node: &Node, subject: &str) -> Read<Map> {
        match &node.value {
            Value::Map(map) => Ok(Rc::clone(map)),
            Value::Null => Ok(Map::default()),
            _ => Err(self.wrong_type(node, subject, "a map")),
        }
    }

    /// A list. The value of a flag is split at its commas.
    pub(in crate::plan) fn list(&mut self, node: &Node, subject: &str) -> Read<Rc<[Node]>> {
        let flag = |item: &str| Node { origin: node.origin.clone(), value: Value::Flag(item.trim().to_owned()) };
        match &node.value {
            Value::List(items) => Ok(Rc::clone(items)),
            Value::Flag(text) => Ok(text.split(',').map(flag).collect()),
            _ => {
                let hint = list_of(node, subject.trim_matches('`'));
                let message = format!("{subject} must be a list, and this is {}", node.kind());
                Err(self.problem(&node.origin, message, hint))
            }
        }
    }

    /// A platform. If one text names several, the hint shows them as a list.
    pub(in crate::plan) fn platform(&mut self, node: &Node, late: Late<'_>) -> Read<Platform> {
        let text = self.text(node, "the platform", late)?;
        text.parse().map_err(|error| {
            let hint = match (&platforms_in(&text)[..], &node.value) {
                ([], Value::Flag(_)) if text.is_empty() => Some("remove the trailing comma".to_owned()),
                ([], _) => None,
                ([one], _) => Some(format!("write {one}")),
                (several, Value::Flag(_)) => Some(format!("separate the platforms by commas: {}", several.join(","))),
                (several, _) => Some(format!("write platforms: [{}]", several.join(", "))),
            };
            self.problem(&node.origin, format!("the platform `{text}` is not valid: {error}"), hint)
        })
    }

    /// A boolean.
    pub(in crate::plan) fn boolean(&mut self, node: &Node, subject: &str) -> Read<bool> {
        match &node.value {
            Value::Bool(value) => Ok(*value),
            Value::Flag(text) if text == "true" || text == "false" => Ok(text == "true"),
            _ => Err(self.wrong_type(node, subject, "true or false")),
        }
    }

    /// A number, parsed from its text.
    pub(in crate::plan) fn number<T: FromStr>(&mut self, node: &Node, subject: &str, wanted: &str) -> Read<T> {
        let (Value::Number(text) | Value::Flag(text)) = &node.value else {
            return Err(self.wrong_type(node, subject, wanted));
        };
        text.parse()
            .map_err(|_| self.problem(&node.origin, format!("{subject} must be {wanted}, and this is {text}"), None))
    }

    /// A string with its variables replaced.
    pub(in crate::plan) fn text(&mut self, node: &Node, subject: &str, late: Late<'_>) -> Read<String> {
        let text = self.written(node, subject)?;
        let interpolated = interpolate(text, &|name| self.look_up(name, late));
        match interpolated {
            Ok(text) if text.contains('\0') => {
                Err(self.problem(&node.origin, format!("{subject} contains a NUL byte"), None))
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

    /// A string as written.
    fn written<'n>(&mut self, node: &'n Node, subject: &str) -> Read<&'n str> {
        let unquoted = match &node.value {
            Value::Text(text) | Value::Flag(text) => return Ok(text),
            Value::Number(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            _ => return Err(self.wrong_type(node, subject, "a string")),
        };
        let message = format!("{subject} must be a string, and this is {}", node.kind());
        Err(self.problem(&node.origin, message, Some(format!("quote it: \"{unquoted}\""))))
    }

    /// A string, parsed into `T`.
    pub(in crate::plan) fn parsed<T>(&mut self, node: &Node, subject: &str, late: Late<'_>) -> Read<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.text(node, subject, late)?;
        text.parse().map_err(|error: T::Err| {
            self.problem(&node.origin, format!("{subject} `{text}` is not valid: {error}"), None)
        })
    }

    /// The place of `part` inside a scalar, if the scalar's text appears unchanged in the plan.
    fn inside(&self, origin: &Origin, part: &str) -> Origin {
        let Origin::Text(range) = origin else { return origin.clone() };
        let written = self.source.text.get(range.clone()).unwrap_or_default();
        let mut found = written.match_indices(part);
        match (found.next(), found.next()) {
            (Some((at, _)), None) if !part.is_empty() => Origin::Text(range.start + at..range.start + at + part.len()),
            _ => origin.clone(),
        }
    }

    /// The value of a fact, or the reason why it is unknown.
    pub(in crate::plan) fn fact(&self, name: &str) -> Result<String, String> {
        self.facts.get(name).cloned().unwrap_or_else(|| Err(not_asked(name)))
    }

    fn look_up(&self, name: &str, late: Late<'_>) -> Lookup {
        if LATE.contains(&name) {
            return look_up_late(name, late);
        }
        // The facts of conditions, such as `when.release`, have no value that a plan can use.
        if let Some(fact) = self.facts.get(name).filter(|_| FACTS.contains(&name)) {
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
    let asked = match fact.split('.').next() {
        Some("aws") => "AWS",
        Some("build") => "the clock",
        _ => "git",
    };
    format!("polyarch did not ask {asked}")
}

fn look_up_late(name: &str, late: Late<'_>) -> Lookup {
    let platform = |part: fn(&Platform) -> &str| late.platform.map(part);
    let value = match name {
        "name" => late.name,
        "tag" => late.tag,
        "os" => platform(Platform::os),
        "arch" => platform(Platform::architecture),
        // A platform without a variant has an empty one, so `${arch}${variant}` is `arm64` and `armv7`.
        _ => platform(|platform| platform.variant().unwrap_or_default()),
    };
    let known = || match late {
        Late { platform: Some(_), .. } => "use a variable that is known here: name, tag, os, arch, variant",
        Late { name: Some(_), .. } => {
            "use `name` here; platforms are known in arch_tag, args, labels and the other build settings"
        }
        _ => "use this variable inside an image",
    };
    match value {
        Some(value) => Lookup::Value(value.to_owned()),
        None => Lookup::Refused(format!("`${{{name}}}` is not known here"), Some(known().to_owned())),
    }
}
/// Keys with lists of words. A text in place of such a list can be split into its items.
const LISTS_OF_WORDS: [&str; 3] = ["platforms", "tags", "no_cache_filter"];

/// The list that a text in its place probably means: `platforms: [linux/amd64, linux/arm64]`.
fn list_of(node: &Node, key: &str) -> Option<String> {
    let (Value::Text(text) | Value::Number(text)) = &node.value else { return None };
    let by_commas = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    let items = match &platforms_in(text)[..] {
        _ if !LISTS_OF_WORDS.contains(&key) => return None,
        [] => by_commas(text),
        platforms => platforms.iter().map(|one| (*one).to_owned()).collect(),
    };
    // Items that YAML could read as another type than a string get quotes.
    let is_plain = |item: &str| item.starts_with(|c: char| c.is_ascii_alphabetic()) && item.contains('/');
    let quoted = |item: &String| if is_plain(item) { item.clone() } else { format!("\"{}\"", item.escape_debug()) };
    let items: Vec<_> = items.iter().filter(|item| !item.is_empty()).map(quoted).collect();
    (!items.is_empty()).then(|| format!("write {key}: [{}]", items.join(", ")))
}
