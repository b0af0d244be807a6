//! Finds the registry images that a build reads (BuildKit, `frontend/dockerfile/dockerfile2llb`). The result has only
//! images that the Dockerfile names without doubt. The build itself handles the others.

use std::collections::{BTreeMap, BTreeSet};

use super::here::without_here_documents;
use super::instructions::{Instruction, instructions};
use super::variables::{Variables, expand};
use crate::oci::{Platform, Reference};

/// The settings of a build that decide which images it reads.
#[derive(Debug, Clone, Copy)]
pub struct BaseQuery<'a> {
    /// The stage to build, by name or number. `None`: the last stage.
    pub target: Option<&'a str>,
    /// Build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// The platform that the build is for.
    pub platform: &'a Platform,
    /// The platform of the engine: `BUILDPLATFORM`.
    pub build_platform: &'a Platform,
    /// Names that are named contexts and not images of a registry.
    pub contexts: &'a BTreeSet<String>,
}

/// An image that a build reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The first and the last line of the instruction that names the image, counted from 1.
    pub lines: (usize, usize),
    /// The image.
    pub image: Reference,
    /// The platform whose image the build uses.
    pub platform: Platform,
    /// The role of the image in the build.
    pub role: Role,
}

/// The use that a build makes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The result inherits the config of the image, and its platform.
    Result,
    /// The build only copies files from this stage or image.
    Files,
}

/// The images that a build of `dockerfile` reads, in the order in which the walk finds them.
#[must_use]
pub fn bases(dockerfile: &[u8], query: &BaseQuery<'_>) -> Vec<Base> {
    let Some(file) = File::read(dockerfile, query) else { return Vec::new() };
    let Some(target) = file.target(query.target) else { return Vec::new() };
    let mut walk = Walk { file: &file, query, seen: BTreeSet::new(), found: Vec::new() };
    walk.stage(target, Role::Result);
    walk.found
}

/// Whether a build of `dockerfile` certainly copies its whole context, as in `COPY . /src`.
#[must_use]
pub fn copies_everything(dockerfile: &[u8], query: &BaseQuery<'_>) -> bool {
    let Some(file) = File::read(dockerfile, query) else { return false };
    let Some(target) = file.target(query.target) else { return false };
    let mut walk = Walk { file: &file, query, seen: BTreeSet::new(), found: Vec::new() };
    walk.stage(target, Role::Result);
    walk.seen.iter().any(|(stage, _)| file.stages[*stage].copies_everything)
}

/// The parts of a stage that decide which images it reads.
struct Stage {
    lines: (usize, usize),
    /// In lower case.
    name: Option<String>,
    /// The image or stage in its `FROM`. `None`: a variable hides the name.
    from: Option<String>,
    platform: Flag,
    /// The names in `COPY --from` and `RUN --mount=from=`, each with its lines.
    uses: Vec<((usize, usize), String)>,
    copies_everything: bool,
}

/// The flag `--platform` of a stage.
enum Flag {
    Absent,
    Is(Platform),
    Unknown,
}

struct File {
    stages: Vec<Stage>,
}

impl File {
    fn read(dockerfile: &[u8], query: &BaseQuery<'_>) -> Option<Self> {
        let mut variables = Variables::of_platforms(query.platform, query.build_platform, query.args)?;
        let mut stages: Vec<Stage> = Vec::new();
        for instruction in without_here_documents(dockerfile, instructions(dockerfile))? {
            match (instruction.keyword().as_str(), stages.last_mut()) {
                ("ARG", None) => variables.declare(&instruction, query.args),
                ("FROM", _) => stages.push(Stage::of(&instruction, &variables)),
                ("COPY" | "RUN", Some(stage)) => {
                    stage.uses.extend(uses(&instruction));
                    stage.copies_everything |= is_copy_of_everything(&instruction);
                }
                _ => {}
            }
        }
        Some(Self { stages })
    }

    fn target(&self, name: Option<&str>) -> Option<usize> {
        let Some(name) = name else { return self.stages.len().checked_sub(1) };
        let numbered = || name.parse().ok().filter(|number| *number < self.stages.len());
        self.stage(name, self.stages.len()).or_else(numbered)
    }

    /// The last stage with this name among the `first` stages.
    fn stage(&self, name: &str, first: usize) -> Option<usize> {
        let is = |stage: &Stage| stage.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.stages[..first].iter().rposition(is)
    }
}

impl Stage {
    fn of(instruction: &Instruction, variables: &Variables) -> Self {
        let mut words = instruction.words();
        let from = words.next().and_then(|image| expand(image, variables));
        let is_as = words.next().is_some_and(|word| word.eq_ignore_ascii_case("AS"));
        let name = words.next().filter(|_| is_as).map(str::to_ascii_lowercase);
        let flag = instruction.flags().find_map(|flag| flag.strip_prefix("platform="));
        let platform = match flag.map(|text| expand(text, variables).and_then(|text| text.parse().ok())) {
            None => Flag::Absent,
            Some(Some(platform)) => Flag::Is(platform),
            Some(None) => Flag::Unknown,
        };
        Self {
            lines: (instruction.line, instruction.last_line),
            name,
            from,
            platform,
            uses: Vec::new(),
            copies_everything: false,
        }
    }
}

