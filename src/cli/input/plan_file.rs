//! Makes a plan, its engines and its registries from the arguments.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use polyarch::context::MAX_DOCKERFILE_BYTES;
use polyarch::ecr::{EcrError, aws_facts};
use polyarch::facts::{build_facts, ci_disagreement, git_facts};
use polyarch::oci::{Platform, ReferenceError, RegistryHost, Repository};
use polyarch::plan::{
    self, Build, CachePolicy, Endpoint, EngineHost, EngineName, EnginePlatforms, EngineSpec, Image, Job, NamedContext,
    NamedRegistry, Overrides, Plan, PlanErrors, Problem, PullPolicy, RegistryChoice, Selection, SourceText,
};
use polyarch::registry::Notice;
use polyarch::run::{self, Engines, Failure, Others, Phase, Registries, Registry, Server};

use super::settings::Settings;
use crate::cli::args::habits;
use crate::cli::args::platforms;
use crate::cli::args::refusal::{Refusal, usage};
use crate::cli::args::shared::PlanArgs;
use crate::cli::input::large;
use crate::cli::terminal::diagnostic;
use crate::cli::terminal::stderr;
use crate::cli::terminal::typed::as_typed;

/// The names of a plan file, in the order in which polyarch tries them.
const NAMES: [&str; 2] = [FIRST_NAME, "polyarch.yaml"];
/// The name of a new plan file.
pub(crate) const FIRST_NAME: &str = "build.yaml";
/// The name of the engine that the docker CLI would use. polyarch takes this engine if the plan names none.
const DEFAULT_ENGINE: &str = "default";
/// The size of the largest plan that polyarch reads, in bytes.
const MAX_PLAN: u64 = 4 << 20;

/// A plan file, and the options that change the plan.
pub(crate) struct PlanFile {
    source: SourceText,
    overrides: Overrides,
    native: bool,
}

impl PlanFile {
    /// Reads the file.
    pub(crate) fn read(args: &PlanArgs) -> Result<Self, Refusal> {
        if let Some((word, hint)) = habits::no_image(&args.images) {
            return Err(usage(format!("`{word}` is not an image of the plan"), &hint).into());
        }
        let path = args.file.clone().map_or_else(find, Ok)?;
        let source = SourceText { text: read(&path)?, path };
        if habits::is_dockerfile(&source.text) {
            let message = format!("{} is a Dockerfile, and -f names the plan", source.path.display());
            let hint = "name the Dockerfile in the plan, or pass --set IMAGE.dockerfile=FILE; `-` means standard input";
            return Err(usage(message, hint).into());
        }
        let (natives, others): (Vec<_>, Vec<_>) =
            args.platform.iter().cloned().partition(|platform| platform.trim() == "native");
        let native = !natives.is_empty();
        let otherwise = "write it as linux/arm64, or `native` for the platforms of the engines' processors";
        let platforms = platforms::several("--platform", &others, otherwise)?;
        let selection = Selection { images: args.images.clone(), platforms, native: Vec::new() };
        let overrides = Overrides {
            selection,
            set: args.set.clone(),
            tags: args.tag.clone(),
            registries: args.registry.clone(),
            engines: args.engine.clone(),
            build_args: args.build_arg.clone(),
            ..Overrides::default()
        };
        Ok(Self { source, overrides, native })
    }

    /// The file's name, in the user's spelling.
    pub(crate) fn path(&self) -> &Path {
        &self.source.path
    }

    /// `--no-cache` and `--pull`.
    pub(crate) fn with_policies(mut self, no_cache: Option<CachePolicy>, pull: Option<PullPolicy>) -> Self {
        self.overrides.no_cache = no_cache;
        self.overrides.pull = pull;
        self
    }

