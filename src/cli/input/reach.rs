//! Finds the registries of the references on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use polyarch::layout::LayoutError;
use polyarch::oci::{LocatedReference, Location, LocationError, RegistryHost, Selector};
use polyarch::plan::{NamedRegistry, Plan, RegistryChoice, Transport};
use polyarch::registry::Notice;
use polyarch::run::{
    self, Engines, Failure, Goal, Phase, Registry, Server, Source, Storage, StorageError, Unselected, VerifyError,
};

use super::plan_file::{self, PlanFile};
use super::settings::Settings;
use crate::cli::args::refusal::{Refusal, usage};
use crate::cli::args::shared::{PlanArgs, RegistryArgs};
use crate::cli::terminal::diagnostic;

/// Whether polyarch speaks plain HTTP to a registry that is not on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insecure {
    No,
    /// `--insecure`
    Yes,
}

impl Insecure {
    pub(crate) fn from_flag(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

/// A bare word is an image of the plan; a reference contains `/`, `:` or `@`.
pub(crate) fn is_reference(word: &str) -> bool {
    word.contains(['/', ':', '@'])
}

fn nothing(text: &str) -> Refusal {
    let message = format!("`{text}` is neither a reference nor an image of a plan in this directory");
    usage(message, "write it as ghcr.io/org/web:1.0").into()
}

pub(crate) fn parse(text: &str) -> Result<LocatedReference, Failure> {
    if !is_reference(text) {
        let message = format!("`{text}` is not a reference: it has no `/`, `:` or `@`");
        return Err(usage(
            message,
            "write it as ghcr.io/org/web:1.0; `polyarch verify IMAGE` reads an image of the plan",
        ));
    }
    let refused = |error: LocationError| usage(format!("`{text}` is not a reference: {error}"), error.example());
    text.parse().map_err(refused)
}

/// The failure of a reference that needs a tag or a digest.
fn unselected(error: &Unselected) -> Failure {
    match error {
        Unselected::Repository(repository) => {
            usage(format!("{repository} has no tag"), "write it as ghcr.io/org/web:1.0")
        }
        Unselected::Layout(path, StorageError::Layout(error @ LayoutError::Several { .. })) => {
            usage(format!("{path}: {error}"), &format!("write it as {path}:TAG or {path}@DIGEST"))
        }
        Unselected::Layout(path, error) => unread(&path.to_string(), error),
    }
}

/// The options for one registry.
#[derive(Debug, Clone, Default)]
struct Said {
    ca: Option<PathBuf>,
    may_send_to: Vec<RegistryHost>,
}

async fn open(
    host: &RegistryHost,
    Said { ca, may_send_to }: Said,
    insecure: Insecure,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Registry, Option<Server>), Failure> {
    if ca.is_none()
        && let Some(embedded) = embedded(host, settings, on_notice.clone()).await
    {
        return Ok(embedded);
    }
    let clear = ca.is_none() && (host.is_loopback() || insecure == Insecure::Yes);
    let transport = if clear { Transport::InsecureHttp } else { Transport::Https };
    let named = NamedRegistry { transport, ca, may_send_to, ..host.clone().into() };
    Ok((settings.registry(&named, on_notice)?, None))
}

/// The registries of several references, each opened once.
pub(crate) struct Registries<'a, N> {
    settings: &'a Settings,
    on_notice: N,
    insecure: Insecure,
    said: BTreeMap<RegistryHost, Said>,
    known: BTreeMap<RegistryHost, Registry>,
    server: Option<Server>,
}

impl<'a, N: Fn(Notice) + Send + Sync + Clone + 'static> Registries<'a, N> {
    pub(crate) fn new(args: &RegistryArgs, settings: &'a Settings, on_notice: N) -> Result<Self, Failure> {
        let mut said = BTreeMap::<RegistryHost, Said>::new();
        for text in &args.ca {
            let (host, file) = of_registry("--ca", text, "localhost:5000=ca.pem")?;
            said.entry(host).or_default().ca = Some(file.into());
        }
        for text in &args.may_send_to {
            const EXAMPLE: &str = "10.0.0.5:5000=10.0.0.5:8443";
            let (host, other) = of_registry("--may-send-to", text, EXAMPLE)?;
            let other = other.parse().map_err(|error| {
                usage(format!("--may-send-to {text}: {error}"), &format!("write it as --may-send-to {EXAMPLE}"))
            })?;
            said.entry(host).or_default().may_send_to.push(other);
        }
        let insecure = Insecure::from_flag(args.insecure);
        Ok(Self { settings, on_notice, insecure, said, known: BTreeMap::new(), server: None })
    }

