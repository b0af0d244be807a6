//! Recognises that the docker CLI started polyarch as its plugin, and reads docker's own options.
//!
//! docker starts the program `docker-polyarch` with all words that the user typed after `docker` (docker/cli,
//! `cli-plugins/manager`). So docker's options come first, and then the word `polyarch`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _, Parser};
use polyarch::text::Json;

use crate::cli::args::command_line::Cli;
use crate::cli::terminal::typed::in_docker;

/// The name of the program as a plugin.
const FILE: &str = "docker-polyarch";
/// The word after `docker` that means polyarch.
const NAME: &str = "polyarch";
/// The word with which docker asks a plugin for its description.
const METADATA: &str = "docker-cli-plugin-metadata";

/// The word with which docker asks a plugin for candidates (cobra, `completions.go`).
const COMPLETE: &str = "__complete";

/// The words that the user typed for polyarch, and the one who started polyarch.
#[derive(Debug)]
pub(crate) enum Started {
    /// A shell or another program.
    Alone(Vec<OsString>),
    /// The docker CLI, with its own options.
    ByDocker(Vec<OsString>, Box<DockerOptions>),
    /// The docker CLI, which asks for the description of its plugin.
    ForMetadata,
    /// The docker CLI, which asks for candidates that complete these words.
    ForCompletion(Vec<OsString>),
}

/// The options of `docker` that stand before `polyarch`. docker has checked them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Parser)]
#[command(name = "docker", disable_help_flag = true, args_override_self = true)]
pub(crate) struct DockerOptions {
    #[arg(long)]
    config: Option<String>,
    #[arg(short, long, conflicts_with = "host")]
    context: Option<String>,
    #[arg(short = 'H', long)]
    host: Option<String>,
    #[arg(short = 'D', long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    debug: Option<bool>,
    #[arg(short, long)]
    log_level: Option<String>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls: Option<bool>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlsverify: Option<bool>,
    #[arg(long)]
    tlscacert: Option<PathBuf>,
    #[arg(long)]
    tlscert: Option<PathBuf>,
    #[arg(long)]
    tlskey: Option<PathBuf>,
    #[arg(short = 'h', long, action = ArgAction::SetTrue)]
    help: bool,
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Finds out who started the process.
pub(crate) fn read(typed: impl Iterator<Item = OsString>) -> Started {
    let words: Vec<OsString> = typed.collect();
    let program = words.first().and_then(|program| Path::new(program).file_name());
    if program != Some(OsStr::new(FILE)) {
        return Started::Alone(words);
    }
    if words.get(1).is_some_and(|word| word == METADATA) {
        return Started::ForMetadata;
    }
    if let [_, asked, name, words @ ..] = &*words
        && asked == COMPLETE
        && name == NAME
    {
        return Started::ForCompletion(words.to_vec());
    }
    // These are options of polyarch then: the user runs the file of the plugin without docker.
    let Ok(mut options) = DockerOptions::try_parse_from(&words) else { return Started::Alone(words) };
    let asked = std::mem::take(&mut options.words);
    let help = || options.help.then(|| "--help".into());
    let own: Vec<OsString> = match &*asked {
        [name, own @ ..] if name == NAME => own.iter().cloned().chain(help()).collect(),
        [first, name, own @ ..] if first == "help" && name == NAME => {
            own.iter().cloned().chain(["--help".into()]).collect()
        }
        _ => return Started::Alone(words),
    };
    Started::ByDocker(std::iter::once(NAME.into()).chain(own).collect(), Box::new(options))
}

/// Reads polyarch's own words. Help and errors have the word `docker`.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = spelled(Cli::command()).bin_name("docker polyarch");
    let mut matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The command with each text in docker's spelling.
fn spelled(mut command: Command) -> Command {
    let text = |text: Option<&StyledStr>| text.map(|text| in_docker(&text.to_string()));
    let argument = |mut argument: Arg| {
        let (help, long) = (text(argument.get_help()), text(argument.get_long_help()));
        if let Some(help) = help {
            argument = argument.help(help);
        }
        if let Some(long) = long {
            argument = argument.long_help(long);
        }
        argument
    };
    if let Some(about) = text(command.get_about()) {
        command = command.about(about);
    }
    if let Some(about) = text(command.get_long_about()) {
        command = command.long_about(about);
    }
    if let Some(help) = text(command.get_after_help()) {
        command = command.after_help(help);
    }
    if let Some(help) = text(command.get_after_long_help()) {
        command = command.after_long_help(help);
    }
    command.mut_args(argument).mut_subcommands(spelled)
}

/// The description of the plugin for docker (docker/cli, `cli-plugins/metadata`).
pub(crate) fn metadata() -> Result<Json, serde_json::Error> {
    let about = Cli::command().get_about().map(ToString::to_string).unwrap_or_default();
    Json::pretty(&serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": NAME,
        "Version": env!("CARGO_PKG_VERSION"),
        "ShortDescription": about,
    }))
}

