//! Holds the texts of `--help` beside those of the arguments: the groups of commands, the examples, the exit codes.

use std::fmt::Write as _;

use clap::Command;
use clap::builder::Styles;

/// The headings of `polyarch --help`, each with its commands. A test holds that each command stands in one group.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Build and publish", &["build", "join", "copy"]),
    ("Look", &["plan", "inspect", "verify", "digest", "images"]),
    ("Tidy", &["clean", "prune"]),
    ("Set up", &["init", "engines", "doctor", "serve", "schema", "completions", "man"]),
];

pub(super) const TOP: &str = "\
Examples:
  # Build and publish every image of build.yaml
  polyarch build
  # Show the builds, their engines and their tags, and build nothing
  polyarch build --dry-run
  # Build one image on this runner, for its own processor, and push it
  polyarch build web --platform native
  # Publish the images that several runners pushed
  polyarch join

Run `polyarch COMMAND --help` for more examples.";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    everything was done and verified
  1    any other failure
  2    usage, plan or context
  3    polyarch cannot use an engine, a registry or a credential;
       nothing was started
  4    a build failed
  5    a push failed
  6    join or publish failed
  7    verification failed, a named image does not exist, or polyarch refused
       for security
  70   an internal error, or a result that polyarch could not write
  124  timed out
  129, 130, 143  ended by a signal";

pub(super) const ENVIRONMENT: &str = "\
Environment:
  POLYARCH_HOME   the place of the embedded registry
                  [default: XDG_DATA_HOME/polyarch, ~/.local/share/polyarch]
  DOCKER_HOST, DOCKER_CONTEXT
                  the engine, if your plan names none
  DOCKER_CONFIG   docker's configuration with your logins [default: ~/.docker]
  DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE
                  logins that take precedence over docker's: their JSON, and a
                  file in podman's form
  AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID and the others of the AWS CLI
                  your identity and your region at Amazon ECR
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                  the proxy to registries, and the hosts without a proxy
  CI              no live view; no embedded registry unless you name it
  GITHUB_OUTPUT, GITHUB_STEP_SUMMARY
                  files to which polyarch appends the published images
  GITHUB_ACTIONS  the plain lines become one group of the log
  NO_COLOR        no colour";

/// The end of `polyarch --help`. `-h` has only the examples, so that the commands stay in view.
pub(super) fn whole() -> String {
    [TOP, EXIT_CODES, ENVIRONMENT].join("\n\n")
}

pub(super) const BUILD: &str = "\
Examples:
  # Build and publish every image of build.yaml
  polyarch build
  # Try one platform of one image, and push nothing
  polyarch build web --platform linux/arm64 --no-push
  # Build for `docker run` on this machine
  polyarch build web --load
  # Publish version 1.1 to two registries
  polyarch build -t 1.1 --registry ghcr.io/acme --registry eu.acme.io/mirror";

pub(super) const JOIN: &str = "\
Examples:
  # Publish the images of build.yaml that other runners pushed
  polyarch join
  # Wait up to half an hour until every runner has pushed its images
  polyarch join --wait 30m
  # Join two images without a plan
  polyarch join -t ghcr.io/acme/web:1.0 ghcr.io/acme/web:1.0-amd64 \\
      ghcr.io/acme/web:1.0-arm64
  # Add a platform to an index that exists
  polyarch join -t ghcr.io/acme/web:1.0 --append ghcr.io/acme/web:1.0-riscv64";

pub(crate) const COPY: &str = "\
Examples:
  # Copy an index with all its images to another registry
  polyarch copy ghcr.io/acme/web:1.0 eu.acme.io/mirror/web:1.0
  # Write one platform's image into a directory
  polyarch copy --platform linux/arm64 ghcr.io/acme/web:1.0 oci:images/web:1.0";

pub(super) const INSPECT: &str = "\
Examples:
  # Show the platforms, sizes and attestations of an index
  polyarch inspect ghcr.io/acme/web:1.0
  # Show the differences between two versions
  polyarch inspect ghcr.io/acme/web:1.0 ghcr.io/acme/web:1.1
  # Write the manifest into a file
  polyarch inspect --raw ghcr.io/acme/web:1.0 > index.json";

pub(super) const VERIFY: &str = "\
Examples:
  # Compare every tag of every registry with build.yaml
  polyarch verify
  # Check an index that was published elsewhere
  polyarch verify ghcr.io/acme/web:1.0
  # Let the engines of the plan pull the images, too
  polyarch verify web --pull";

pub(crate) const DIGEST: &str = "\
Examples:
  # Print the digest of an index
  polyarch digest ghcr.io/acme/web:1.0
  # Print the digest of one platform's image
  polyarch digest --platform linux/arm64 ghcr.io/acme/web:1.0";

pub(super) const IMAGES: &str = "\
Examples:
  # List the images of one repository
  polyarch images ghcr.io/acme/web
  # List the images of `web` of build.yaml in all its registries, as JSON
  polyarch images web --json";

pub(super) const CLEAN: &str = "\
Examples:
  # Show the images that would be deleted, with the reasons
  polyarch clean web --keep 5
  # Delete them
  polyarch clean web --keep 5 --apply
  # Keep the ten highest versions, and every release candidate
  polyarch clean ghcr.io/acme/web --keep 10 --order version --keep-tag '*-rc*'";

