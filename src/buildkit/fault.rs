//! The reason of a failed build: BuildKit's message, the step and its lines, in plain words.

use super::emulation::binfmt_hint;
use super::excerpt::Excerpt;
use crate::oci::Platform;

/// A build that failed.
#[derive(Debug)]
pub struct BuildFault {
    /// The reason. Without a better text this is BuildKit's message.
    pub message: String,
    /// The kind of the reason; it decides the hint.
    pub cause: BuildCause,
    /// The first failed step, by BuildKit's name.
    pub step: Option<String>,
    /// The lines of the Dockerfile where the build failed, if BuildKit reports them.
    pub at: Option<Excerpt>,
}

/// The kinds of failures with their own hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildCause {
    /// The engine could not start a program, and it emulates this platform.
    NotEmulated(Platform),
    /// The engine could not start a program, although it runs this platform itself.
    NotAProgram(Platform),
    /// The engine could not start a program, because its interpreter does not exist.
    NoInterpreter,
    /// A file to copy does not exist in the context.
    NotInContext,
    /// A file to copy does not exist in this stage or image.
    NotInStage(String),
    /// The system killed a program: exit code 137.
    Killed,
    /// Another kind. The message decides on the hint.
    Other,
}

/// A failed step, by BuildKit's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedStep {
    pub(super) name: String,
    pub(super) error: String,
}

impl BuildFault {
    /// `message` is BuildKit's message, and `steps` are the failed steps.
    pub(super) fn of(message: String, steps: &[FailedStep], at: Option<Excerpt>) -> Self {
        let step = steps.first().map(|step| step.name.clone());
        if let Some((message, from)) = missing(&message, steps) {
            let cause = from.map_or(BuildCause::NotInContext, BuildCause::NotInStage);
            return Self { message, cause, step, at };
        }
        let cause = if exit_code(&message) == Some("137") { BuildCause::Killed } else { BuildCause::Other };
        Self { message, cause, step, at }
    }

    /// Whether the engine could not send the name of a file or a pattern to polyarch. gRPC sends both in headers, which
    /// cannot contain control characters. BuildKit 0.8 sends them anyway and loses its connection.
    #[must_use]
    pub fn may_be_of_a_name(&self) -> bool {
        [UNPRINTABLE, DRAINING].iter().any(|words| self.message.contains(words))
            && !EXCLUDES.iter().any(|key| self.message.contains(key))
    }

    /// The reason, for a reader who sees the step beside it.
    #[must_use]
    pub fn beside_its_step(&self) -> String {
        let Some(code) = exit_code(&self.message) else { return self.message.clone() };
        let number = self.step.as_ref().and_then(|step| Some(format!("step {}]", step.split_once(']')?.0)));
        format!("{} ended with exit code {code}", number.as_deref().unwrap_or("a step"))
    }

    /// The next step for the user, in one line.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match &self.cause {
            BuildCause::NotEmulated(platform) => binfmt_hint(platform),
            BuildCause::NotAProgram(platform) => format!(
                "begin a script with `#!/bin/sh`; use a program for {platform}, and a base image with its interpreter"
            ),
            BuildCause::NoInterpreter => {
                "end a script's lines with LF only (`dos2unix`), and install the interpreter of its first line in the \
                 image; a program needs its loader in the image"
                    .into()
            }
            BuildCause::NotInContext => {
                "add the file to the context, or correct its path; `context` in the plan names the context, and \
                 `.dockerignore` may exclude the file"
                    .into()
            }
            BuildCause::NotInStage(stage) => {
                format!(
                    "correct the path, or create the file in `{stage}`: `COPY --from` does not copy from the context"
                )
            }
            BuildCause::Killed => {
                "give the engine more memory, or let the step use less: exit code 137 means that a program was killed"
                    .into()
            }
            BuildCause::Other => return hint(&self.message).map(Into::into),
        })
    }
}

/// The engine's message about a header with control characters, and BuildKit 0.8's message after it has sent one.
const UNPRINTABLE: &str = "non-printable ASCII characters";
const DRAINING: &str = "the connection is draining";
/// The names of the header with the lines of `.dockerignore`.
const EXCLUDES: [&str; 2] = ["\"exclude-patterns\"", "\"excludepatterns\""];
/// The reason and the hint for a `COPY` of such a name.
pub(crate) const UNASKABLE: &str = "an engine cannot ask for a file whose name has control characters";
pub(crate) const ASK_FOR_ITS_DIRECTORY: &str =
    "rename the file, or copy the directory that it is in: COPY DIRECTORY/ /DIRECTORY/";

