//! Why polyarch has no credential.

use std::path::PathBuf;
use std::time::Duration;

/// Why polyarch cannot get the credential of a registry. No variant contains any part of a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The file that `REGISTRY_AUTH_FILE` names does not exist.
    #[error("the file of logins that {variable} names, {}, does not exist", .path.display())]
    Absent {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file exists, but polyarch cannot read it.
    #[error("the logins in {} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the logins in {} are larger than {limit} bytes", .path.display())]
    Large {
        /// The file, or the variable with the logins.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The text is not JSON in docker's form. The variant leaves out the parser's message, because it quotes values.
    #[error("the logins in {} are not valid at line {line}, column {column}", .path.display())]
    Parse {
        /// The file, or the variable with the logins.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// An entry's `auth` is not `base64(user:password)`.
    #[error("the logins in {} have an `auth` for {server} that is not base64 of user:password", .path.display())]
    Entry {
        /// The file, or the variable with the logins.
        path: PathBuf,
        /// The entry's key.
        server: String,
    },
    /// The name of a helper is not a plain file name.
    #[error("the credential helper {0:?} of the configuration is not the plain name of a program")]
    HelperName(String),
    /// A helper could read the server's name as more than a name.
    #[error("the server name {0:?} has characters that polyarch does not pass to a credential helper")]
    ServerName(String),
    /// The configuration names a helper that does not exist. polyarch then never uses other entries (CVE-2021-41092).
    #[error("the credential helper {program} that the configuration names for {server} is not on the PATH")]
    HelperMissing {
        /// The program.
        program: String,
        /// The server whose login polyarch needs.
        server: String,
    },
    /// polyarch could not start a helper or could not talk to it.
    #[error("the credential helper {program} cannot be run")]
    HelperRun {
        /// The program.
        program: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A helper reported that it failed.
    #[error("the credential helper {program} failed for {server}: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// The server.
        server: String,
        /// The first and the last line that the helper printed: printable, at most 400 characters.
        message: String,
    },
    /// A helper took too long.
    #[error("the credential helper {program} did not answer within {} s{}", .after.as_secs(), told(.message))]
    HelperTimeout {
        /// The program.
        program: String,
        /// The time that polyarch gave the helper.
        after: Duration,
        /// The helper's standard error, as in [`Self::HelperFailed`]; may be empty.
        message: String,
    },
    /// The source of this server's logins has no login for it.
    #[error("{message}")]
    Elsewhere {
        /// The server.
        server: String,
        /// The reason.
        message: String,
        /// The next step.
        hint: String,
    },
    /// The credentials would go over a channel that others can listen to.
    #[error("polyarch does not send the credentials for {server} unencrypted to {channel}")]
    Withheld {
        /// The server.
        server: String,
        /// The channel.
        channel: String,
    },
    /// A helper's answer is too long or does not follow the protocol.
    #[error("the credential helper {program} answered with something that is not a credential{}", told(.message))]
    HelperAnswer {
        /// The program.
        program: String,
        /// The helper's standard error, as in [`Self::HelperFailed`]; may be empty.
        message: String,
    },
}

/// The end of a sentence: the text that a program printed, or nothing.
fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!("; it printed: {message}") }
}

impl AuthError {
    /// The next step for the user, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Absent { variable, .. } => format!("unset {variable}, or set it to a file with logins"),
            Self::Read { path, .. } => format!("make {} readable, or name another file", path.display()),
            Self::Large { path, .. } | Self::Parse { path, .. } => format!("repair or remove {}", path.display()),
            Self::Entry { server, .. } => format!("run `docker login {server}` again"),
            Self::HelperName(_) => "correct `credsStore` or `credHelpers` in the file with your logins".to_owned(),
            Self::ServerName(_) => "correct the registry's name".to_owned(),
            Self::HelperMissing { program, .. } => {
                format!("install {program}, or remove it from credsStore or credHelpers")
            }
            Self::Elsewhere { hint, .. } => hint.clone(),
            Self::Withheld { .. } => {
                "connect to the engine through a socket: ssh -N -L /tmp/engine.sock:/var/run/docker.sock HOST, then \
                 use unix:///tmp/engine.sock"
                    .to_owned()
            }
            Self::HelperRun { program, .. }
            | Self::HelperFailed { program, .. }
            | Self::HelperTimeout { program, .. }
            | Self::HelperAnswer { program, .. } => {
                format!("run the helper by hand: echo SERVER | {program} get")
            }
        }
    }
}
