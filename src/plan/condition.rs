//! Reads `when`: the conditions under which an image or a tag belongs to a run.

use std::collections::BTreeSet;

use super::read::node::{Node, Origin, Value};
use super::read::reader::{Read, Reader, Reported};
use super::read::suggest::suggest;

/// A condition. The set is closed: a plan has no expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Release,
    Prerelease,
    Highest,
    Tag,
    Branch,
    DefaultBranch,
    Pr,
}

impl Condition {
    const ALL: [Self; 8] = [
        Self::Always,
        Self::Release,
        Self::Prerelease,
        Self::Highest,
        Self::Tag,
        Self::Branch,
        Self::DefaultBranch,
        Self::Pr,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Release => "release",
            Self::Prerelease => "prerelease",
            Self::Highest => "highest",
            Self::Tag => "tag",
            Self::Branch => "branch",
            Self::DefaultBranch => "default-branch",
            Self::Pr => "pr",
        }
    }

    /// The fact that says whether the condition holds.
    fn fact(self) -> Option<&'static str> {
        match self {
            Self::Always => None,
            Self::Release => Some(RELEASE),
            Self::Prerelease => Some(PRERELEASE),
            Self::Highest => Some(HIGHEST),
            Self::Tag => Some("when.tag"),
            Self::Branch => Some("when.branch"),
            Self::DefaultBranch => Some("when.default-branch"),
            Self::Pr => Some("when.pr"),
        }
    }

    fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == text)
    }
}

pub(super) const RELEASE: &str = "when.release";
pub(super) const PRERELEASE: &str = "when.prerelease";
pub(super) const HIGHEST: &str = "when.highest";

/// The conditions of one `when`, and whether one of them holds in this run.
pub(super) struct When {
    pub(super) holds: bool,
    /// The conditions, as the user wrote them.
    pub(super) written: String,
}

/// Reads one condition, or a list of conditions. One condition of the list must hold.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Read<When> {
    let items = match &node.value {
        Value::List(_) | Value::Flag(_) => reader.list(node, "`when`")?,
        _ => [node.clone()].into(),
    };
    let read: Vec<_> = items.iter().map(|item| Ok((condition(reader, item)?, item))).collect();
    let conditions = read.into_iter().collect::<Read<Vec<_>>>()?;
    if conditions.is_empty() {
        return Err(reader.problem(&node.origin, "`when` is an empty list", Some("write when: always".to_owned())));
    }
    let facts: Vec<_> = conditions.iter().map(|(one, item)| (state(reader, *one), *one, *item)).collect();
    let written = conditions.iter().map(|(one, _)| one.as_str()).collect::<Vec<_>>().join(", ");
    let holds = facts.iter().any(|(state, ..)| *state == Ok(true));
    // A condition that is unknown decides nothing if another one holds.
    let unknown = facts.iter().find_map(|(state, one, item)| state.as_ref().err().map(|reason| (reason, *one, *item)));
    match unknown {
        Some((reason, one, item)) if !holds => Err(cannot_know(reader, &item.origin, one.as_str(), reason)),
        _ => Ok(When { holds, written }),
    }
}

/// Reports that the fact behind `condition` is unknown.
pub(super) fn cannot_know(reader: &mut Reader<'_>, origin: &Origin, condition: &str, reason: &str) -> Reported {
    let hint = match condition {
        "highest" => {
            "fetch every tag: `fetch-depth: 0` on GitHub, `GIT_DEPTH: 0` on GitLab, else `git fetch --unshallow --tags`"
        }
        "default-branch" => "run `git remote set-head origin --auto`",
        _ => "build in a clone with git, or set the variables of your CI system, such as GITHUB_SHA and GITHUB_REF",
    };
    let message = format!("polyarch cannot decide `when: {condition}`: {reason}");
    reader.problem(origin, message, Some(hint.to_owned()))
}

fn condition(reader: &mut Reader<'_>, node: &Node) -> Read<Condition> {
    let (Value::Text(text) | Value::Flag(text)) = &node.value else {
        let message = format!("a condition of `when` must be a word, and this is {}", node.kind());
        return Err(reader.problem(&node.origin, message, Some(choices())));
    };
    Condition::named(text).ok_or_else(|| {
        let names = Condition::ALL.map(Condition::as_str);
        let hint = suggest(text, names).unwrap_or_else(choices);
        reader.problem(&node.origin, format!("`{text}` is not a condition"), Some(hint))
    })
}

fn choices() -> String {
    format!("use one of: {}", Condition::ALL.map(Condition::as_str).join(", "))
}

fn state(reader: &Reader<'_>, condition: Condition) -> Result<bool, String> {
    condition.fact().map_or(Ok(true), |fact| reader.fact(fact).map(|value| value == "true"))
}

/// Adds the facts that the conditions of `when` need.
pub(super) fn add_facts(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| add_facts(item, found)),
        Value::Text(text) | Value::Flag(text) => add_facts_of(text, found),
        _ => {}
    }
}

/// Adds the facts that the conditions in `text` need. `--set` separates them by commas.
pub(super) fn add_facts_of(text: &str, found: &mut BTreeSet<String>) {
    let conditions = text.split(',').filter_map(|word| Condition::named(word.trim()));
    found.extend(conditions.filter_map(Condition::fact).map(str::to_owned));
}
