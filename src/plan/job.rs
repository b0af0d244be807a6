//! Reads the settings of one platform of an image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::oci::{EntryOverride, IMAGE_LABEL, Platform, Tag};

use super::keys::attest;
use super::keys::cache::{self, Own, ReadCache};
use super::keys::contexts::{self, ReadContexts};
use super::keys::entry;
use super::keys::export;
use super::keys::import;
use super::keys::sandbox;
use super::keys::secrets;
use super::keys::ssh;
use super::model::duration;
use super::model::names::{EngineName, ImageName};
use super::model::overrides::Overrides;
use super::model::places::{InputPlaces, Position};
use super::model::plan::{ArchTags, Build, Emulation, Job, Work};
use super::model::spec::{BuildCache, BuildSpec, CachePolicy, Context, Dockerfile, Network, PullPolicy};
use super::read::node::{Map, Node, Origin, Value, get};
use super::read::pairs;
use super::read::paths;
use super::read::reader::{Late, Read, Reader};
use super::read::suggest::suggest;

/// The parts of the plan that every job is read with.
pub(super) struct ReadContext<'a> {
    /// The directory of the plan.
    pub(super) directory: &'a Path,
    /// The names of the plan's engines.
    pub(super) engines: BTreeSet<EngineName>,
    /// The overrides of the command line.
    pub(super) overrides: &'a Overrides,
}

/// The settings of a job, with their places.
struct Settings<'r, 'a, 's> {
    reader: &'r mut Reader<'a>,
    map: &'s Map,
    late: Late<'s>,
}

/// A job, and the places in the plan that name its parts.
pub(super) struct ReadJob {
    pub(super) job: Job,
    pub(super) arch_tag: Origin,
    pub(super) bases: Vec<(ImageName, Origin)>,
    /// The place of the exported cache.
    pub(super) cache: Option<Origin>,
    /// The places of the inputs.
    pub(super) inputs: Option<InputPlaces>,
}

/// Reads the job of `platform` from `map`: the settings of the image, overridden by those of the platform. `image` is
/// the place of the image's name. `tag_origin` is the place to report if the default arch tag is not valid.
pub(super) fn read(
    reader: &mut Reader<'_>,
    map: &Map,
    platform: &Platform,
    late: Late<'_>,
    (image, tag_origin): (&Origin, &Origin),
    around: &ReadContext<'_>,
) -> Read<ReadJob> {
    reader.charge(1024);
    let mut settings = Settings { reader, map, late: Late { platform: Some(platform), ..late } };
    let arch_tag = settings.arch_tag(platform, tag_origin);
    let (arch_tags, entry) = (settings.arch_tags(), settings.entry(platform));
    let names = |(tag, _): &(Tag, Origin), entry: EntryOverride, arch_tags: ArchTags| Job {
        platform: platform.clone(),
        arch_tag: tag.clone(),
        arch_tags,
        entry,
        work: (),
    };
    if let Some(import) = import::read(settings.reader, map, settings.late)? {
        let arch_tag = arch_tag?;
        let job = names(&arch_tag, entry?, arch_tags?).with_work(Work::Import(import));
        return Ok(ReadJob { job, arch_tag: arch_tag.1, bases: Vec::new(), cache: None, inputs: None });
    }
    let contexts = contexts::read(settings.reader, settings.node("contexts"), settings.late, around.directory);
    let own = arch_tag.as_ref().map(|(arch_tag, _)| Own { platform, arch_tag }).map_err(|told| *told);
    let cache = cache::read(settings.reader, settings.node("cache"), settings.late, own, around.directory);
    let build = settings.build(around);
    let engine = settings.engine(&around.engines);
    let emulate = settings.boolean("emulate");
    let timeout = settings.timeout();
    let ReadCache { cache, to } = cache?;
    let (arch_tag, ReadContexts { contexts, bases }) = (arch_tag?, contexts?);
    let spec = BuildSpec { contexts, cache, ..build? };
    let emulation = if emulate? == Some(false) { Emulation::Refused } else { Emulation::Allowed };
    let build = Build { spec, engine: engine?, emulation, timeout: timeout? };
    let job = names(&arch_tag, entry?, arch_tags?).with_work(Work::Build(Box::new(build)));
    let inputs = Some(inputs(map, image));
    Ok(ReadJob { job, arch_tag: arch_tag.1, bases, cache: to, inputs })
}

fn inputs(map: &Map, image: &Origin) -> InputPlaces {
    let place = |key: &str| get(map, key).map(|entry| Position::from(&entry.value.origin));
    let named = match get(map, "contexts").map(|entry| &entry.value.value) {
        Some(Value::Map(named)) => named.to_vec(),
        _ => Vec::new(),
    };
    let named = named.iter().filter_map(|entry| Some((entry.key.name.parse().ok()?, &entry.value.origin)));
    InputPlaces {
        image: image.into(),
        context: place("context"),
        dockerfile: place("dockerfile").or_else(|| place("dockerfile_inline")),
        target: place("target"),
        contexts: named.map(|(name, origin)| (name, origin.into())).collect(),
    }
}

