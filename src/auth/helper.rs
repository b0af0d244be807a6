//! Credential helpers: `docker-credential-NAME get`, the server on standard input, JSON on standard output
//! (docker/docker-credential-helpers, "Development").

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::MapAccess;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::{AuthError, Credential, Secret};
use crate::oci::loose::{self, Object};

/// How long a helper may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer of a helper, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// Longest part of a helper's own words in an error, in characters.
const MAX_MESSAGE: usize = 200;
/// What a helper prints when it runs well and knows nothing of the server.
const NOT_FOUND: &str = "credentials not found";
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// A helper's answer, which docker reads as it reads its configuration (docker/docker-credential-helpers, `client`).
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

/// Asks the helper `name`, looked for in the directories of `path`, for the credential of `server`.
pub(super) async fn get(path: &OsStr, name: &str, server: &str) -> Result<Credential, AuthError> {
    let file = find(path, name, server)?;
    let program = program(name);
    let run = |source| AuthError::HelperRun { program: program.clone(), source };
    let child = Command::new(file)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Dropping the future of a cancelled or timed out run ends the helper.
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let (status, output) = tokio::time::timeout(TIMEOUT, talk(child, server))
        .await
        .map_err(|_| AuthError::HelperTimeout { program: program.clone(), after: TIMEOUT })?
        .map_err(run)?;
    read_answer(&program, server, status, &output)
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// The file of the helper. `name` comes from a file and becomes part of a path; `server` becomes a line of
/// a protocol of lines: both are checked before anything runs.
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

async fn talk(mut child: Child, server: &str) -> io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(server.as_bytes()).await {
            // A helper that answers without reading is within its rights.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > MAX_ANSWER {
        // It may write for ever: its end is not waited for.
        child.kill().await?;
    }
    Ok((child.wait().await?, output))
}

fn read_answer(program: &str, server: &str, status: ExitStatus, output: &[u8]) -> Result<Credential, AuthError> {
    let malformed = || AuthError::HelperAnswer { program: program.to_owned() };
    if output.len() as u64 > MAX_ANSWER {
        return Err(malformed());
    }
    if !status.success() {
        let said = String::from_utf8_lossy(output);
        let said = said.trim();
        if said.starts_with(NOT_FOUND) {
            return Ok(Credential::Anonymous);
        }
        let line = said.lines().next().unwrap_or("it said nothing");
        let message = line.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_MESSAGE).collect();
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
    async fn gives_the_server_on_stdin_and_nothing_else_in_argv() {
        let body = r#"read -r s; printf '{"ServerURL":"%s","Username":"%s","Secret":"p"}' "$s" "$s $*""#;
        let Credential::Basic { username, password } = ask(body).await.unwrap() else { panic!("basic") };
        assert_eq!((username.as_str(), password.expose()), ("registry.example get", "p"));
    }

    #[tokio::test]
    async fn the_token_user_means_an_identity_token() {
        let answer = ask(r#"echo '{"Username":"<token>","Secret":"refresh"}'"#).await.unwrap();
        assert!(matches!(answer, Credential::IdentityToken(token) if token.expose() == "refresh"));
    }

    #[tokio::test]
    async fn an_answer_is_read_as_docker_reads_it() {
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
    async fn credentials_not_found_is_anonymous() {
        let answer = ask("echo 'credentials not found in native keychain'; exit 1").await.unwrap();
        assert!(matches!(answer, Credential::Anonymous));
    }

    #[tokio::test]
    async fn another_failure_is_told_in_one_printable_line() {
        let error = ask(r"printf 'keychain \033[31mlocked\nmore'; exit 1").await.unwrap_err().to_string();
        assert!(error.ends_with("failed for registry.example: keychain ?[31mlocked"), "{error}");
    }

    #[tokio::test]
    async fn refuses_answers_that_are_no_credentials() {
        for body in ["echo no", "echo '{\"Secret\":\"canary\"}'", "true"] {
            let error = ask(body).await.unwrap_err();
            assert!(matches!(error, AuthError::HelperAnswer { .. }), "{body}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[tokio::test]
    async fn refuses_an_endless_answer() {
        let error = ask("exec cat /dev/zero").await.unwrap_err();
        assert!(matches!(error, AuthError::HelperAnswer { .. }), "{error}");
    }

    #[tokio::test]
    async fn gives_up_a_helper_that_hangs() {
        let dir = helper("test", "touch $(dirname $0)/up; exec sleep 3600");
        let path = dir.path().as_os_str().to_owned();
        let start = tokio::time::Instant::now();
        let asked = tokio::spawn(async move { get(&path, "test", "registry.example").await });
        while !dir.path().join("up").exists() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        // A stopped clock goes to the next timer when nothing else is left to do.
        assert!(matches!(asked.await.unwrap(), Err(AuthError::HelperTimeout { .. })));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn v32_a_missing_helper_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = get(dir.path().as_os_str(), "nope", "registry.example").await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-nope"), "{error}");
        assert!(error.hint().contains("install docker-credential-nope"));
    }

    #[tokio::test]
    async fn v33_refuses_servers_that_could_say_more_than_a_name() {
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
