//! The engines that docker's settings name, and the other sockets of this machine.

use std::path::Path;

use polyarch::facts::{
    Builder, DEFAULT_HOST, DockerContextError, ExistingSocket, FoundEngine, HostSource, builders, contexts,
    default_engine, engine_of_context, existing_sockets,
};
use polyarch::plan::{
    BuildKitHost, ClientCertificate, DockerContext, Endpoint, EngineHost, EngineHostError, EngineTls,
};
use polyarch::run::{Failure, Phase};

use super::settings::Settings;
use crate::cli::terminal::diagnostic;

impl Settings {
    /// The engine of a plan that names none, and the setting that names it. `BUILDKIT_HOST` takes precedence over docker's
    /// configuration, but not over docker's variables.
    pub(crate) fn engine(&self) -> Result<(Endpoint, String), Failure> {
        const NAMED: &str = "BUILDKIT_HOST";
        let Some(address) = self.var(NAMED).filter(|_| !self.has_docker_variable()) else {
            let (host, source) = self.default_engine()?;
            return Ok((host.into(), source.to_string()));
        };
        let host: BuildKitHost =
            address.parse().map_err(|error: EngineHostError| refused(format!("{NAMED}: {error}"), error.hint()))?;
        if !host.is_private() {
            let message = format!(
                "{NAMED}: {host} is unencrypted TCP to another machine: anyone on the network could control the engine"
            );
            let hint = "use ssh://USER@HOST, or accept unencrypted TCP in the plan: `engines: { NAME: { buildkit: tcp://…, insecure: true } }`";
            return Err(refused(message, Some(hint)));
        }
        Ok((host.into(), NAMED.to_owned()))
    }

    /// The engine that the docker CLI would use, and the setting that names it.
    fn default_engine(&self) -> Result<(EngineHost, HostSource), Failure> {
        host(self.certified(default_engine(&self.environment, &self.docker_config())))
    }

    /// The same in the spelling of the docker CLI.
    pub(crate) fn docker_host(&self) -> Result<FoundEngine, Failure> {
        self.certified(default_engine(&self.environment, &self.docker_config())).map_err(|error| unusable(&error))
    }

    /// The engine with the certificates that `docker --tlscacert` and its relatives name. They replace those of
    /// `DOCKER_CERT_PATH`, and not those of a context.
    fn certified(&self, found: Result<FoundEngine, DockerContextError>) -> Result<FoundEngine, DockerContextError> {
        let mut found = found?;
        let (Some(docker), Some(tls)) = (&self.docker, &mut found.tls) else { return Ok(found) };
        if matches!(found.source, HostSource::Context(_)) {
            return Ok(found);
        }
        let [ca, cert, key] = docker.certificates();
        let (own_cert, own_key) = tls.client.take().unzip();
        tls.ca = ca.map(Path::to_owned).or(tls.ca.take());
        tls.client = cert.map(Path::to_owned).or(own_cert).zip(key.map(Path::to_owned).or(own_key));
        Ok(found)
    }

    /// The socket of docker, which docker closes if its plugin must stop (docker/cli, `cli-plugins/socket`). docker has it
    /// since version 25.
    pub(crate) fn docker_socket(&self) -> Option<&str> {
        self.docker.as_ref().and_then(|_| self.var("DOCKER_CLI_PLUGIN_SOCKET"))
    }

    /// Whether a variable names an engine of docker.
    pub(crate) fn has_docker_variable(&self) -> bool {
        ["DOCKER_HOST", "DOCKER_CONTEXT"].iter().any(|name| self.var(name).is_some())
    }

    /// The builders of buildx. buildx remembers the builder in use for each docker context or address.
    pub(crate) fn builders(&self) -> Vec<Builder> {
        let endpoint = self.docker_host().map_or_else(
            |_| DEFAULT_HOST.to_owned(),
            |found| match found.source {
                HostSource::Context(name) => name,
                HostSource::DockerHost | HostSource::Default | HostSource::DefaultWithTls => found.host,
            },
        );
        builders(&self.environment, &self.docker_config(), &endpoint)
    }