    /// The storage at `location`. polyarch does not send a request to its registry yet.
    pub(crate) async fn storage(&mut self, location: Location) -> Result<Storage, Failure> {
        let repository = match location {
            Location::Repository(repository) => repository,
            Location::Layout(path) => return Ok(Storage::Layout(path)),
        };
        let host = repository.host();
        let registry = match self.known.get(host) {
            Some(registry) => registry.clone(),
            None => self.open(host).await?,
        };
        Ok(Storage::Repository { registry, repository })
    }

    /// The image that `reference` names. polyarch does not send a request to its registry yet.
    pub(crate) async fn source(
        &mut self,
        LocatedReference { location, selector }: LocatedReference,
    ) -> Result<Source, Failure> {
        self.storage(location).await?.image(selector).await.map_err(|error| unselected(&error))
    }

    /// The image that `text` names: by a reference, or by an image of the plan in this directory, with its first tag.
    pub(crate) async fn named(&mut self, text: &str) -> Result<Source, Refusal> {
        if is_reference(text) {
            return Ok(self.source(parse(text)?).await?);
        }
        let args = PlanArgs { images: vec![text.to_owned()], ..PlanArgs::default() };
        let loaded = PlanFile::read(&args).map_err(|_| nothing(text))?;
        let plan = loaded.resolve(self.settings).await?;
        let (registries, server) = plan_file::registries(&plan, self.settings, self.on_notice.clone()).await?;
        self.server = self.server.take().or(server);
        let image = plan.images.iter().find(|image| image.name.as_str() == text);
        let (image, tag) = image.and_then(|image| Some((image, image.tags.first()?))).ok_or_else(|| nothing(text))?;
        let registry = registries.first;
        let repository = plan_file::repository(image, &registry)?;
        self.known.insert(registry.host().clone(), registry.clone());
        Ok(Source { storage: Storage::Repository { registry, repository }, selector: Selector::Tag(tag.clone()) })
    }

    async fn open(&mut self, host: &RegistryHost) -> Result<Registry, Failure> {
        let said = self.said.remove(host).unwrap_or_default();
        let (registry, server) = open(host, said, self.insecure, self.settings, self.on_notice.clone()).await?;
        self.server = self.server.take().or(server);
        self.known.insert(host.clone(), registry.clone());
        Ok(registry)
    }

    /// The server of the embedded registry, if one of the registries is the embedded one. Call this after the last
    /// reference.
    ///
    /// # Errors
    /// An option names a registry that no reference has.
    pub(crate) fn server(self) -> Result<Option<Server>, Failure> {
        let Some((host, said)) = self.said.first_key_value() else { return Ok(self.server) };
        let flag = if said.ca.is_some() { "--ca" } else { "--may-send-to" };
        if self.known.contains_key(host) {
            let hint = "set `ca: FILE` or `may_send_to: [HOST]` for the registry in the plan";
            return Err(usage(
                format!("{flag} {host}=… works only with references, but the plan describes this registry"),
                hint,
            ));
        }
        let known: Vec<_> = self.known.keys().map(ToString::to_string).collect();
        let hint = match &*known {
            [] => "leave the option out".to_owned(),
            known => format!("name {}", known.join(" or ")),
        };
        Err(usage(format!("{flag} {host}=…: no reference has registry {host}"), &hint))
    }
}

/// Splits `REGISTRY=REST` of an option.
fn of_registry<'t>(flag: &str, text: &'t str, example: &str) -> Result<(RegistryHost, &'t str), Failure> {
    let (host, rest) = text.split_once('=').unwrap_or_default();
    let refused =
        |_| usage(format!("{flag} {text} does not begin with a registry"), &format!("write it as {flag} {example}"));
    Ok((host.parse().map_err(refused)?, rest))
}