    /// Resolves the plan for a command that needs no engine.
    pub(crate) async fn resolve(&self, settings: &Settings) -> Result<Plan, Refusal> {
        if self.native {
            return Err(usage(
                "--platform native: this command asks no engine for its platform",
                "name the platform: --platform linux/arm64",
            )
            .into());
        }
        self.resolve_for(settings, &self.overrides).await
    }

    /// Connects to the plan's engines and resolves the plan for them. A plan without builds needs no engine.
    pub(crate) async fn resolve_with_engines(&self, settings: &Settings) -> Result<(Plan, Engines), Refusal> {
        let plan = self.resolve_for(settings, &self.overrides).await?;
        if !self.native && plan.builds().next().is_none() {
            return Ok((plan, Engines::none()));
        }
        let engines = engines(&plan, settings)?.reach().await?.beside(settings.own_builder());
        if !self.native {
            return Ok((plan, engines));
        }
        let mut overrides = self.overrides.clone();
        overrides.selection.native.extend(engines.native(&plan));
        overrides.selection.platforms.extend(overrides.selection.native.clone());
        Ok((self.resolve_for(settings, &overrides).await?, engines))
    }

    /// Checks the files of this machine that the builds of `plan` read.
    pub(crate) fn look(&self, plan: &Plan) -> Result<(), PlanErrors> {
        let problems = run::look(plan, &self.source);
        if problems.is_empty() { Ok(()) } else { Err(PlanErrors { source: self.source.clone(), problems }) }
    }

    async fn resolve_for(&self, settings: &Settings, overrides: &Overrides) -> Result<Plan, Refusal> {
        let needed = plan::needed_facts(&self.source, overrides);
        let directory = self.source.path.parent().unwrap_or(Path::new(""));
        let mut facts = Box::pin(git_facts(directory, &settings.environment, &needed)).await;
        facts.extend(build_facts(&settings.environment, &needed, SystemTime::now()));
        let region = plan::own_region(&self.source, overrides);
        facts.extend(aws_facts(&settings.ecr, &needed, region.as_ref()).await.map_err(|error| of_ecr(&error))?);
        let mut plan = plan::resolve(&self.source, &settings.environment, &facts, overrides)?;
        if needed.iter().any(|name| name.starts_with("git.") || name.starts_with("when.")) {
            plan.warnings.extend(Box::pin(disagreement(directory, settings)).await);
        }
        Ok(plan)
    }
}

/// A warning if CI started this run for another commit than the one that is checked out.
async fn disagreement(directory: &Path, settings: &Settings) -> Option<Problem> {
    let (started_for, head) = ci_disagreement(directory, &settings.environment).await?;
    let message =
        format!("CI started this run for {started_for}, and {head} is checked out: the facts are those of {head}");
    let hint = "check out the commit of the run, or ignore this warning if a step of the run made the commit";
    Some(Problem { span: None, message, hint: Some(hint.to_owned()) })
}

/// The engines to connect to, and the place that names them.
struct Wanted {
    specs: Vec<EngineSpec>,
    /// The platforms of the plan.
    platforms: Vec<Platform>,
    others: Others,
    named_by: String,
    /// The next step if there is no socket, in place of the usual one.
    instead: Option<String>,
}

impl Wanted {
    /// Connects to the engines. An engine that polyarch cannot reach is left out if the run can begin without it.
    async fn reach(self) -> Result<Engines, Vec<Failure>> {
        let Self { specs, platforms, others, named_by, instead } = self;
        let named = |mut failure: Failure| {
            failure.message = format!("{} (named by {named_by})", failure.message).into();
            failure.hint = instead.clone().map(Into::into).or(failure.hint.take());
            failure
        };
        let reached = Engines::reach(&specs, &platforms, others).await;
        reached
            .map(|engines| engines.map_unreached(named))
            .map_err(|failures| failures.into_iter().map(named).collect())
    }
}

/// Prints a line for each image that the run does not have.
pub(crate) fn name_left_out(plan: &Plan) {
    plan.notes.iter().for_each(|note| stderr::line(&*as_typed(note)));
}