/// BuildKit's messages for a command with an exit code other than 0: the current one, and the one of BuildKit 0.8.
const EXIT: [&str; 2] = ["did not complete successfully: exit code: ", "]: exit code: "];

fn exit_code(message: &str) -> Option<&str> {
    let (_, code) = EXIT.iter().find_map(|words| message.rsplit_once(words))?;
    let code = code.trim();
    code.bytes().all(|byte| byte.is_ascii_digit()).then_some(code)
}

/// The files that the build could not copy, each once, and the stage or image without them. `None` means the context.
fn missing(message: &str, steps: &[FailedStep]) -> Option<(String, Option<String>)> {
    let Some(first) = missing_path(message) else { return unwalked(message, steps) };
    let of_step = |step: &FailedStep| Some((not_found(&step.error)?.to_owned(), source_of(&step.name)));
    let found: Vec<_> = steps.iter().filter_map(of_step).collect();
    let from = found.iter().find(|(path, _)| path == first).and_then(|(_, from)| from.clone());
    let mut paths = vec![first];
    paths.extend(found.iter().filter(|(_, of)| *of == from).map(|(path, _)| path.as_str()));
    paths.sort_unstable();
    paths.dedup();
    let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.trim_start_matches('/'))).collect();
    let names = names.join(" and ");
    let message = match (&from, paths.len()) {
        (None, 1) => format!("{names} does not exist in the context"),
        (None, _) => format!("{names} do not exist in the context"),
        (Some(from), 1) => format!("{names} does not exist in `{from}`"),
        (Some(from), _) => format!("{names} do not exist in `{from}`"),
    };
    Some((message, from))
}

/// BuildKit 0.8 reports the directory of a stage on the engine instead of the path in the stage.
fn unwalked(message: &str, steps: &[FailedStep]) -> Option<(String, Option<String>)> {
    let is = message.contains("failed to compute cache key") && message.contains("no such file or directory");
    let step = steps.first().filter(|_| is)?;
    let from = source_of(&step.name)?;
    let mut words = step.name.split_whitespace().skip_while(|word| *word != "COPY").skip(1);
    let path = words.find(|word| !word.starts_with("--"))?;
    Some((format!("`{}` does not exist in `{from}`", path.trim_start_matches('/')), Some(from)))
}

/// The path of `failed to calculate checksum of ref …: "/path": not found`. BuildKit 0.8 writes `"/path" not found`.
fn missing_path(error: &str) -> Option<&str> {
    let is_checksum = ["failed to compute cache key", "failed to calculate checksum"].iter().any(|w| error.contains(w));
    not_found(error).filter(|_| is_checksum)
}

/// The path of `"/path" not found`, with Go's quoting. BuildKit 0.8 reports nothing else beside the step.
fn not_found(error: &str) -> Option<&str> {
    let (_, rest) = error.split_once('"')?;
    let mut is_escaped = false;
    let is_end = |c: char| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    };
    let (path, after) = rest.split_at(rest.find(is_end)?);
    after[1..].trim_start_matches(':').trim_start().starts_with("not found").then_some(path)
}

/// The value of `--from` in a step's name: `[2/3] COPY --from=build /a /b`.
fn source_of(step: &str) -> Option<String> {
    step.split_whitespace().find_map(|word| word.strip_prefix("--from=")).map(str::to_owned)
}