/// Connects to the registries of all images that the plan imports. The plan's settings hold for its own registries.
pub(crate) async fn sources(
    plan: &Plan,
    own: &Registry,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + Clone + 'static,
) -> Result<(Vec<Registry>, Option<Server>), Failure> {
    let (mut registries, mut server): (Vec<Registry>, _) = (Vec::new(), None);
    for source in plan.sources() {
        let host = source.repository.host();
        if registries.iter().any(|known| known.host() == host) {
            continue;
        }
        let first = if let RegistryChoice::Named(named) = &plan.registry { Some(named) } else { None };
        let registry = match first.into_iter().chain(&plan.copies).find(|named| named.host == *host) {
            Some(named) => settings.registry(named, on_notice.clone())?,
            _ if own.host() == host && matches!(own, Registry::Embedded { .. }) => own.clone(),
            _ => {
                let (registry, successor) =
                    open(host, Said::default(), Insecure::No, settings, on_notice.clone()).await?;
                server = server.or(successor);
                registry
            }
        };
        registry.reach().await?;
        registries.push(registry);
    }
    Ok((registries, server))
}

/// The registries of the base images that polyarch knows. polyarch does not send a request yet.
pub(crate) fn bases(plan: &Plan, engines: &Engines, goal: Goal, own: &Registry, settings: &Settings) -> Vec<Registry> {
    let first = if let RegistryChoice::Named(named) = &plan.registry { Some(named) } else { None };
    let open = |host: RegistryHost| {
        if own.host() == &host && matches!(own, Registry::Embedded { .. }) {
            return Some(own.clone());
        }
        if let Some(named) = first.into_iter().chain(&plan.copies).find(|named| named.host == host) {
            return settings.registry_in_passing(named).ok();
        }
        settings.registry_in_passing(&host.into()).ok()
    };
    run::base_hosts(plan, engines, goal).into_iter().filter_map(open).collect()
}

/// The failure of an image that polyarch could not read, or that is wrong.
pub(crate) fn refused(name: &str, error: &VerifyError) -> Failure {
    match error {
        VerifyError::Storage(error) => unread(name, error),
        VerifyError::Untrue { .. } => {
            Failure::new(Phase::Verify, format!("{name}: {}", diagnostic::chain(error)).into(), None)
        }
    }
}

/// The failure of an image that polyarch could not read. Its phase depends on the cause: polyarch cannot use the
/// registry or the directory, or the image itself is missing or refused.
pub(crate) fn unread(name: &str, error: &StorageError) -> Failure {
    let answered = error.is_not_found() || error.is_refusal();
    let phase = if answered { Phase::Verify } else { Phase::Preflight };
    let missing = if error.is_not_found() { " does not exist" } else { "" };
    let absent = "push the image first, or list the tags of the repository with `polyarch images`";
    let absent = || error.is_not_found().then(|| absent.to_owned());
    Failure::new(
        phase,
        format!("{name}{missing}: {}", diagnostic::chain(error)).into(),
        error.hint().or_else(absent).map(Into::into),
    )
}

/// `failure`, with a hint if one of `texts` is `NAME:TAG` and NAME is an image of the plan in this directory.
pub(crate) async fn or_of_plan(mut failure: Failure, command: &str, texts: &[&str], settings: &Settings) -> Failure {
    for text in texts {
        let Some((name, _)) = text.split_once(':').filter(|(name, tag)| !is_reference(name) && !is_reference(tag))
        else {
            continue;
        };
        let args = PlanArgs { images: vec![name.to_owned()], ..PlanArgs::default() };
        if let Ok(loaded) = PlanFile::read(&args)
            && loaded.resolve(settings).await.is_ok()
        {
            let hint = format!("`{name}` is an image of your plan: run `polyarch {command} {name}`");
            failure.hint = Some(hint.into());
            return failure;
        }
    }
    failure
}

/// The embedded registry, if there is one and it has this address.
async fn embedded(
    host: &RegistryHost,
    settings: &Settings,
    on_notice: impl Fn(Notice) + Send + Sync + 'static,
) -> Option<(Registry, Option<Server>)> {
    let directory = settings.home().ok()?.join("registry");
    if !host.is_loopback() || !directory.is_dir() {
        return None;
    }
    let (registry, server) = Registry::embedded(&directory, settings.client_config(on_notice).ok()?).await.ok()?;
    (registry.host() == host).then_some((registry, Some(server)))
}