    /// The value of `builder:` in a plan for a builder with a BuildKit of its own, if this machine has such a builder.
    pub(crate) fn own_builder(&self) -> Option<String> {
        let own: Vec<_> = self.builders().into_iter().filter(Builder::has_own_buildkit).collect();
        let has_current = own.iter().any(|builder| builder.is_current);
        if has_current { Some("current".to_owned()) } else { own.into_iter().next().map(|builder| builder.name) }
    }

    /// The engine of a context that polyarch only lists, in the spelling of the docker CLI.
    pub(crate) fn listed_engine_of(&self, context: &str) -> Result<FoundEngine, Failure> {
        engine_of_context(context, &self.environment, &self.docker_config()).map_err(|error| unusable(&error))
    }

    /// The engine of a docker context.
    pub(crate) fn engine_of(&self, context: &DockerContext) -> Result<EngineHost, Failure> {
        host(engine_of_context(context.as_str(), &self.environment, &self.docker_config())).map(|(host, _)| host)
    }

    /// The next step if `host` is the default socket and does not exist.
    pub(crate) fn instead_of(&self, host: &Endpoint) -> Option<String> {
        let Endpoint::Docker(EngineHost::Unix(path)) = host else { return None };
        let is_default = self.docker_host().is_ok_and(|found| found.source == HostSource::Default);
        if is_default && !path.exists() { self.other_sockets() } else { None }
    }

    /// The next step if there is no socket at the default place: each socket that exists, with the setting that uses it.
    /// polyarch connects to none of them by itself, because they may belong to another machine or user.
    fn other_sockets(&self) -> Option<String> {
        let home = self.var("HOME").map(Path::new);
        let sockets = existing_sockets(home, self.var("XDG_RUNTIME_DIR").map(Path::new));
        if sockets.is_empty() {
            return None;
        }
        let contexts = contexts(&self.docker_config());
        let line = |socket: &ExistingSocket| {
            let host = socket.host();
            if !socket.owner.has_buildkit() {
                return format!("{} at {host} has no BuildKit, so polyarch cannot use it", socket.owner);
            }
            let named = contexts.iter().find(|context| context.host.as_deref() == Some(&*host));
            let by_context = named.map(|context| format!(" or `docker context use {}`", context.name));
            format!("DOCKER_HOST={host}{} for {}", by_context.unwrap_or_default(), socket.owner)
        };
        Some(format!("set one that exists: {}", sockets.iter().map(line).collect::<Vec<_>>().join("; ")))
    }
}

/// The address of an engine that docker's settings name, with its certificates.
pub(crate) fn address(found: &FoundEngine) -> Result<EngineHost, EngineHostError> {
    let Some(tls) = &found.tls else { return found.host.parse() };
    let client = tls.client.clone().map(|(cert, key)| ClientCertificate { cert, key });
    EngineHost::with_tls(&found.host, EngineTls { ca: tls.ca.clone(), client, server_name: None })
}

fn refused(message: String, hint: Option<&str>) -> Failure {
    Failure::new(Phase::Preflight, message.into(), hint.map(Into::into))
}

fn unusable(error: &DockerContextError) -> Failure {
    Failure::new(Phase::Preflight, diagnostic::chain(error).into(), error.hint().map(Into::into))
}

/// The address of an engine that docker's settings name. polyarch refuses unencrypted TCP to another machine here.
fn host(found: Result<FoundEngine, DockerContextError>) -> Result<(EngineHost, HostSource), Failure> {
    let found = found.map_err(|error| unusable(&error))?;
    let host = address(&found).map_err(|error| refused(format!("{}: {error}", found.source), error.hint()))?;
    let source = found.source;
    if !host.is_private() {
        let message = format!(
            "{source}: {host} is unencrypted TCP to another machine: anyone on the network could control the engine"
        );
        let hint = "use TLS (DOCKER_TLS_VERIFY=1) or ssh://USER@HOST, or accept unencrypted TCP in the plan: `engines: \
                    { NAME: { host: tcp://…, insecure: true } }`";
        return Err(refused(message, Some(hint)));
    }
    Ok((host, source))
}
