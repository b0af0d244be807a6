//! Credential helpers: `docker-credential-NAME get` reads the server from standard input and writes JSON to standard
//! output (docker/docker-credential-helpers, "Development").

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::MapAccess;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use zeroize::Zeroizing;

use super::{AuthError, Credential, Secret};
use crate::oci::loose::{self, Object};

/// The longest time for a helper: it may ask a person or a remote service.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer of a helper, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// How long polyarch reads the helper's standard error after the helper has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The most bytes that polyarch keeps of a helper's standard error, both at its beginning and at its end.
const MAX_SAID: usize = 16 << 10;
/// The longest line of a helper's output in an error, in characters.
const MAX_LINE: usize = 200;
/// The text that a working helper prints when it has no login for the server.
const NOT_FOUND: &str = "credentials not found";
/// This user name marks the secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// A helper's answer. Docker parses it like its own configuration (docker/docker-credential-helpers, `client`).
#[derive(Default)]
struct Answer {
    username: String,
    secret: Secret,
}

impl Object for Answer {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "username" => loose::set(&mut self.username, values),
            "secret" => loose::set(&mut self.secret, values),
            _ => loose::skip(values),
        }
    }
}

/// Asks the helper `name`, in the directories of `path`, for the credential of `server`.
pub(super) async fn get(path: &OsStr, name: &str, server: &str) -> Result<Credential, AuthError> {
    let file = find(path, name, server)?;
    let program = program(name);
    let run = |source| AuthError::HelperRun { program: program.clone(), source };
    let child = Command::new(file)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // If the run is cancelled or times out, dropping the future ends the helper.
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let mut said = Vec::new();
    let talked = tokio::time::timeout(TIMEOUT, talk(child, server, &mut said)).await;
    let message = in_lines(&said);
    let (status, output) = match talked {
        Ok(talked) => talked.map_err(run)?,
        Err(_) => return Err(AuthError::HelperTimeout { program, after: TIMEOUT, message }),
    };
    read_answer(&program, server, status, &output, message)
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// The helper's file. `name` comes from a file and becomes part of a path. `server` becomes a line of a line protocol.
/// So polyarch checks both before it starts anything.
fn find(path: &OsStr, name: &str, server: &str) -> Result<PathBuf, AuthError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(AuthError::HelperName(name.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_graphic() && c != '@';
    if server.is_empty() || server.ends_with('.') || !server.chars().all(allowed) {
        return Err(AuthError::ServerName(server.to_owned()));
    }
    let program = program(name);
    std::env::split_paths(path)
        .map(|dir| dir.join(&program))
        .find(|file| file.is_file())
        .ok_or_else(|| AuthError::HelperMissing { program, server: server.to_owned() })
}

/// Returns the helper's answer, and fills `said` with its standard error. A program that the helper leaves behind (an
/// agent) may keep standard error open. So polyarch stops reading soon after the helper ends.
async fn talk(mut child: Child, server: &str, said: &mut Vec<u8>) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    let stderr = child.stderr.take();
    let mut answer = pin!(answer(child, server));
    let mut listening = pin!(listen(stderr, said));
    tokio::select! {
        answered = &mut answer => {
            // The helper's last lines may still be in the pipe.
            let _ = tokio::time::timeout(LAST_WORDS, listening).await;
            answered
        }
        () = &mut listening => answer.await,
    }
}

/// Reads to the end, and keeps only the first and the last bytes.
async fn listen(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        said.extend_from_slice(&piece[..length]);
        if said.len() > 2 * MAX_SAID {
            said.drain(MAX_SAID..said.len() - MAX_SAID);
        }
    }
}

/// The first and the last line with text, printable.
fn in_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let printable = |line: &str| line.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_LINE).collect();
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, last) = (lines.next(), lines.next_back());
    [first, last].into_iter().flatten().map(printable).collect::<Vec<String>>().join(" … ")
}

