//! Adds stages to a Dockerfile. An engine whose `BuildKit` knows no named contexts then finds an image under a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::instructions::{Instruction, instructions};
use crate::oci::Reference;

/// The name of a stage (`BuildKit`, `instructions.parseBuildStageName`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageName(Box<str>);

/// Why a string cannot be the name of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a stage begins with a letter and continues with letters, digits, `-`, `_` and `.`")]
pub struct StageNameError;

impl FromStr for StageName {
    type Err = StageNameError;

    fn from_str(text: &str) -> Result<Self, StageNameError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let good = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(inner);
        if good { Ok(Self(text.into())) } else { Err(StageNameError) }
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The images of the added stages, by the names of the stages.
pub type AddedStages = BTreeMap<StageName, Reference>;

/// Why stages cannot be added to a Dockerfile. Most errors name the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The Dockerfile already has a stage with this name.
    #[error("line {line} of the Dockerfile already has a stage `{name}`")]
    Taken {
        /// The line.
        line: usize,
        /// The name.
        name: StageName,
    },
    /// The target is given by its number, which added stages would change.
    #[error("the target names a stage by its number, {0}")]
    NumberedTarget(u32),
    /// The Dockerfile uses the number of a stage, which added stages would change.
    #[error("line {line} of the Dockerfile names a stage by its number, {number}")]
    Numbered {
        /// The line.
        line: usize,
        /// The number.
        number: u32,
    },
    /// The Dockerfile writes the name of a context in another form, which means an image.
    #[error("line {line} of the Dockerfile writes `{image}` for the context `{name}`")]
    Spelled {
        /// The line.
        line: usize,
        /// The name in the Dockerfile.
        image: String,
        /// The context.
        name: StageName,
    },
    /// The Dockerfile requests a context for another platform than that of the stage.
    #[error("line {line} of the Dockerfile uses `{name}` with `--platform`")]
    Platform {
        /// The line.
        line: usize,
        /// The stage.
        name: StageName,
    },
}

impl StageError {
    /// The next step, in one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "rename the stage or the context, or use Engine 23.0 or newer",
            Self::Numbered { .. } | Self::NumberedTarget(_) => "give the stage a name, or use Engine 23.0 or newer",
            Self::Spelled { .. } => {
                "write the name as in `contexts`, without host and tag, or use Engine 23.0 or newer"
            }
            Self::Platform { .. } => "remove `--platform` from that line, or use Engine 23.0 or newer",
        }
    }
}

/// Whether stages with these names can be added to `dockerfile`. `target` is the stage to build.
///
/// # Errors
/// The added stages would change the meaning of the Dockerfile.
pub fn can_have_stages(dockerfile: &[u8], names: &BTreeSet<StageName>, target: Option<&str>) -> Result<(), StageError> {
    if let Some(number) = target.and_then(|target| target.parse().ok()) {
        return Err(StageError::NumberedTarget(number));
    }
    instructions(dockerfile).iter().try_for_each(|instruction| fits(instruction, names))
}

fn fits(instruction: &Instruction, names: &BTreeSet<StageName>) -> Result<(), StageError> {
    match instruction.keyword().as_str() {
        "FROM" => from_fits(instruction, names),
        "COPY" => instruction.flags().filter_map(from).try_for_each(|image| image_fits(instruction, image, names)),
        "RUN" => {
            let mounts = instruction.flags().filter_map(|flag| flag.strip_prefix("mount="));
            let mut images = mounts.flat_map(|mount| mount.split(',')).filter_map(from);
            images.try_for_each(|image| image_fits(instruction, image, names))
        }
        _ => Ok(()),
    }
}

fn from(flag: &str) -> Option<&str> {
    flag.strip_prefix("from=")
}