/// `COPY . /src`, without flags that exclude files.
fn is_copy_of_everything(instruction: &Instruction) -> bool {
    let whole = |flag: &str| ["chown=", "chmod=", "link"].iter().any(|known| flag.starts_with(known));
    let words: Vec<_> = instruction.words().collect();
    let sources = words.split_last().map(|(_, sources)| sources).unwrap_or_default();
    instruction.keyword() == "COPY"
        && instruction.flags().all(whole)
        && sources.iter().any(|path| [".", "./"].contains(path))
}

/// The names of the sources that an instruction copies or mounts.
fn uses(instruction: &Instruction) -> impl Iterator<Item = ((usize, usize), String)> {
    let is_copy = instruction.keyword() == "COPY";
    let of_flag = move |flag: &str| -> Vec<String> {
        let fields = if is_copy { Some(flag) } else { flag.strip_prefix("mount=") };
        let fields = fields.into_iter().flat_map(|fields| fields.split(','));
        fields.filter_map(|field| field.strip_prefix("from=")).map(str::to_owned).collect()
    };
    let lines = (instruction.line, instruction.last_line);
    instruction.flags().flat_map(of_flag).map(move |name| (lines, name)).collect::<Vec<_>>().into_iter()
}

/// A source of files in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSource {
    /// A stage or an image, as the instruction writes it.
    pub name: String,
    /// The instruction's first and last line, counted from 1.
    pub lines: (usize, usize),
}

/// The sources of files in a Dockerfile: `FROM`, `COPY --from` and `RUN --mount=from=`.
#[must_use]
pub fn named_sources(dockerfile: &[u8]) -> Vec<NamedSource> {
    let named = |instruction: &Instruction| -> Vec<_> {
        let lines = (instruction.line, instruction.last_line);
        match &*instruction.keyword() {
            "FROM" => instruction.words().next().map(|name| (lines, name.to_owned())).into_iter().collect(),
            "COPY" | "RUN" => uses(instruction).collect(),
            _ => Vec::new(),
        }
    };
    let all = instructions(dockerfile);
    all.iter().flat_map(named).map(|(lines, name)| NamedSource { name, lines }).collect()
}

/// Walks from the target to everything that it needs. BuildKit does not read other stages.
struct Walk<'a> {
    file: &'a File,
    query: &'a BaseQuery<'a>,
    seen: BTreeSet<(usize, bool)>,
    found: Vec<Base>,
}