impl DockerOptions {
    /// Whether docker shows its own requests.
    pub(crate) fn is_verbose(&self) -> bool {
        self.debug == Some(true) || self.log_level.as_deref() == Some("debug")
    }

    /// Sets the variables that mean the same as the options. An option takes precedence over its variable.
    pub(crate) fn apply(&self, environment: &mut BTreeMap<String, String>) {
        let mut set = |name: &str, value: &str| drop(environment.insert(name.to_owned(), value.to_owned()));
        if let Some(config) = &self.config {
            set("DOCKER_CONFIG", config);
        }
        if let Some(host) = &self.host {
            set("DOCKER_HOST", host);
        }
        if let Some(context) = &self.context {
            set("DOCKER_CONTEXT", context);
        }
        if self.tls == Some(true) || self.tlsverify.is_some() {
            set("DOCKER_TLS", "1");
        }
        if self.tlsverify == Some(true) {
            set("DOCKER_TLS_VERIFY", "1");
        }
        // docker uses TLS without a check then, and polyarch refuses such TLS.
        if self.tlsverify == Some(false) {
            environment.remove("DOCKER_TLS_VERIFY");
        }
        // docker reads `DOCKER_HOST` only if no context is named. The context `default` means that variable.
        if self.context.as_deref().is_some_and(|context| context != "default") {
            environment.remove("DOCKER_HOST");
        }
    }

    /// The files of TLS that replace those of the directory in `DOCKER_CERT_PATH`: authority, certificate, key.
    pub(crate) fn certificates(&self) -> [Option<&Path>; 3] {
        [&self.tlscacert, &self.tlscert, &self.tlskey].map(|file| file.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(typed: &str) -> (Vec<String>, Option<DockerOptions>) {
        let texts = |words: Vec<OsString>| words.into_iter().map(|word| word.into_string().unwrap()).collect();
        match read(typed.split(' ').map(OsString::from)) {
            Started::Alone(words) => (texts(words), None),
            Started::ByDocker(words, options) => (texts(words), Some(*options)),
            Started::ForMetadata | Started::ForCompletion(_) => panic!("{typed}"),
        }
    }

    fn variables(typed: &str, before: &[(&str, &str)]) -> String {
        let mut environment = before.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        started(&format!("docker-polyarch {typed} polyarch plan")).1.expect(typed).apply(&mut environment);
        environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_of_docker_become_words_of_polyarch() {
        for (typed, words) in [
            ("/usr/bin/docker-polyarch polyarch build -c x", "polyarch build -c x"),
            ("docker-polyarch -Dc lab --log-level=info polyarch build --context x", "polyarch build --context x"),
            ("docker-polyarch help polyarch build", "polyarch build --help"),
            ("docker-polyarch --help polyarch", "polyarch --help"),
            ("docker-polyarch polyarch --help", "polyarch --help"),
        ] {
            let (read, options) = started(typed);
            assert_eq!(read.join(" "), words, "{typed}");
            assert!(options.is_some(), "{typed}");
        }
        for typed in ["polyarch polyarch build", "docker-polyarch build --load", "docker-polyarch --version"] {
            let (read, options) = started(typed);
            assert_eq!((read.join(" "), options), (typed.to_owned(), None));
        }
    }

    #[test]
    fn docker_options_replace_variables() {
        let host = [("DOCKER_HOST", "tcp://a:1")];
        assert_eq!(variables("--context lab", &host), "DOCKER_CONTEXT=lab");
        assert_eq!(variables("-c default", &host), "DOCKER_CONTEXT=default DOCKER_HOST=tcp://a:1");
        for typed in ["-H=tcp://b:1", "-Htcp://b:1", "-H tcp://b:1", "-DH tcp://b:1", "--host=tcp://b:1"] {
            assert_eq!(variables(typed, &host), "DOCKER_HOST=tcp://b:1");
        }
        assert_eq!(variables("--config /x", &[("DOCKER_CONFIG", "/y")]), "DOCKER_CONFIG=/x");
        assert_eq!(variables("--tlsverify", &[]), "DOCKER_TLS=1 DOCKER_TLS_VERIFY=1");
        assert_eq!(variables("--tlsverify=false", &[("DOCKER_TLS_VERIFY", "1")]), "DOCKER_TLS=1");
        assert_eq!(variables("--tls", &[]), "DOCKER_TLS=1");
        assert_eq!(variables("--debug", &host), "DOCKER_HOST=tcp://a:1");
    }

    #[test]
    fn docker_debug_options_show_requests() {
        let is_verbose =
            |typed: &str| started(&format!("docker-polyarch {typed} polyarch plan")).1.unwrap().is_verbose();
        assert_eq!(["-D", "--debug", "-l debug"].map(is_verbose), [true; 3]);
        assert_eq!(["--debug=false", "-l info", "--tls=false"].map(is_verbose), [false; 3]);
    }
}