fn from_fits(instruction: &Instruction, names: &BTreeSet<StageName>) -> Result<(), StageError> {
    let line = instruction.line;
    let mut words = instruction.words();
    let image = words.next().unwrap_or_default();
    if let (Some(word), Some(stage)) = (words.next(), words.next())
        && word.eq_ignore_ascii_case("AS")
        && let Some(name) = names.get(&StageName(stage.to_ascii_lowercase().into()))
    {
        return Err(StageError::Taken { line, name: name.clone() });
    }
    // The name may contain a variable, which may have any value.
    let means = |name: &&StageName| match image.split_once('$') {
        Some((before, _)) => name.0.starts_with(before),
        None => image.eq_ignore_ascii_case(&name.0),
    };
    match names.iter().find(means) {
        Some(name) if instruction.flags().any(|flag| flag.starts_with("platform=")) => {
            Err(StageError::Platform { line, name: name.clone() })
        }
        _ => image_fits(instruction, image, names),
    }
}

/// Refuses an image that is given by its number, or written as `alpine:latest` for the context `alpine`.
fn image_fits(instruction: &Instruction, image: &str, names: &BTreeSet<StageName>) -> Result<(), StageError> {
    let line = instruction.line;
    if let Ok(number) = image.parse() {
        return Err(StageError::Numbered { line, number });
    }
    let Ok(written) = image.parse::<Reference>() else { return Ok(()) };
    let means = |name: &&StageName| image != &*name.0 && name.0.parse().is_ok_and(|named: Reference| named == written);
    match names.iter().find(means) {
        Some(name) => Err(StageError::Spelled { line, image: image.to_owned(), name: name.clone() }),
        None => Ok(()),
    }
}

/// The names of the stages of `dockerfile`, in order. `None`: the stage has no name.
#[must_use]
pub fn stages_of(dockerfile: &[u8]) -> Vec<Option<String>> {
    let all = instructions(dockerfile);
    let stages = all.iter().filter(|instruction| instruction.keyword() == "FROM");
    let name = |stage: &Instruction| {
        let mut words = stage.words().skip(1);
        words.next().filter(|word| word.eq_ignore_ascii_case("AS")).and_then(|_| words.next()).map(str::to_owned)
    };
    stages.map(name).collect()
}

/// A Dockerfile with added stages.
#[derive(Debug)]
pub struct Staged {
    /// The bytes of the Dockerfile.
    pub text: Vec<u8>,
    /// The lines that were added.
    pub added: AddedLines,
}

/// Lines that were inserted into a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedLines {
    before: usize,
    count: usize,
}

impl AddedLines {
    /// The number of a line in the original text.
    #[must_use]
    pub fn original(self, line: usize) -> usize {
        if line < self.before + self.count { line.min(self.before) } else { line - self.count }
    }

    /// The original text.
    #[must_use]
    pub fn without(self, text: &str) -> String {
        let is_added = |at: usize| (self.before..self.before + self.count).contains(&(at + 1));
        text.split_inclusive('\n').enumerate().filter(|(at, _)| !is_added(*at)).map(|(_, line)| line).collect()
    }
}