/// Messages of BuildKit and its tools, with their hints. A hint applies if the message has one text of each group. The
/// first match counts.
const HINTS: &[(&[&[&str]], &str)] = &[
    (
        &[&["no space left on device"]],
        "free space on the engine's disk: `docker system df` shows its use, `docker builder prune` empties the cache",
    ),
    (&[&["exec: \"git\""]], "install git on the engine's host: the engine fetches repositories with it"),
    (
        &[&["could not read Username", "Authentication failed", "terminal prompts disabled"]],
        "pass the repository's login as a secret: secrets: [{ id: GIT_AUTH_TOKEN, env: GIT_AUTH_TOKEN }]",
    ),
    (
        &[&["couldn't find remote ref", "does not contain ref"]],
        "name a branch, a tag or a commit of the repository: URL#BRANCH; without one, Engine before 23.0 takes `master`",
    ),
    (
        &[&["failed to fetch remote"]],
        "read the log above; if the repository needs a login, add \
         secrets: [{ id: GIT_AUTH_TOKEN, env: GIT_AUTH_TOKEN }]",
    ),
    (&[&["failed to read dockerfile"]], "correct `dockerfile` in the plan: the path is relative to the context"),
    (
        &[&["secret "], &["not found"]],
        "list the secret for this platform under `secrets` in the plan: { id: …, env: … } or { id: …, file: … }",
    ),
    (
        &[&["header list size to send violates"]],
        "use patterns in `.dockerignore` and copy whole directories: an engine sends at most 16 MiB of paths",
    ),
    (
        &[&[UNPRINTABLE], &EXCLUDES],
        "remove the control characters from `.dockerignore`: an engine cannot send such lines to polyarch",
    ),
    (&[&[UNPRINTABLE]], ASK_FOR_ITS_DIRECTORY),
    (
        &[&[DRAINING]],
        "remove control characters from `.dockerignore` and from file names: they break an old engine's connection",
    ),
    (&[&["no ssh agent"]], "list the ssh agent for this platform under `ssh` in the plan: [default], or [ID=SOCKET]"),
    (
        &[&["no match for platform in manifest"]],
        "choose a base image that has this platform, or remove the platform from the plan: \
         `polyarch inspect IMAGE` lists the platforms of an image",
    ),
    (
        &[&["target stage"], &["could not be found"]],
        "correct `target` of the image in the plan: it names a stage of the Dockerfile",
    ),
    (
        &[&["no build stage in current context"]],
        "begin the Dockerfile with FROM; `FROM scratch` is a stage without a base image",
    ),
    (
        &[&["pull access denied", "insufficient_scope", "401 Unauthorized", "403 Forbidden"]],
        "correct the base image's name, or log in to its registry with `docker login`",
    ),
    (&[&["invalid response status"]], "correct the URL in `ADD`: its server refused the engine's request"),
    (
        &[&["failed to do request"], UNREACHABLE],
        "check that the engine's host can reach the registries of the base images: it may be offline, or need a proxy",
    ),
    (
        &[&["network.host"], &["not allowed"]],
        "set `network: host` for the image in the plan; the engine must allow it, too",
    ),
    (
        &[&["unknown instruction"]],
        "correct the line; on an old engine a here-document needs `# syntax=docker/dockerfile:1` on the first line",
    ),
];

/// An engine's messages about a registry that it cannot reach.
const UNREACHABLE: &[&str] =
    &["no such host", "i/o timeout", "connection refused", "no route to host", "server misbehaving"];

