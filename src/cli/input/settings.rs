//! Reads the environment. No other code of the command line does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use polyarch::auth::{AuthError, BuildProxies, CredentialSource, DockerConfig, Logins};
use polyarch::ecr::{Ecr, EcrLogins};
use polyarch::plan::NamedRegistry;
use polyarch::registry::{Backoff, ClientConfig, Notice, Proxies, Timeouts};
use polyarch::run::{Failure, Phase, Registry};

use crate::cli::caller::docker::DockerOptions;
use crate::cli::input::screen::{Terminal, is_ci};

/// The settings of the environment.
pub(crate) struct Settings {
    /// All variables, for `${…}` in the plan.
    pub(crate) environment: BTreeMap<String, String>,
    /// The kind of stderr.
    pub(crate) terminal: Terminal,
    /// The identity at AWS. polyarch asks AWS only after the user named a registry of ECR.
    pub(crate) ecr: Arc<Ecr>,
    /// When the program began.
    pub(crate) began: Instant,
    /// docker's own options, if docker started polyarch.
    pub(super) docker: Option<DockerOptions>,
    path: OsString,
}

impl Settings {
    /// Reads the environment, once. The options of `docker` take precedence over their variables.
    pub(crate) fn read(docker: Option<&DockerOptions>) -> Self {
        // A plan cannot name a variable that is not UTF-8.
        let mut environment: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if let Some(docker) = docker {
            docker.apply(&mut environment);
        }
        let terminal = Terminal::of_stderr(|name| environment.get(name).cloned());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ecr = Arc::new(Ecr::new(&environment));
        Self { environment, terminal, ecr, began: Instant::now(), docker: docker.cloned(), path }
    }

    /// Whether polyarch runs in a CI system: every CI system sets `CI`.
    pub(crate) fn is_ci(&self) -> bool {
        is_ci(|name| self.environment.get(name).cloned())
    }

    /// The directory for polyarch's own data: `POLYARCH_HOME`, or else in the user's data directory (XDG base
    /// directories).
    pub(crate) fn home(&self) -> Result<PathBuf, Failure> {
        if let Some(home) = self.var("POLYARCH_HOME") {
            return Ok(home.into());
        }
        let data = self.var("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| self.var("HOME").map(|home| Path::new(home).join(".local/share")));
        data.map(|data| data.join("polyarch")).ok_or_else(|| {
            Failure::new(
                Phase::Plan,
                "there is no place for the embedded registry: neither POLYARCH_HOME nor HOME is set".into(),
                Some("set POLYARCH_HOME to a directory that you may write".into()),
            )
        })
    }

    /// docker's configuration directory: `DOCKER_CONFIG`, else `~/.docker`.
    pub(crate) fn docker_config(&self) -> PathBuf {
        let home = || Path::new(self.var("HOME").unwrap_or_default()).join(".docker");
        self.var("DOCKER_CONFIG").map_or_else(home, PathBuf::from)
    }

    /// The user's logins at registries, from docker and podman. A login that a variable names takes precedence.
    /// docker's logins take precedence over podman's, because the engines use docker's.
    fn logins(&self) -> Result<Logins, AuthError> {
        const NAMED: &str = "REGISTRY_AUTH_FILE";
        let mut configs = Vec::new();
        if let Some(text) = self.var("DOCKER_AUTH_CONFIG") {
            configs.push(DockerConfig::inline("DOCKER_AUTH_CONFIG", text, &self.path)?);
        }
        if let Some(file) = self.var(NAMED).map(PathBuf::from) {
            let absent = || AuthError::Absent { variable: NAMED, path: file.clone() };
            configs.push(DockerConfig::read(&file, &self.path)?.ok_or_else(absent)?);
        }
        let home = || self.var("HOME").map(|home| Path::new(home).join(".config"));
        let directories = [
            self.var("XDG_RUNTIME_DIR").map(PathBuf::from),
            self.var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home),
        ];
        let podmans = directories.into_iter().flatten().map(|directory| directory.join("containers/auth.json"));
        for file in std::iter::once(self.docker_config().join("config.json")).chain(podmans) {
            configs.extend(DockerConfig::read(&file, &self.path)?);
        }
        Ok(Logins::of(configs))
    }

    /// The proxies for builds in docker's configuration.
    pub(crate) fn build_proxies(&self) -> Result<BuildProxies, Failure> {
        let file = self.docker_config().join("config.json");
        let config = DockerConfig::read(&file, &self.path).map_err(|error| unusable(&error))?;
        Ok(config.map(|config| config.build_proxies()).unwrap_or_default())
    }

    /// The credentials for registries.
    pub(crate) fn credentials(&self) -> Result<Arc<dyn CredentialSource>, Failure> {
        let logins = self.logins().map_err(|error| unusable(&error))?;
        Ok(Arc::new(EcrLogins::new(self.ecr.clone(), logins)))
    }

    /// The folders with certificates of registries, the user's before the system's. They are docker's, rootless
    /// docker's (docs.docker.com, "Use trusted registries with certificates") and podman's (containers-certs.d(5)).
    fn certificates(&self) -> Vec<PathBuf> {
        // A folder in the working directory is ignored: a checked-out repository may contain one.
        let absolute = |name: &str| self.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let docker = self.var("DOCKER_CONFIG").map(PathBuf::from);
        let docker = docker.or_else(|| absolute("HOME").map(|home| home.join(".docker")));
        let user = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        let users = user.into_iter().flat_map(|user| [user.join("docker/certs.d"), user.join("containers/certs.d")]);
        let systems = ["/etc/docker/certs.d", "/etc/containers/certs.d"].map(PathBuf::from);
        docker.into_iter().map(|docker| docker.join("certs.d")).chain(users).chain(systems).collect()
    }

    /// A registry by name, with the user's credentials. polyarch does not send a request yet.
    pub(crate) fn registry(
        &self,
        named: &NamedRegistry,
        on_notice: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<Registry, Failure> {
        let (config, credentials) = (self.client_config(on_notice)?, self.credentials()?);
        Registry::named(named, &self.certificates(), config, credentials, self.ecr.registry(&named.host))
    }

    /// The same registry, for a request that may fail: polyarch does without the answer.
    pub(crate) fn registry_in_passing(&self, named: &NamedRegistry) -> Result<Registry, Failure> {
        let config =
            ClientConfig { backoff: Backoff { attempts: 1, ..Backoff::STANDARD }, ..self.client_config(|_| {})? };
        Registry::named(named, &self.certificates(), config, self.credentials()?, self.ecr.registry(&named.host))
    }

    /// The settings of connections to registries.
    pub(crate) fn client_config(
        &self,
        on_notice: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<ClientConfig, Failure> {
        let proxies = Proxies::read(|name| self.var(name)).map_err(|error| {
            Failure::new(
                Phase::Preflight,
                error.to_string().into(),
                Some(format!("correct or unset {}", error.variable).into()),
            )
        })?;
        Ok(ClientConfig {
            user_agent: concat!("polyarch/", env!("CARGO_PKG_VERSION")).into(),
            backoff: Backoff::STANDARD,
            timeouts: Timeouts::STANDARD,
            proxies,
            on_notice: Arc::new(on_notice),
        })
    }

    /// A variable that is not empty.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The failure to use a configuration of docker or podman.
fn unusable(error: &AuthError) -> Failure {
    Failure::new(Phase::Preflight, crate::cli::terminal::diagnostic::chain(error).into(), Some(error.hint().into()))
}