pub(super) const INIT: &str = "\
Examples:
  # Write build.yaml for the Dockerfiles of this directory
  polyarch init
  # Print the plan, and write nothing
  polyarch init -f -";

pub(super) const ENGINES: &str = "\
Examples:
  # Find your engines, and the lines for `engines:` of your plan
  polyarch engines
  # Write everything that polyarch found into a file
  polyarch engines --json > engines.json";

pub(super) const DOCTOR: &str = "\
Examples:
  # Find out whether `polyarch build` can start
  polyarch doctor
  # Check another registry before you use it in the plan
  polyarch doctor --registry ghcr.io/acme";

pub(super) const DOCTOR_ECR: &str = "\
Examples:
  # Check every image of build.yaml that is published to Amazon ECR
  polyarch doctor ecr
  # Check one repository, and print the findings as JSON
  polyarch doctor ecr 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web --json";

pub(crate) const PLAN: &str = "\
Examples:
  # Check build.yaml, and print it with everything resolved
  polyarch plan
  # Check another plan with a changed value
  polyarch plan -f ci/build.yaml --set web.target=debug
  # Print a job for every platform, for GitHub Actions
  polyarch plan --matrix github";

pub(crate) const SCHEMA: &str = "\
Examples:
  # Let your editor check build.yaml
  polyarch schema plan > build.schema.json
  # Print the schema of the file that `polyarch build --report FILE` writes
  polyarch schema report";

pub(super) const PRUNE: &str = "\
Examples:
  # Show the size of the content that no tag leads to
  polyarch prune
  # Delete that content
  polyarch prune --apply";

pub(super) const SERVE: &str = "\
Examples:
  # Serve the embedded registry until Ctrl-C
  polyarch serve
  # Serve the registry of another directory
  POLYARCH_HOME=/srv/polyarch polyarch serve";

pub(super) const COMPLETIONS: &str = "\
Examples:
  # bash
  polyarch completions bash > ~/.local/share/bash-completion/completions/polyarch
  # zsh, with a directory of your $fpath
  polyarch completions zsh > ~/.zfunc/_polyarch
  # fish
  polyarch completions fish > ~/.config/fish/completions/polyarch.fish";

pub(super) const MAN: &str = "\
Examples:
  # Write the pages for this user
  polyarch man ~/.local/share/man/man1
  # Write the pages here, then read one of them
  polyarch man pages
  man -l pages/polyarch-build.1";

/// The template of `polyarch --help` with the subcommands of `commands` under their headings: clap has one heading for
/// all subcommands.
pub(super) fn template(commands: &Command) -> String {
    let styles = Styles::styled();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let width = commands.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or(0);
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n\n".to_owned();
    for (heading, names) in GROUPS {
        writeln!(text, "{header}{heading}:{header:#}").unwrap_or_default();
        for command in names.iter().filter_map(|name| commands.find_subcommand(name)) {
            let (name, about) = (command.get_name(), command.get_about().map(ToString::to_string));
            // The name has no style here: a width of `format!` would count the bytes of the style, too.
            let padding = " ".repeat(width - name.len());
            writeln!(text, "  {literal}{name}{literal:#}{padding}  {}", about.unwrap_or_default()).unwrap_or_default();
        }
        text.push('\n');
    }
    write!(text, "{header}Options:{header:#}\n{{options}}{{after-help}}").unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::command_line::Cli;
    use super::*;

    /// The command and all commands below it.
    fn all(command: &Command) -> Vec<Command> {
        let below = command.get_subcommands().flat_map(all);
        std::iter::once(command.clone()).chain(below).collect()
    }

    #[test]
    fn each_command_stands_in_one_group() {
        let cli = Cli::command();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut commands: Vec<_> = cli.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        commands.sort_unstable();
        assert_eq!(grouped, commands);
    }

    #[test]
    fn examples_of_the_help_are_taken() {
        let mut examples = 0;
        for command in all(&Cli::command()) {
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            for line in help.replace("\\\n", "").lines().map(str::trim).filter(|line| line.starts_with("polyarch ")) {
                let words = line.split(" > ").next().unwrap().split_whitespace().map(|word| word.trim_matches('\''));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}\n{error}");
                }
                examples += 1;
            }
        }
        assert!(examples > 30, "{examples}");
    }

    #[test]
    fn short_help_of_options_is_one_line_without_a_full_stop() {
        for command in all(&Cli::command()) {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let name = format!("{} {}", command.get_name(), arg.get_id());
                assert!(help.starts_with(|letter: char| letter.is_uppercase()), "{name}: {help}");
                assert!(!help.ends_with('.') && !help.contains('\n') && help.len() <= 66, "{name}: {help}");
            }
        }
    }

    #[test]
    fn long_help_begins_with_the_short_help_and_does_not_repeat_it() {
        for command in all(&Cli::command()) {
            let texts = command.get_arguments().map(|arg| (arg.get_help(), arg.get_long_help()));
            for (short, long) in texts.chain([(command.get_about(), command.get_long_about())]) {
                let (Some(short), Some(long)) = (short, long) else { continue };
                let (short, long) = (short.to_string(), long.to_string());
                let rest = long.strip_prefix(&format!("{short}\n\n")).unwrap_or_else(|| panic!("{long}"));
                let begin: Vec<_> = short.split(' ').take(4).collect();
                assert!(!rest.starts_with(&begin.join(" ")), "{long}");
            }
        }
    }
}
