//! Why there is no credential.

use std::path::PathBuf;
use std::time::Duration;

/// Why the credential of a registry cannot be had. No variant carries any part of a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A file that `REGISTRY_AUTH_FILE` names is not there.
    #[error("the logins that {variable} names, {}, are not there", .path.display())]
    Absent {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("the logins in {} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any configuration.
    #[error("the logins in {} are larger than {limit} bytes", .path.display())]
    Large {
        /// The file, or the variable that has them.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not JSON of docker's shape. The parser's own words are left out: they quote values.
    #[error("the logins in {} are not valid at line {line}, column {column}", .path.display())]
    Parse {
        /// The file, or the variable that has them.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// An entry's `auth` is not `base64(user:password)`.
    #[error("the logins in {} have an `auth` for {server} that is not base64 of user:password", .path.display())]
    Entry {
        /// The file, or the variable that has them.
        path: PathBuf,
        /// The entry's key.
        server: String,
    },
    /// The name of a helper is not a plain file name.
    #[error("the configuration names a credential helper that is not a plain name: {0:?}")]
    HelperName(String),
    /// The server's name could be read as more than a name by a helper.
    #[error("the server {0:?} has characters that a credential helper must not be given")]
    ServerName(String),
    /// A helper is configured and not installed (CVE-2021-41092: never a fall-through to other entries).
    #[error("the credential helper {program} that the configuration names for {server} is not on the PATH")]
    HelperMissing {
        /// The program.
        program: String,
        /// The server that it was wanted for.
        server: String,
    },
    /// A helper could not be started or spoken to.
    #[error("the credential helper {program} cannot be run")]
    HelperRun {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A helper said that it failed.
    #[error("the credential helper {program} failed for {server}: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// The server.
        server: String,
        /// The first and the last line of what it said, printable, at most 400 characters.
        message: String,
    },
    /// A helper took too long.
    #[error("the credential helper {program} did not answer within {} s{}", .after.as_secs(), told(.message))]
    HelperTimeout {
        /// The program.
        program: String,
        /// How long it was given.
        after: Duration,
        /// What it said on its standard error, as in [`Self::HelperFailed`]; may be empty.
        message: String,
    },
    /// Who gives out the logins of this server does not give one.
    #[error("there is no login for {server}: {message}")]
    Elsewhere {
        /// The server.
        server: String,
        /// Why.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// It would go over a channel on which everybody may listen.
    #[error("the credentials for {server} are not sent to {channel} in clear")]
    Withheld {
        /// The server.
        server: String,
        /// The channel.
        channel: String,
    },
    /// A helper's answer is too long or not of the protocol.
    #[error("the credential helper {program} answered with something that is not a credential{}", told(.message))]
    HelperAnswer {
        /// The program.
        program: String,
        /// What it said on its standard error, as in [`Self::HelperFailed`]; may be empty.
        message: String,
    },
}

/// The end of a sentence about who said something, or nothing.
fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!("; it said: {message}") }
}

impl AuthError {
    /// What to do next, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Absent { variable, .. } => format!("unset {variable}, or name a file with logins"),
            Self::Read { path, .. } => format!("make {} readable, or name another file", path.display()),
            Self::Large { path, .. } | Self::Parse { path, .. } => format!("repair or remove {}", path.display()),
            Self::Entry { server, .. } => format!("run `docker login {server}` again"),
            Self::HelperName(_) => "correct credsStore and credHelpers".to_owned(),
            Self::ServerName(_) => "correct the registry's name".to_owned(),
            Self::HelperMissing { program, .. } => {
                format!("install {program}, or remove it from credsStore or credHelpers")
            }
            Self::Elsewhere { hint, .. } => hint.clone(),
            Self::Withheld { .. } => {
                "reach the engine through a socket: ssh -N -L /tmp/engine.sock:/var/run/docker.sock \
                HOST, then unix:///tmp/engine.sock"
                    .to_owned()
            }
            Self::HelperRun { program, .. }
            | Self::HelperFailed { program, .. }
            | Self::HelperTimeout { program, .. }
            | Self::HelperAnswer { program, .. } => {
                format!("try it by hand: echo SERVER | {program} get")
            }
        }
    }
}