async fn answer(mut child: Child, server: &str) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(server.as_bytes()).await {
            // A helper may answer without reading its input.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > MAX_ANSWER {
        // The helper may write endlessly, so polyarch does not wait for its end.
        child.kill().await?;
    }
    Ok((child.wait().await?, output))
}

fn read_answer(
    program: &str,
    server: &str,
    status: ExitStatus,
    output: &[u8],
    message: String,
) -> Result<Credential, AuthError> {
    let malformed = || AuthError::HelperAnswer { program: program.to_owned(), message: message.clone() };
    if output.len() as u64 > MAX_ANSWER {
        return Err(malformed());
    }
    if !status.success() {
        let said = in_lines(output);
        if said.starts_with(NOT_FOUND) {
            return Ok(Credential::Anonymous);
        }
        // The protocol sends errors to standard output. Many helpers write more text, or all of it, to standard error.
        let message = match [said, message].into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join("; ") {
            silence if silence.is_empty() => format!("it printed nothing ({status})"),
            said => said,
        };
        return Err(AuthError::HelperFailed { program: program.to_owned(), server: server.to_owned(), message });
    }
    if output.trim_ascii().is_empty() {
        return Err(malformed());
    }
    let Answer { username, secret } = loose::read(output).map_err(|_| malformed())?;
    match username.as_str() {
        TOKEN_USER => Ok(Credential::IdentityToken(secret)),
        "" if secret.is_empty() => Ok(Credential::Anonymous),
        "" => Err(malformed()),
        _ => Ok(Credential::Basic { username, password: secret }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::helper;
    use super::*;

    async fn ask(body: &str) -> Result<Credential, AuthError> {
        let dir = helper("test", body);
        get(dir.path().as_os_str(), "test", "registry.example").await
    }

    #[tokio::test]
    async fn helper_gets_the_server_on_stdin_and_only_get_in_argv() {
        let body = r#"read -r s; printf '{"ServerURL":"%s","Username":"%s","Secret":"p"}' "$s" "$s $*""#;
        let Credential::Basic { username, password } = ask(body).await.unwrap() else { panic!("basic") };
        assert_eq!((username.as_str(), password.expose()), ("registry.example get", "p"));
    }

    #[tokio::test]
    async fn helper_user_token_means_an_identity_token() {
        let answer = ask(r#"echo '{"Username":"<token>","Secret":"refresh"}'"#).await.unwrap();
        assert!(matches!(answer, Credential::IdentityToken(token) if token.expose() == "refresh"));
    }

    #[tokio::test]
    async fn helper_answer_is_read_as_docker_reads_it() {
        for answer in [
            r#"{"username":"u","SECRET":"p"}"#,
            r#"{"ServerURL":null,"Username":"x","Username":"u","Secret":"p"} more"#,
        ] {
            let Credential::Basic { username, password } = ask(&format!("echo '{answer}'")).await.unwrap() else {
                panic!("{answer}")
            };
            assert_eq!((username.as_str(), password.expose()), ("u", "p"));
        }
        assert!(matches!(ask(r#"echo '{"Username":null,"Secret":""}'"#).await.unwrap(), Credential::Anonymous));
    }

    #[tokio::test]
    async fn helper_without_credentials_means_anonymous() {
        let answer = ask("echo 'credentials not found in native keychain'; exit 1").await.unwrap();
        assert!(matches!(answer, Credential::Anonymous));
    }

    #[tokio::test]
    async fn helper_failure_is_shown_in_one_printable_line() {
        for (body, said) in [
            (r"printf 'keychain \033[31mlocked\n'; exit 1", "keychain ?[31mlocked"),
            (r"printf 'first\nsecond\nlast\n'; exit 1", "first … last"),
            (r"printf '\nERROR: no \033]0;account\007\n\n' >&2; exit 1", "ERROR: no ?]0;account?"),
            (
                "echo locked; echo 'Traceback' >&2; echo '  File' >&2; echo 'KeyError: a' >&2; exit 1",
                "locked; Traceback … KeyError: a",
            ),
            ("exit 3", "it printed nothing (exit status: 3)"),
        ] {
            let error = ask(body).await.unwrap_err().to_string();
            assert!(error.ends_with(&format!("failed for registry.example: {said}")), "{error}");
        }
        let error = ask("echo 'panic: nil' >&2").await.unwrap_err().to_string();
        assert!(error.ends_with("not a credential; it printed: panic: nil"), "{error}");
    }

    #[tokio::test]
    async fn noisy_helper_stderr_is_bounded_and_harmless() {
        let noisy = r#"yes 'a warning' | head -c 3000000 >&2; echo '{"Username":"u","Secret":"p"}'"#;
        assert!(matches!(ask(noisy).await.unwrap(), Credential::Basic { .. }));
        let failing = "echo first >&2; yes | head -c 3000000 >&2; echo last >&2; exit 1";
        let error = ask(failing).await.unwrap_err().to_string();
        assert!(error.ends_with(": first … last"), "{error}");
    }

    #[tokio::test]
    async fn background_process_of_a_helper_is_not_awaited() {
        // The helper's child ends when the test closes the pipe.
        let dir = helper("test", r#"cat <$(dirname $0)/pipe >/dev/null & echo '{"Username":"u","Secret":"p"}' >&1"#);
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let held = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let answer = get(dir.path().as_os_str(), "test", "registry.example").await;
        assert!(matches!(answer, Ok(Credential::Basic { .. })));
        drop(held);
    }

    #[tokio::test]
    async fn invalid_helper_answers_are_refused() {
        for body in ["echo no", "echo '{\"Secret\":\"canary\"}'", "true"] {
            let error = ask(body).await.unwrap_err();
            assert!(matches!(error, AuthError::HelperAnswer { .. }), "{body}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[tokio::test]
    async fn endless_helper_answer_is_refused() {
        let error = ask("exec cat /dev/zero").await.unwrap_err();
        assert!(matches!(error, AuthError::HelperAnswer { .. }), "{error}");
    }

    #[tokio::test]
    async fn hanging_helper_is_abandoned_after_60_seconds() {
        let dir = helper("test", "echo 'PIN?' >&2; touch $(dirname $0)/up; exec sleep 3600");
        let path = dir.path().as_os_str().to_owned();
        let start = tokio::time::Instant::now();
        let asked = tokio::spawn(async move { get(&path, "test", "registry.example").await });
        while !dir.path().join("up").exists() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        // A paused clock jumps to the next timer when no other task can run.
        let error = asked.await.unwrap().unwrap_err();
        let said = "the credential helper docker-credential-test did not answer within 60 s; it printed: PIN?";
        assert_eq!(error.to_string(), said);
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test]
    async fn missing_helper_program_error_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = get(dir.path().as_os_str(), "nope", "registry.example").await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-nope"), "{error}");
        assert!(error.hint().contains("install docker-credential-nope"));
    }

    #[tokio::test]
    async fn helper_refuses_server_names_with_control_characters() {
        let dir = helper("test", "touch $(dirname $0)/ran");
        let evil = ["", "a\nb", "a\rb", "a\0b", "a b", "user@a", "a.", "a\u{7f}", "ä.example"];
        for server in evil {
            let error = get(dir.path().as_os_str(), "test", server).await.unwrap_err();
            assert!(matches!(error, AuthError::ServerName(_)), "{server:?}: {error}");
        }
        for name in ["", "../x", "a/b", "a b", "a\n"] {
            let error = get(dir.path().as_os_str(), name, "registry.example").await.unwrap_err();
            assert!(matches!(error, AuthError::HelperName(_)), "{name:?}: {error}");
        }
        assert!(!dir.path().join("ran").exists());
    }
}