fn hint(message: &str) -> Option<&'static str> {
    let any = |words: &&[&str]| words.iter().any(|word| message.contains(word));
    HINTS.iter().find(|(groups, _)| groups.iter().all(any)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str, steps: &[(&str, &str)]) -> BuildFault {
        let step = |(name, error): &(&str, &str)| FailedStep { name: (*name).into(), error: (*error).into() };
        BuildFault::of(message.into(), &steps.iter().map(step).collect::<Vec<_>>(), None)
    }

    #[test]
    fn buildkit_messages_lead_to_hints() {
        for (said, hint) in [
            (
                "failed to do request: Head \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
                "offline",
            ),
            ("secret npm: not found", "`secrets`"),
            (r#"failed to init repo: exec: "git": executable file not found in $PATH"#, "install git"),
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", "GIT_AUTH_TOKEN"),
            ("failed to read dockerfile: failed to fetch remote https://h/a.git: exit status 128", "GIT_AUTH_TOKEN"),
            ("fatal: couldn't find remote ref x", "URL#BRANCH"),
            ("header list size to send violates the maximum size (16777216 bytes) set by server", ".dockerignore"),
            (r#"no ssh agent "default" is planned"#, "`ssh`"),
            ("pull access denied, repository does not exist or may require authorization", "docker login"),
            ("failed to read dockerfile: open Dockerfile.x: no such file or directory", "`dockerfile`"),
            ("write /x: no space left on device", "docker system df"),
            ("alpine:3: no match for platform in manifest: not found", "polyarch inspect"),
            ("dockerfile parse error line 1: no build stage in current context", "FROM scratch"),
            (r#"target stage "finl" could not be found (did you mean final?)"#, "`target`"),
            ("failed to load cache key: invalid response status 404", "`ADD`"),
            ("granting entitlement network.host is not allowed by build daemon configuration", "`network: host`"),
            ("dockerfile parse error line 1: unknown instruction: FRM", "correct the line"),
        ] {
            let said_hint = fault(said, &[]).hint();
            assert!(said_hint.as_ref().is_some_and(|text| text.contains(hint)), "{said}: {said_hint:?}");
        }
        assert_eq!(fault("something else", &[]).hint(), None);
    }

    #[test]
    fn missing_file_name_with_quotes_is_shown_whole() {
        for (path, shown) in [(r#"/a\"b"#, r#"a\"b"#), (r"/a\nb", r"a\nb"), (r"/a\\", r"a\\")] {
            let error = format!("failed to calculate checksum of ref a::b: \"{path}\": not found");
            let fault = fault(&format!("failed to compute cache key: {error}"), &[]);
            assert_eq!(fault.message, format!("`{shown}` does not exist in the context"));
        }
    }

    #[test]
    fn fault_names_the_stage_for_buildkit_0_8() {
        let step = ("[stage-1 1/1] COPY --from=base [nope, /]", "\"/nope\" not found: not found");
        let fault = fault("failed to compute cache key: \"/nope\" not found: not found", &[step]);
        assert_eq!(fault.message, "`nope` does not exist in `base`");
    }

    #[test]
    fn control_characters_in_headers_get_a_hint() {
        let header = |key: &str| format!("header key {key:?} contains value with non-printable ASCII characters");
        for (said, is_name, hint) in [
            (header("followpaths"), true, "rename the file"),
            (header("exclude-patterns"), false, "`.dockerignore`"),
            (header("excludepatterns"), false, "`.dockerignore`"),
            ("rpc error: code = Unavailable desc = the connection is draining".to_owned(), true, "`.dockerignore`"),
            ("something else".to_owned(), false, ""),
        ] {
            let fault = fault(&said, &[]);
            assert_eq!(fault.may_be_of_a_name(), is_name, "{said}");
            assert!(fault.hint().unwrap_or_default().contains(hint), "{said}: {:?}", fault.hint());
        }
    }

    #[test]
    fn every_missing_file_of_a_step_is_named() {
        let checksum = |path: &str| format!("failed to calculate checksum of ref a::b: \"{path}\": not found");
        let message = format!("failed to compute cache key: {}", checksum("/src/b.conf"));
        let (a, b, c) = (checksum("/src/a.conf"), checksum("/src/b.conf"), checksum("/out/app"));
        let steps = [("[2/4] COPY src/a.conf /etc/", a.as_str()), ("[3/4] COPY src/b.conf /etc/", b.as_str())];
        let both = fault(&message, &[steps[0], steps[1], ("[4/4] COPY --from=build /out/app /", c.as_str())]);
        assert_eq!(both.message, "`src/a.conf` and `src/b.conf` do not exist in the context");
        assert!(both.hint().unwrap().contains(".dockerignore"));
        let old = fault(r#"failed to compute cache key: "/app-arm64" not found: not found"#, &[]);
        assert_eq!(old.message, "`app-arm64` does not exist in the context");
    }

    #[test]
    fn file_missing_from_a_stage_gets_no_context_hint() {
        let error = "failed to calculate checksum of ref a::b: \"/out/app\": not found";
        for from in ["build", "docker.io/library/alpine:3"] {
            let step = format!("[stage-1 2/2] COPY --chown=1:1 --from={from} /out/app /app");
            let fault = fault(&format!("failed to compute cache key: {error}"), &[(&step, error)]);
            assert_eq!(fault.message, format!("`out/app` does not exist in `{from}`"));
            let hint = fault.hint().unwrap();
            assert!(hint.contains(from) && !hint.contains(".dockerignore"), "{hint}");
        }
    }

    #[test]
    fn fault_shows_the_path_of_the_step_and_not_of_the_engine() {
        let error = "failed to walk /var/lib/docker/overlay2/x/diff/out: lstat /var/lib/docker/overlay2/x/diff/out: no \
                     such file or directory";
        let message = format!("failed to compute cache key: {error}");
        let fault = fault(&message, &[("[stage-1 1/1] COPY --from=build /out/app /app", error)]);
        assert_eq!(fault.message, "`out/app` does not exist in `build`");
        assert_eq!(self::fault(&message, &[]).message, message);
    }

    #[test]
    fn fault_beside_its_step_shows_only_the_exit_code() {
        let said = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
        assert_eq!(fault(said, &[]).message, said);
        for said in [said, "executor failed running [/bin/sh -c make]: exit code: 2"] {
            assert_eq!(fault(said, &[]).beside_its_step(), "a step ended with exit code 2");
        }
        let named = fault(said, &[("[build 2/5] RUN make", said)]);
        assert_eq!(named.beside_its_step(), "step [build 2/5] ended with exit code 2");
        let killed = said.replace(": 2", ": 137");
        assert!(fault(&killed, &[]).hint().unwrap().contains("memory"));
        let odd = said.replace(": 2", ": 2: context canceled");
        assert_eq!(fault(&odd, &[]).beside_its_step(), odd);
    }
}