/// Inserts `stages` before the first stage of `dockerfile`, behind parser directives and global arguments. All
/// instructions that may use the stages follow. A Dockerfile without a stage is not changed.
///
/// # Errors
/// The errors of [`can_have_stages`].
pub fn add_stages(dockerfile: &[u8], stages: &AddedStages) -> Result<Staged, StageError> {
    can_have_stages(dockerfile, &stages.keys().cloned().collect(), None)?;
    let Some(first) = instructions(dockerfile).into_iter().find(|instruction| instruction.keyword() == "FROM") else {
        return Ok(Staged { text: dockerfile.to_vec(), added: AddedLines::default() });
    };
    let (before, after) = dockerfile.split_at(first.offset);
    let lines = stages.iter().map(|(name, image)| format!("FROM {image} AS {name}\n").into_bytes());
    let text = [before.to_vec()].into_iter().chain(lines).chain([after.to_vec()]).flatten().collect();
    let added = AddedLines { before: first.line, count: stages.len() };
    Ok(Staged { text, added })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(names: &[&str]) -> AddedStages {
        let stage = |name: &&str| (name.parse().unwrap(), format!("localhost:5000/{name}:1").parse().unwrap());
        names.iter().map(stage).collect()
    }

    #[test]
    fn stage_names_follow_the_rules_of_buildkit() {
        for good in ["base", "a", "my-base_1.x"] {
            assert_eq!(good.parse::<StageName>().unwrap().to_string(), good);
        }
        for bad in ["", "Base", "1a", "-a", "alpine:3", "acme/base", "ä", "a b"] {
            assert_eq!(bad.parse::<StageName>(), Err(StageNameError), "{bad:?}");
        }
    }

    #[test]
    fn added_stages_follow_directives_and_global_arguments() {
        let head = "# syntax=docker/dockerfile:1\n# escape=`\n\n# A comment.\nARG ON=base\n";
        let tail = "FROM $ON\nCOPY --from=tools /a /b\nFROM scratch\n";
        let staged = add_stages(format!("{head}{tail}").as_bytes(), &stages(&["tools", "base"])).unwrap();
        let added = "FROM localhost:5000/base:1 AS base\nFROM localhost:5000/tools:1 AS tools\n";
        assert_eq!(String::from_utf8(staged.text).unwrap(), format!("{head}{added}{tail}"));
        let original = |line| staged.added.original(line);
        assert_eq!([1, 5, 6, 7, 8, 9, 10].map(original), [1, 5, 6, 6, 6, 7, 8]);
    }

    #[test]
    fn dockerfile_without_a_stage_is_unchanged() {
        for text in ["", "# nothing\n", "RUN x"] {
            let staged = add_stages(text.as_bytes(), &stages(&["base"])).unwrap();
            assert_eq!((staged.text.as_slice(), staged.added.original(7)), (text.as_bytes(), 7));
        }
    }

    #[test]
    fn dockerfile_whose_meaning_would_change_is_refused() {
        for (text, says) in [
            ("FROM a\nFROM b as Base", "line 2 of the Dockerfile already has a stage `base`"),
            ("FROM a\n\nCOPY --chown=0 --from=0 a b", "line 3 of the Dockerfile names a stage by its number, 0"),
            (
                "FROM a\nRUN --mount=type=bind,from=1,target=/x y",
                "line 2 of the Dockerfile names a stage by its number, 1",
            ),
            ("FROM x\nFROM base:latest", "line 2 of the Dockerfile writes `base:latest` for the context `base`"),
            (
                "FROM x\nADD a b\nCOPY --from=docker.io/tools a b",
                "line 3 of the Dockerfile writes `docker.io/tools` for the context `tools`",
            ),
            ("FROM --platform=$BUILDPLATFORM base", "line 1 of the Dockerfile uses `base` with `--platform`"),
            ("FROM --platform=linux/amd64 ${ON} AS x", "line 1 of the Dockerfile uses `base` with `--platform`"),
        ] {
            let error = add_stages(text.as_bytes(), &stages(&["base", "tools"])).unwrap_err();
            assert_eq!(error.to_string(), says, "{text}");
        }
        for good in [
            "FROM --platform=$BUILDPLATFORM golang:$VERSION AS build\nFROM base\nCOPY --from=build 0 /from=0",
            "FROM base AS base2\nRUN echo --mount=from=0\nCOPY --from=base --chown=0 a b\nCOPY a --from=0",
            "FROM a\nRUN --mount=from=base,target=/0 x",
            "FROM base:3\nFROM acme/base\nCOPY --from=localhost:5000/base a b",
        ] {
            can_have_stages(good.as_bytes(), &stages(&["base"]).into_keys().collect(), Some("0a")).unwrap();
        }
        let numbered = can_have_stages(b"FROM a", &BTreeSet::new(), Some("0"));
        assert_eq!(numbered, Err(StageError::NumberedTarget(0)));
    }
}