/// Connects to the plan's engines, even if the plan has no builds.
pub(crate) async fn engines_of(plan: &Plan, settings: &Settings) -> Result<Engines, Vec<Failure>> {
    engines(plan, settings).map_err(|failure| vec![failure])?.reach().await?.whole()
}

/// Connects to the engine that the environment names, for commands without a plan.
pub(crate) async fn default_engines(settings: &Settings) -> Result<Engines, Vec<Failure>> {
    by_environment(settings, Vec::new()).map_err(|failure| vec![failure])?.reach().await
}

/// The engines that the plan's jobs may need. polyarch does not connect to them.
pub(crate) fn engine_specs(plan: &Plan, settings: &Settings) -> Result<Vec<EngineSpec>, Failure> {
    engines(plan, settings).map(|wanted| wanted.specs)
}

/// The engine that the environment names. polyarch does not connect to it.
pub(crate) fn default_specs(settings: &Settings) -> Result<Vec<EngineSpec>, Failure> {
    by_environment(settings, Vec::new()).map(|wanted| wanted.specs)
}

fn by_environment(settings: &Settings, platforms: Vec<Platform>) -> Result<Wanted, Failure> {
    let (host, source) = settings.engine()?;
    let name = DEFAULT_ENGINE.parse::<EngineName>().map_err(|error| usage(error.to_string(), ""))?;
    let instead = settings.instead_of(&host);
    let specs = vec![EngineSpec::new(name, host)];
    Ok(Wanted { specs, platforms, others: Others::Nobody, named_by: source, instead })
}

/// The engines that the plan's jobs may need. If the plan names none, this is the engine that docker would use.
fn engines(plan: &Plan, settings: &Settings) -> Result<Wanted, Failure> {
    if plan.engines.is_empty() {
        return by_environment(settings, plan.built_platforms());
    }
    let others = if plan.engines.len() == 1 { Others::Nobody } else { Others::Engines };
    let specs = needed(plan).into_iter().map(|spec| located(spec, settings)).collect::<Result<_, Failure>>()?;
    let platforms = plan.built_platforms();
    Ok(Wanted { specs, platforms, others, named_by: "the plan or --engine".into(), instead: None })
}

/// The engine with its address. A docker context in the plan becomes the address in that context.
fn located(spec: EngineSpec, settings: &Settings) -> Result<EngineSpec, Failure> {
    let Endpoint::Docker(EngineHost::Context(context)) = &spec.host else { return Ok(spec) };
    let host = settings.engine_of(context).map_err(|mut failure| {
        failure.message = format!("engine {}: {}", spec.name, failure.message).into();
        failure
    })?;
    Ok(EngineSpec { host: host.into(), ..spec })
}

/// The engines that may get a job of the plan. An engine alone knows the platforms of its processor. So polyarch asks
/// every engine, except engines with `platforms_only` and engines that no job may use.
fn needed(plan: &Plan) -> Vec<EngineSpec> {
    let jobs = || plan.images.iter().flat_map(|image| &image.jobs).filter_map(|job| Some((job, job.build()?)));
    let may = |spec: &EngineSpec, platform: &Platform| match &spec.platforms {
        EnginePlatforms::Own | EnginePlatforms::Also(_) => true,
        EnginePlatforms::Only(listed) => listed.contains(platform),
    };
    let without = |(job, build): (&Job, &Build)| {
        build.engine.is_none() && !plan.engines.iter().any(|spec| may(spec, &job.platform))
    };
    let wanted = |spec: &&EngineSpec| {
        jobs().any(|(job, build)| match &build.engine {
            Some(name) => *name == spec.name,
            None => may(spec, &job.platform),
        })
    };
    let specs: Vec<_> = plan.engines.iter().filter(wanted).cloned().collect();
    // The assignment reports the jobs without an engine, and names all engines then.
    if specs.is_empty() || jobs().any(without) { plan.engines.clone() } else { specs }
}