impl Walk<'_> {
    fn stage(&mut self, at: usize, role: Role) {
        if !self.seen.insert((at, role == Role::Result)) {
            return;
        }
        let (file, query) = (self.file, self.query);
        let stage = &file.stages[at];
        // A named context may replace the stage.
        if stage.name.as_ref().is_some_and(|name| query.contexts.contains(name)) {
            return;
        }
        if let Some(from) = &stage.from {
            match (file.stage(from, at), &stage.platform) {
                (Some(before), _) => self.stage(before, role),
                (None, Flag::Absent) => self.image(stage.lines, from, query.platform, role),
                // The author sets the platform here, so the result may be for this platform or for another one.
                (None, Flag::Is(platform)) => self.image(stage.lines, from, platform, Role::Files),
                (None, Flag::Unknown) => {}
            }
        }
        for (lines, name) in &stage.uses {
            let numbered = || name.parse().ok().filter(|number| *number < at);
            if let Some(used) = file.stage(name, at).or_else(numbered) {
                self.stage(used, Role::Files);
            } else if matches!(stage.platform, Flag::Absent) {
                self.image(*lines, name, query.platform, Role::Files);
            }
        }
    }

    fn image(&mut self, lines: (usize, usize), name: &str, platform: &Platform, role: Role) {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        let Ok(image) = name.parse::<Reference>() else { return };
        // A context also matches if its name differs only in the default tag or host.
        let is_context = |context: &String| {
            name.eq_ignore_ascii_case(context) || context.parse().is_ok_and(|context: Reference| context == image)
        };
        if is_number || name.eq_ignore_ascii_case("scratch") || self.query.contexts.iter().any(is_context) {
            return;
        }
        let base = Base { lines, image, platform: platform.clone(), role };
        let same = |known: &&mut Base| known.image == base.image && known.platform == base.platform;
        match self.found.iter_mut().find(same) {
            Some(known) if role == Role::Result => known.role = role,
            Some(_) => {}
            None => self.found.push(base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `IMAGE PLATFORM`, and `!` if the result inherits from the image.
    fn read(text: &str, target: Option<&str>, args: &[(&str, &str)], contexts: &[&str]) -> Vec<String> {
        let (platform, build_platform) = ("linux/arm/v7".parse().unwrap(), "linux/amd64".parse().unwrap());
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let contexts = contexts.iter().map(|name| (*name).to_owned()).collect();
        let query = BaseQuery {
            target,
            args: &args,
            platform: &platform,
            build_platform: &build_platform,
            contexts: &contexts,
        };
        let shown = |base: Base| {
            let mark = if base.role == Role::Result { "!" } else { "" };
            format!(
                "{} {} {}{mark}",
                base.lines.0,
                base.image.to_string().trim_start_matches("docker.io/"),
                base.platform
            )
        };
        bases(text.as_bytes(), &query).into_iter().map(shown).collect()
    }

    #[test]
    fn bases_of_a_dockerfile_are_those_that_its_target_needs() {
        const STAGES: &str = "FROM a AS One\nFROM b AS two\nCOPY --from=one / /\nFROM c\nFROM two\nCOPY --from=x/d:1 / /\n\
                              RUN --mount=type=bind,from=0,target=/x y";
        for (text, target, found) in [
            ("FROM a", None, &["1 library/a:latest linux/arm/v7!"][..]),
            (
                STAGES,
                None,
                &["2 library/b:latest linux/arm/v7!", "1 library/a:latest linux/arm/v7", "6 x/d:1 linux/arm/v7"],
            ),
            (STAGES, Some("ONE"), &["1 library/a:latest linux/arm/v7!"]),
            (STAGES, Some("2"), &["4 library/c:latest linux/arm/v7!"]),
            (STAGES, Some("three"), &[]),
            ("FROM scratch\nCOPY a /", None, &[]),
            (
                "FROM --platform=$BUILDPLATFORM a AS x\nFROM scratch\nCOPY --from=x / /",
                None,
                &["1 library/a:latest linux/amd64"],
            ),
            ("FROM --platform=linux/$TARGETARCH a", None, &["1 library/a:latest linux/arm/v7"]),
            ("FROM --platform=$OTHER a", None, &[]),
            ("FROM a\nRUN <<EOF\nFROM b\nEOF", None, &["1 library/a:latest linux/arm/v7!"]),
            ("FROM a\nRUN <<EOF\nFROM b", None, &[]),
            ("FROM a@sha256:x", None, &[]),
            ("", None, &[]),
        ] {
            assert_eq!(read(text, target, &[], &[]), found, "{text}");
        }
    }

    #[test]
    fn base_with_an_unknown_variable_is_left_to_the_build() {
        for (text, args, found) in [
            ("ARG V=1\nFROM a:$V", &[][..], &["2 library/a:1 linux/arm/v7!"][..]),
            ("ARG V=1\nFROM a:${V}", &[("V", "2")], &["2 library/a:2 linux/arm/v7!"]),
            ("ARG V\nFROM a:${V:-3}", &[], &["2 library/a:3 linux/arm/v7!"]),
            ("ARG V='1' W=\"x\"\nARG N=$W/a\nFROM $N:$V-$TARGETARCH", &[], &["3 x/a:1-arm linux/arm/v7!"]),
            ("ARG V\nFROM a:$V", &[], &[]),
            ("FROM a:$V", &[("V", "2")], &[]),
            ("ARG V=1.2\nFROM a:${V%.*}", &[], &[]),
            ("ARG V=\"1 2\"\nFROM a:$V", &[], &[]),
            ("FROM a:$TARGETARCH", &[("TARGETARCH", "x")], &[]),
        ] {
            assert_eq!(read(text, None, args, &[]), found, "{text}");
        }
    }

    #[test]
    fn name_of_a_context_is_not_a_base_image() {
        for (text, contexts) in [
            ("FROM golang", &["golang"][..]),
            ("FROM golang:latest", &["golang"]),
            ("FROM docker.io/library/golang", &["golang"]),
            ("FROM a AS build\nFROM build", &["build"]),
            ("FROM scratch\nCOPY --from=files / /", &["files"]),
        ] {
            assert_eq!(read(text, None, &[], contexts), [""; 0], "{text}");
        }
        assert_eq!(read("FROM golang:1", None, &[], &["golang"]), ["1 library/golang:1 linux/arm/v7!"]);
    }

    #[test]
    fn build_copies_all_of_its_context_if_a_stage_does() {
        let platform = "linux/amd64".parse().unwrap();
        let (args, contexts) = (BTreeMap::new(), BTreeSet::new());
        let takes = |text: &str, target| {
            let query =
                BaseQuery { target, args: &args, platform: &platform, build_platform: &platform, contexts: &contexts };
            copies_everything(text.as_bytes(), &query)
        };
        for text in [
            "FROM a\nCOPY . /src",
            "FROM a\nCOPY --chown=1 --link a ./ /src/",
            "FROM a AS b\nCOPY . .\nFROM scratch\nCOPY --from=b / /",
        ] {
            assert!(takes(text, None), "{text}");
        }
        for text in [
            "FROM a\nCOPY a b /",
            "FROM a\nCOPY --from=x . /",
            "FROM a\nCOPY --exclude=*.md . /",
            "FROM a AS b\nCOPY . .\nFROM scratch",
            "FROM a\nRUN <<EOF\nCOPY . .\nEOF",
            "FROM a\nCOPY x .",
            "FROM a\nADD . /",
        ] {
            assert!(!takes(text, None), "{text}");
        }
        assert!(!takes("FROM a AS b\nFROM b\nCOPY . .", Some("b")));
    }
}
