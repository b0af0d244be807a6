//! Runs git in a directory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// The longest time for git. git reads two small files, but a network file system may hang.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of git's output that are read where the output is one line.
const ONE_LINE: u64 = 4096;
/// The most bytes of git's output that are read where the output is a list of names.
const MOST_NAMES: u64 = 16 * 1024 * 1024;

/// The answer of `git rev-parse --verify HEAD^{commit}` in a repository without a commit.
const NO_COMMIT: &str = "Needed a single revision";

/// git in a directory. polyarch kills git if the future is dropped, or after ten seconds.
#[derive(Clone, Copy)]
pub(super) struct Git<'a> {
    pub(super) directory: &'a Path,
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Git<'_> {
    /// The one line that git prints, or the first line of its error.
    pub(super) async fn line(self, arguments: &[&str]) -> Result<String, String> {
        self.run(arguments, ONE_LINE).await.map(|printed| first_line(&printed))
    }

    /// The lines that git prints, or the first line of its error.
    pub(super) async fn lines(self, arguments: &[&str]) -> Result<Vec<String>, String> {
        let printed = self.run(arguments, MOST_NAMES).await?;
        Ok(String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect())
    }

    async fn run(self, arguments: &[&str], most: u64) -> Result<Vec<u8>, String> {
        let Self { directory, environment } = self;
        let mut command = Command::new("git");
        command.arg("-C").arg(directory).args(arguments).env_clear().envs(for_git(environment)).env("LC_ALL", "C");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = match tokio::time::timeout(TIMEOUT, output(command, most)).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err("git is not installed".to_owned()),
            Ok(Err(error)) => return Err(format!("git cannot run: {error}")),
            Err(_) => return Err(format!("git did not answer within {} seconds", TIMEOUT.as_secs())),
        };
        let Output { status, stdout, stderr } = output;
        match first_line(&stderr) {
            _ if status.success() => Ok(stdout),
            reason if reason == NO_COMMIT => Err("the git repository has no commit yet".to_owned()),
            reason => Err(reason),
        }
    }
}

/// The variables that git needs to find itself, its configuration and the repository. git gets no keys or tokens.
fn for_git(environment: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    const OWN: [&str; 7] = ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LD_LIBRARY_PATH", "SUDO_UID", "SUDO_GID"];
    environment.iter().filter(|(name, _)| name.starts_with("GIT_") || OWN.contains(&name.as_str()))
}

/// The beginning of a program's output. The program fails if it writes more.
async fn output(mut command: Command, most: u64) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let (stdout, stderr) =
        tokio::try_join!(beginning(child.stdout.take(), most), beginning(child.stderr.take(), ONE_LINE))?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}

async fn beginning(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first line, without control characters.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let line = text.lines().next().unwrap_or_default().trim();
    line.trim_start_matches("fatal: ").chars().filter(|c| !c.is_control()).take(300).collect()
}