/// Connects to the plan's registries, and returns a failure for each that polyarch cannot use.
pub(crate) async fn registries(
    plan: &Plan,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Registries, Option<Server>), Vec<Failure>> {
    let (registries, server) = unreached(plan, settings, on_notice).await.map_err(|failure| vec![failure])?;
    let reached = join_all(registries.all().map(Registry::reach)).await;
    let failures: Vec<_> = reached.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok((registries, server)) } else { Err(failures) }
}

/// The plan's registries. polyarch does not send a request to a named registry yet.
pub(crate) async fn unreached(
    plan: &Plan,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Registries, Option<Server>), Failure> {
    declare(plan, settings).await?;
    let (first, server) = first_registry(plan, settings, on_notice.clone()).await?;
    let copies: Result<_, Failure> =
        plan.copies.iter().map(|copy| settings.registry(copy, on_notice.clone())).collect();
    Ok((Registries { first, copies: copies? }, server))
}

/// The named registries of the plan. polyarch does not send a request yet.
pub(crate) async fn named_registries(
    plan: &Plan,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<Vec<Registry>, Failure> {
    declare(plan, settings).await?;
    plan.named_registries().map(|named| settings.registry(named, on_notice.clone())).collect()
}

/// Makes the plan's settings for registries of ECR known to every command that names such a registry.
async fn declare(plan: &Plan, settings: &Settings) -> Result<(), Failure> {
    for named in plan.named_registries() {
        settings.ecr.declare(named).await.map_err(|error| of_ecr(&error))?;
    }
    Ok(())
}

/// The repository of an image of the plan in one of its registries.
pub(crate) fn repository(image: &Image, registry: &Registry) -> Result<Repository, Failure> {
    let repository = registry.repository(&image.repository);
    repository.map_err(|error| usage(format!("{}: {error}", image.name), "shorten `repository:`"))
}

/// The registry that gets the built images first.
async fn first_registry(
    plan: &Plan,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + 'static,
) -> Result<(Registry, Option<Server>), Failure> {
    match &plan.registry {
        RegistryChoice::Named(named) => Ok((settings.registry(named, on_notice)?, None)),
        RegistryChoice::Unnamed if settings.is_ci() => Err(Failure::new(
            Phase::Preflight,
            "no registry is named, and this is CI: images in the embedded registry would be lost".into(),
            Some("name one with `registry:` in the plan or with --registry; `local` is the embedded registry".into()),
        )),
        RegistryChoice::Unnamed | RegistryChoice::Embedded => {
            let directory = settings.home()?.join("registry");
            outside_of_contexts(&directory, plan)?;
            let (registry, server) = Registry::embedded(&directory, settings.client_config(on_notice)?).await?;
            large::tell_if_large(&directory);
            Ok((registry, Some(server)))
        }
    }
}

/// The plan's registry for the names of images only: polyarch sends it no request. Without a registry the names are
/// those of `docker build`, such as `hello:1.0`.
pub(crate) fn registry_in_names(
    plan: &Plan,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + 'static,
) -> Result<Registry, Failure> {
    let (host, namespace) = match &plan.registry {
        RegistryChoice::Named(named) => (named.host.clone(), named.namespace.clone()),
        RegistryChoice::Unnamed | RegistryChoice::Embedded => {
            (RegistryHost::DOCKER_HUB.parse().map_err(|error: ReferenceError| usage(error.to_string(), ""))?, None)
        }
    };
    let named = NamedRegistry { namespace, ..host.into() };
    settings.registry(&named, on_notice)
}

/// The failure of a request to AWS before a run begins.
fn of_ecr(error: &EcrError) -> Failure {
    Failure::new(Phase::Preflight, diagnostic::chain(error).into(), error.hint().map(Into::into))
}

/// Refuses a place of the embedded registry inside of a context: the context would then contain the registry's content.
fn outside_of_contexts(registry: &Path, plan: &Plan) -> Result<(), Failure> {
    let registry = resolved(registry);
    for Build { spec, .. } in plan.builds() {
        let holds = |path: &&Path| std::fs::canonicalize(path).is_ok_and(|context| registry.starts_with(context));
        let named = spec.contexts.values().filter_map(|context| match context {
            NamedContext::Directory(path) => Some(path.as_path()),
            NamedContext::Image(_) | NamedContext::Reference(_) | NamedContext::Remote(_) => None,
        });
        if let Some(context) = spec.context.directory().into_iter().chain(named).find(holds) {
            let message = format!("the embedded registry would lie inside the context `{}`", context.display());
            let hint = "set POLYARCH_HOME to a directory outside of the context, or name another context";
            return Err(Failure::new(Phase::Plan, message.into(), Some(hint.into())));
        }
    }
    Ok(())
}

/// `path` without links and `..`. The disk resolves the part that exists. In the rest, `..` removes the name before it.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    let Some((above, mut resolved)) = there else { return path };
    for part in path.strip_prefix(above).unwrap_or(Path::new("")).components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}

