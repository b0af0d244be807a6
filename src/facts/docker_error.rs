//! Why polyarch cannot use an engine that a setting of docker names.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why polyarch does not know which engine the docker CLI would use, or cannot use that engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerContextError {
    /// A file of the docker CLI cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the docker CLI is not valid.
    #[error("{path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The context does not exist.
    #[error("there is no docker context {name:?}")]
    Missing {
        /// Its name.
        name: String,
        /// The names of the contexts that exist.
        existing: Vec<String>,
    },
    /// The context names no engine.
    #[error("docker context {name} has no docker endpoint")]
    NoEndpoint {
        /// Its name.
        name: String,
    },
    /// The setting asks for TLS without a check of the engine's certificate.
    #[error(
        "{asked_by} asks for TLS without a check of the engine's certificate, so anyone could answer as the engine"
    )]
    Unverified {
        /// The setting.
        asked_by: HostSetting,
    },
}

/// A setting that turns the check of the engine's certificate off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostSetting {
    /// `DOCKER_TLS` without `DOCKER_TLS_VERIFY`.
    Variable,
    /// `SkipTLSVerify` of a context.
    Context(String),
}

impl fmt::Display for HostSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("DOCKER_TLS without DOCKER_TLS_VERIFY"),
            Self::Context(name) => write!(f, "docker context {name}"),
        }
    }
}

impl DockerContextError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { existing, .. } if !existing.is_empty() => {
                Some(format!("name a context that exists: {}", existing.join(", ")))
            }
            Self::Missing { .. } => Some("create the context with `docker context create`, or name a host".to_owned()),
            Self::NoEndpoint { .. } => {
                Some("run `docker context ls` to see the contexts that have an engine".to_owned())
            }
            Self::Unverified { asked_by: HostSetting::Variable } => Some(
                "set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to a directory with ca.pem, cert.pem and key.pem"
                    .to_owned(),
            ),
            Self::Unverified { asked_by: HostSetting::Context(name) } => Some(format!(
                "run `docker context update {name} --docker host=tcp://HOST:2376,ca=FILE,cert=FILE,key=FILE`"
            )),
            Self::Read { .. } | Self::Parse { .. } => None,
        }
    }
}