/// The Dockerfile, seen from `context`. A relative path belongs to a remote context, as with buildx.
fn seen_from(context: &Context, written: Written) -> Dockerfile {
    match (written, context) {
        (Written::Inline(text), _) => Dockerfile::Inline(text.into()),
        // The same as in docker and buildx. A file with the name `-` is `./-`.
        (Written::Path(path), _) if path == "-" => Dockerfile::StandardInput,
        (Written::Path(path), Context::Directory(directory)) => Dockerfile::File(paths::join(directory, &path)),
        (Written::Path(path), Context::Remote(_)) if path.starts_with('/') => Dockerfile::File(path.into()),
        (Written::Path(path), Context::Remote(_)) => Dockerfile::InContext(path),
    }
}

/// The form in which the plan gives a Dockerfile.
enum Written {
    Path(String),
    Inline(String),
}

impl<'s> Settings<'_, '_, 's> {
    fn node(&self, key: &str) -> Option<&'s Node> {
        get(self.map, key).map(|entry| &entry.value)
    }

    fn text(&mut self, key: &str) -> Read<Option<(String, &'s Node)>> {
        let Some(node) = self.node(key) else { return Ok(None) };
        self.reader.text(node, &format!("`{key}`"), self.late).map(|text| Some((text, node)))
    }

    fn boolean(&mut self, key: &str) -> Read<Option<bool>> {
        self.node(key).map(|node| self.reader.boolean(node, &format!("`{key}`"))).transpose()
    }

    /// `arch_tag`, and its place. The default is `${tag}-${arch}`, and `-${variant}` if the platform has a variant.
    fn arch_tag(&mut self, platform: &Platform, tag_origin: &Origin) -> Read<(Tag, Origin)> {
        if let Some(node) = self.node("arch_tag") {
            let tag = self.reader.parsed(node, "`arch_tag`", self.late)?;
            return Ok((tag, node.origin.clone()));
        }
        let text = format!("{}-{}", self.late.tag.unwrap_or_default(), platform.in_tags());
        let parsed = text.parse().map_err(|error| {
            let hint = Some("choose a shorter tag, or set arch_tag".to_owned());
            self.reader.problem(tag_origin, format!("the arch tag `{text}` is not valid: {error}"), hint)
        });
        Ok((parsed?, tag_origin.clone()))
    }

    fn arch_tags(&mut self) -> Read<ArchTags> {
        let Some((text, node)) = self.text("arch_tags")? else { return Ok(ArchTags::default()) };
        match &*text {
            "keep" => Ok(ArchTags::Keep),
            "remove" => Ok(ArchTags::Remove),
            "none" => Ok(ArchTags::None),
            other => {
                let known = ["keep", "remove", "none"];
                let hint = suggest(other, known).unwrap_or_else(|| format!("use one of: {}", known.join(", ")));
                let message = format!("`{other}` is not a value of `arch_tags`");
                Err(self.reader.problem(&node.origin, message, Some(hint)))
            }
        }
    }

    /// The build, without its `contexts` and its `cache`.
    fn build(&mut self, around: &ReadContext<'_>) -> Read<BuildSpec> {
        let context = self.context(around.directory);
        let dockerfile = self.dockerfile();
        let target = self.text("target");
        let args = pairs::args(self.reader, self.node("args"), &around.overrides.build_args, self.late);
        let labels = self.labels();
        let secrets = secrets::read(self.reader, self.node("secrets"), self.late, around.directory);
        let ssh = ssh::read(self.reader, self.node("ssh"), self.late, around.directory);
        let network = self.network();
        let sandbox = sandbox::read(self.reader, self.map, self.late);
        let no_cache = self.boolean("no_cache");
        let no_cache_filter = self.stages("no_cache_filter");
        let pull = self.boolean("pull");
        let export = export::read(self.reader, self.map, self.late, &args);
        let attest = attest::read(self.reader, self.map, self.late);
        let context = context?;
        let no_cache = if no_cache? == Some(true) { CachePolicy::Ignore } else { CachePolicy::Use };
        let pull = if pull? == Some(true) { PullPolicy::Always } else { PullPolicy::IfMissing };
        Ok(BuildSpec {
            dockerfile: seen_from(&context, dockerfile?),
            context,
            contexts: BTreeMap::new(),
            target: target?.map(|(target, _)| target).filter(|target| !target.is_empty()),
            args: args?,
            labels: labels?,
            secrets: secrets?,
            ssh: ssh?,
            network: network?,
            sandbox: sandbox?,
            no_cache: around.overrides.no_cache.unwrap_or(no_cache),
            no_cache_filter: no_cache_filter?,
            cache: BuildCache::default(),
            pull: around.overrides.pull.unwrap_or(pull),
            export: export?,
            attest: attest?,
        })
    }

    /// The labels of the plan, and the label with the name of the image. The plan may override that label.
    fn labels(&mut self) -> Read<BTreeMap<String, String>> {
        let mut labels = pairs::labels(self.reader, self.node("labels"), self.late)?;
        let name = self.late.name.unwrap_or_default();
        labels.entry(IMAGE_LABEL.to_owned()).or_insert_with(|| name.to_owned());
        Ok(labels)
    }

    /// Names of stages. BuildKit receives them as one text and splits it at commas.
    fn stages(&mut self, key: &str) -> Read<Vec<String>> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let items = self.reader.list(node, &format!("`{key}`"))?;
        let read = |item: &Node| {
            let stage = self.reader.text(item, "a stage", self.late)?;
            if stage.is_empty() || stage.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control()) {
                let message = format!("`{}` is not the name of a stage", stage.escape_debug());
                return Err(self.reader.problem(&item.origin, message, None));
            }
            Ok(stage)
        };
        // All items are read before the first error returns, so that every error is reported.
        let stages: Vec<_> = items.iter().map(read).collect();
        stages.into_iter().collect()
    }

    /// A directory relative to the plan, or a context that the engine fetches.
    fn context(&mut self, directory: &Path) -> Read<Context> {
        let text = self.path("context", ".")?;
        let Some(node) = self.node("context") else { return Ok(Context::Directory(paths::join(directory, &text))) };
        let remote = contexts::remote(self.reader, node, "`context`", &text)?;
        Ok(remote.map_or_else(|| Context::Directory(paths::join(directory, &text)), Context::Remote))
    }

    fn dockerfile(&mut self) -> Read<Written> {
        if let Some(inline) = self.node("dockerfile_inline") {
            if let Some(path) = self.node("dockerfile") {
                let hint = "remove one of the two keys";
                for origin in [&path.origin, &inline.origin] {
                    let message = "both `dockerfile` and `dockerfile_inline` are set";
                    self.reader.problem(origin, message, Some(hint.to_owned()));
                }
            }
            return self.path("dockerfile_inline", "").map(Written::Inline);
        }
        let text = self.path("dockerfile", "Dockerfile")?;
        match self.node("dockerfile") {
            Some(node) if text.contains("://") => {
                let hint =
                    "use a remote context, which has its own Dockerfile: context: https://HOST/REPO.git".to_owned();
                Err(self.reader.problem(&node.origin, "a remote `dockerfile` is not yet supported", Some(hint)))
            }
            _ => Ok(Written::Path(text)),
        }
    }

    /// A text that is not empty.
    fn path(&mut self, key: &str, default: &str) -> Read<String> {
        let Some((text, node)) = self.text(key)? else { return Ok(default.to_owned()) };
        if text.is_empty() {
            let hint = (key == "context").then(|| "write `.` for the directory of the plan".to_owned());
            return Err(self.reader.problem(&node.origin, format!("`{key}` is empty"), hint));
        }
        Ok(text)
    }

    fn network(&mut self) -> Read<Network> {
        let Some((text, node)) = self.text("network")? else { return Ok(Network::default()) };
        match &*text {
            "default" => Ok(Network::Default),
            "none" => Ok(Network::None),
            "host" => Ok(Network::Host),
            other => {
                let hint = suggest(other, ["default", "none", "host"]);
                Err(self.reader.problem(&node.origin, format!("`{other}` is not a build network"), hint))
            }
        }
    }

    fn engine(&mut self, engines: &BTreeSet<EngineName>) -> Read<Option<EngineName>> {
        let Some((name, node)) = self.text("engine")? else { return Ok(None) };
        if let Some(engine) = name.parse().ok().filter(|engine| engines.contains(engine)) {
            return Ok(Some(engine));
        }
        let hint = suggest(&name, engines.iter().map(EngineName::as_str));
        let hint = hint.unwrap_or_else(|| format!("add the engine under `engines`, or pass --engine {name}=HOST"));
        Err(self.reader.problem(&node.origin, format!("there is no engine `{name}`"), Some(hint)))
    }

    fn timeout(&mut self) -> Read<Option<Duration>> {
        if let Some(Node { value: Value::Number(text), origin }) = self.node("timeout") {
            let hint = format!("add a unit: {text}s or {text}m");
            let message = format!("`timeout` must be a duration, and this is the number {text}");
            return Err(self.reader.problem(origin, message, Some(hint)));
        }
        let Some((text, node)) = self.text("timeout")? else { return Ok(None) };
        if let Some(duration) = duration::parse_duration(&text) {
            return Ok(Some(duration));
        }
        let hint = "write a duration such as 90s, 10m or 1h30m".to_owned();
        let message = format!("`{text}` is not a duration of at least one second");
        Err(self.reader.problem(&node.origin, message, Some(hint)))
    }

    fn entry(&mut self, planned: &Platform) -> Read<EntryOverride> {
        match self.node("entry") {
            Some(node) => entry::read(self.reader, node, self.late, planned),
            None => Ok(EntryOverride::default()),
        }
    }
}