/// A Dockerfile on the standard input, `dockerfile: "-"`: read once for all images with this setting.
pub(crate) async fn standard_input() -> Result<Arc<str>, Failure> {
    let cannot = |why: String| usage(format!("cannot read a Dockerfile from the standard input: {why}"), PIPE_IT);
    let reading = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin().lock().take(MAX_DOCKERFILE_BYTES + 1).read_to_string(&mut text).map(|_| text)
    });
    let text = reading.await.map_err(std::io::Error::other).flatten().map_err(|error| cannot(error.to_string()))?;
    match text.len() as u64 {
        0 => Err(cannot("standard input is empty".into())),
        size if size > MAX_DOCKERFILE_BYTES => Err(cannot(format!("it is larger than {MAX_DOCKERFILE_BYTES} bytes"))),
        _ => Ok(text.into()),
    }
}

const PIPE_IT: &str =
    "pipe the Dockerfile in: `polyarch build <Dockerfile`; standard input cannot hold a plan and a Dockerfile";

/// The plan in this directory, if it has one of the usual names.
pub(crate) fn here() -> Option<&'static str> {
    NAMES.into_iter().find(|name| Path::new(name).exists())
}

fn find() -> Result<PathBuf, Failure> {
    here().map(PathBuf::from).ok_or_else(|| {
        let message = format!("there is no {} here", NAMES.join(" and no "));
        usage(message, "run `polyarch init` to write a plan for your Dockerfiles, or name the plan with -f FILE")
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let cannot =
        |why: String| usage(format!("cannot read the plan {}: {why}", path.display()), "name the plan with -f FILE");
    let mut text = String::new();
    // bake and Compose spell it in the same way. A file with that name is `./-`.
    let is_input = path == Path::new("-");
    // The length of a pipe is unknown, and the pipe may never end.
    let read = if is_input {
        std::io::stdin().lock().take(MAX_PLAN + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_PLAN + 1).read_to_string(&mut text))
    };
    read.map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > MAX_PLAN {
        return Err(cannot(format!("it is larger than {MAX_PLAN} bytes")));
    }
    Ok(text)
}

/// `--timeout`, `--wait`: the value of `option`.
pub(crate) fn duration(option: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let parse = |text: &str| {
        plan::parse_duration(text)
            .ok_or_else(|| usage(format!("{option} {text} is not a duration"), "write it as 90s, 10m or 1h30m"))
    };
    text.map(parse).transpose()
}

/// polyarch cannot listen for signals. It does not begin a run that the user cannot stop.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over an error")]
pub(crate) fn no_signals(error: std::io::Error) -> Failure {
    Failure::new(Phase::Internal, format!("cannot listen for signals: {error}").into(), None)
}
